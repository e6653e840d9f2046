"""Multinomial logistic regression over scaled columns, handed over as arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.ml.arrays import F8, OUTCOMES
from spymaster.ml.extra import needed

#: A column has an indicator of its own where it is missing in at least this share of the rows.
_SOME = 0.005


def fit(
    knobs: Mapping[str, Any], x: F8, label: NDArray[np.int8], weight: F8, seed: int
) -> tuple[dict[str, NDArray[Any]], F8]:
    """The model's arrays, and the scores that scikit-learn itself gives the rows.

    A column is centred and scaled (by mean and deviation, or by median and quartiles), cut at
    `clip`, and where it is missing set to its centre; with `indicators`, being missing counts too.
    """
    learner = needed("sklearn.linear_model").LogisticRegression
    k = x.shape[1]
    known = np.isfinite(x)
    centre, inverse = _scale(np.where(known, x, np.nan), knobs["scaling"])
    z = (np.where(known, x, centre) - centre) * inverse
    z = np.clip(z, -knobs["clip"], knobs["clip"])
    share = 1 - known.mean(axis=0)
    told = (share >= _SOME) & (share <= 1 - _SOME) & bool(knobs["indicators"])
    design = np.hstack([z, (~known[:, told]).astype(np.float64)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", needed("sklearn.exceptions").ConvergenceWarning)
        found = learner(C=1 / (knobs["alpha"] * len(x)), max_iter=300).fit(
            design, label, sample_weight=weight
        )
    missing = np.zeros((k, len(OUTCOMES)))
    missing[told] = found.coef_[:, k:].T
    arrays = {
        "centre": centre,
        "inverse": inverse,
        "clip": np.array(float(knobs["clip"])),
        "weight": np.ascontiguousarray(found.coef_[:, :k].T),
        "missing": missing,
        "intercept": found.intercept_,
    }
    return arrays, found.decision_function(design)


def _scale(x: F8, scaling: str) -> tuple[F8, F8]:
    """Centre and 1 / width per column; a column that never moves, or is never known, counts 0."""
    k = x.shape[1]
    centre, inverse = np.zeros(k), np.zeros(k)
    for j in range(k):
        v = x[~np.isnan(x[:, j]), j]
        if len(v) == 0:
            continue
        if scaling == "robust":
            low, centre[j], high = np.quantile(v, (0.25, 0.5, 0.75))
            width = (high - low) / 1.349  # of a normal: one standard deviation
            width = width if width > 0 else v.std()
        else:
            centre[j], width = v.mean(), v.std()
        inverse[j] = 1 / width if width > 1e-12 * max(1.0, abs(centre[j])) else 0.0
    return centre, inverse
