"""Histogram gradient boosting (scikit-learn), handed over as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.ml import forest
from spymaster.ml.arrays import F8, OUTCOMES
from spymaster.ml.forest import LEFT, RIGHT, Node


#: Few: 256 would cost four times as much and tell noise apart.
BINS = 63


def fit(
    knobs: Mapping[str, Any], x: F8, label: NDArray[np.int8], weight: F8, seed: int
) -> tuple[dict[str, NDArray[Any]], F8]:
    """The model's arrays, and the scores that scikit-learn itself gives the rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    grown = HistGradientBoostingClassifier(
        learning_rate=knobs["learning_rate"],
        max_iter=int(knobs["rounds"]),
        max_leaf_nodes=int(knobs["leaves"]),
        max_depth=int(knobs["depth"]),
        min_samples_leaf=max(1, round(knobs["leaf_share"] * len(x))),
        l2_regularization=knobs["l2"],
        max_bins=BINS,
        max_features=knobs["columns"],
        early_stopping=False,
        random_state=seed,
    ).fit(x, label, sample_weight=weight)
    trees = [_tree(tree.nodes) for rounds in grown._predictors for tree in rounds]
    base = grown._baseline_prediction.reshape(len(OUTCOMES))
    return forest.arrays(base, trees, x.shape[1]), grown.decision_function(x)


def _tree(nodes: NDArray[np.void]) -> list[Node]:
    return [
        Node(float(n["value"]))
        if n["is_leaf"]
        else Node(
            float(n["value"]),
            int(n["feature_idx"]),
            float(n["num_threshold"]),
            LEFT if n["missing_go_to_left"] else RIGHT,
            int(n["left"]),
            int(n["right"]),
        )
        for n in nodes
    ]
