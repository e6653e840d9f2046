"""One way to fit: any kind of the search space, as arrays that compute what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml import histogram, lightgbm, logistic
from spymaster.ml.arrays import F8, OUTCOMES, RAW
from spymaster.ml.extra import needed

_KINDS = {
    "logistic": ("linear", logistic.fit),
    "histogram": ("trees", histogram.fit),
    "lightgbm": ("trees", lightgbm.fit),
}
KINDS = tuple(_KINDS)
_CHECKED = 200


def form(kind: str) -> str:
    """How a kind is laid out as arrays."""
    return _KINDS[kind][0]


def fit(
    knobs: Mapping[str, Any], x: F8, label: NDArray[np.int8], weight: F8, seed: int
) -> dict[str, NDArray[Any]]:
    """Fit a kind on rows [n, k] and hand over its arrays, without calibration.

    Runs on one thread: the same bits however many cores there are. What is not finite is
    missing. An outcome that no row has gets one row of next to no weight. ModelError when the
    arrays do not compute what the library does, or when there is only one outcome.
    """
    layout, learn = _KINDS[knobs["kind"]]
    if len(x) == 0 or len(np.unique(label)) < 2:
        raise ModelError(
            f"{len(x)} rows with {len(np.unique(label))} of {len(OUTCOMES)} outcomes; at least 2 "
            "outcomes are needed to learn. Take more sessions into the snapshot"
        )
    x = np.where(np.isfinite(x), x, np.nan)
    weight = weight / weight.mean()
    absent = np.setdiff1d(np.arange(len(OUTCOMES)), label).astype(np.int8)
    rows = np.vstack([x, np.full((len(absent), x.shape[1]), np.nan)])
    with needed("threadpoolctl").threadpool_limits(limits=1):
        arrays, told = learn(
            knobs,
            rows,
            np.concatenate([label, absent]),
            np.concatenate([weight, np.full(len(absent), 1e-6)]),
            seed,
        )
    found = RAW[layout](arrays, rows[:_CHECKED])
    if not np.allclose(found, told[:_CHECKED], rtol=1e-9, atol=1e-9):
        worst = float(np.abs(found - told[:_CHECKED]).max())
        raise ModelError(
            f"the arrays of a {knobs['kind']} model are {worst:.3g} off what its library says. "
            "This is a defect of Spymaster, or a new version of the library: pin the old one"
        )
    return arrays
