"""LightGBM, handed over as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml import forest
from spymaster.ml.arrays import F8, OUTCOMES
from spymaster.ml.extra import needed
from spymaster.ml.forest import LEFT, RIGHT, ZERO, Node
from spymaster.ml.histogram import BINS

_SEEDS = ("seed", "bagging_seed", "feature_fraction_seed", "data_random_seed", "extra_seed")


def fit(
    knobs: Mapping[str, Any], x: F8, label: NDArray[np.int8], weight: F8, seed: int
) -> tuple[dict[str, NDArray[Any]], F8]:
    """The model's arrays, and the scores that LightGBM itself gives the rows."""
    lightgbm = needed("lightgbm")
    booster = lightgbm.train(
        {
            "objective": "multiclass",
            "num_class": len(OUTCOMES),
            "learning_rate": knobs["learning_rate"],
            "num_leaves": int(knobs["leaves"]),
            "max_depth": int(knobs["depth"]),
            "min_data_in_leaf": max(1, round(knobs["leaf_share"] * len(x))),
            "lambda_l2": knobs["l2"],
            "feature_fraction": knobs["columns"],
            "bagging_fraction": knobs["rows"],
            "bagging_freq": 1,
            "max_bin": BINS,
            "min_sum_hessian_in_leaf": 1e-3,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
            **dict.fromkeys(_SEEDS, seed),
        },
        lightgbm.Dataset(x, label, weight=weight, params={"verbosity": -1}),
        num_boost_round=int(knobs["rounds"]),
    )
    trees = [_tree(t["tree_structure"]) for t in booster.dump_model()["tree_info"]]
    raw = np.asarray(booster.predict(x, raw_score=True), dtype=np.float64)
    return forest.arrays(np.zeros(len(OUTCOMES)), trees, x.shape[1]), raw


def _tree(root: Mapping[str, Any]) -> list[Node]:
    nodes: list[Node | None] = []

    def place(told: Mapping[str, Any]) -> int:
        here = len(nodes)
        nodes.append(None)
        nodes[here] = _split(told, place) if "split_feature" in told else Node(told["leaf_value"])
        return here

    place(root)
    return [node for node in nodes if node is not None]


def _split(told: Mapping[str, Any], place: Any) -> Node:
    if told["decision_type"] != "<=" or told["missing_type"] == "Zero":
        raise ModelError(
            f"LightGBM split by {told['decision_type']} with missing {told['missing_type']}: "
            "only numbers are split here. This is a defect of Spymaster"
        )
    side = LEFT if told["default_left"] else RIGHT
    return Node(
        0.0,
        told["split_feature"],
        told["threshold"],
        side if told["missing_type"] == "NaN" else ZERO,
        place(told["left_child"]),
        place(told["right_child"]),
    )
