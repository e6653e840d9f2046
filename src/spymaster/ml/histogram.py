"""Histogram gradient boosting (scikit-learn), handed over as arrays.

Columns are cut into bins here: with weights, scikit-learn 1.9 cuts them in a loop of Python, ten
seconds for the 298 of a vector. It learns on the bins' numbers; splits are put back on the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.ml import forest
from spymaster.ml.arrays import F8, OUTCOMES
from spymaster.ml.extra import needed
from spymaster.ml.forest import LEFT, RIGHT, Node

#: Few: 256 would cost four times as much and tell noise apart.
BINS = 63


def fit(
    knobs: Mapping[str, Any], x: F8, label: NDArray[np.int8], weight: F8, seed: int
) -> tuple[dict[str, NDArray[Any]], F8]:
    """The model's arrays, and the scores that scikit-learn itself gives the rows."""
    edges = [_edges(x[:, j]) for j in range(x.shape[1])]
    binned = _binned(x, edges)
    grown = (
        needed("sklearn.ensemble")
        .HistGradientBoostingClassifier(
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
        )
        .fit(binned, label, sample_weight=weight)
    )
    trees = [_tree(tree.nodes, edges) for rounds in grown._predictors for tree in rounds]
    base = grown._baseline_prediction.reshape(len(OUTCOMES))
    return forest.arrays(base, trees, x.shape[1]), grown.decision_function(binned)


def _binned(x: F8, edges: Sequence[F8]) -> F8:
    """The bins' numbers, NaN where missing; 0 throughout where there is nothing to split by."""
    out = np.full_like(x, np.nan)
    for j, ends in enumerate(edges):
        known = ~np.isnan(x[:, j])
        out[known, j] = np.searchsorted(ends, x[known, j])
    out[:, np.isnan(x).all(axis=0)] = 0.0
    return out


def _edges(column: F8) -> F8:
    """The upper ends of all bins but the last, with about as many rows in each.

    >>> _edges(np.array([3.0, 1.0, np.nan, 2.0])).tolist()
    [1.0, 2.0]
    """
    known = np.sort(column[~np.isnan(column)])
    if len(known) == 0:
        return known
    at = np.ceil(np.arange(1, BINS) * len(known) / BINS).astype(np.intp) - 1
    ends = np.unique(known[at])
    return np.asarray(ends[ends < known[-1]])


def _tree(nodes: NDArray[np.void], edges: Sequence[F8]) -> list[Node]:
    return [
        Node(float(n["value"]))
        if n["is_leaf"]
        else Node(
            float(n["value"]),
            int(n["feature_idx"]),
            _value(float(n["num_threshold"]), edges[n["feature_idx"]]),
            LEFT if n["missing_go_to_left"] else RIGHT,
            int(n["left"]),
            int(n["right"]),
        )
        for n in nodes
    ]


def _value(threshold: float, edges: F8) -> float:
    """A threshold between bins' numbers as one between values; none is known above the last."""
    return float(edges[int(threshold)]) if threshold < len(edges) else np.inf
