"""The three outcomes in their order, what a probability of them may be, and how often each came."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.silver import OUTCOMES
from spymaster.errors import ModelError

__all__ = ["FLOOR", "OUTCOMES", "PROBABILITIES", "floored", "prior"]

#: The columns of probabilities, in the order of OUTCOMES.
PROBABILITIES = tuple(f"p_{name.lower()}" for name in OUTCOMES)
#: No outcome is ever called impossible: the worst loss of a vector is 13.8 nats.
FLOOR = 1e-6
_ROUNDING = 1e-14


def floored(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows [n, 3] that are at least FLOOR and sum to one; raises ModelError for NaN or below zero.

    What is above the floor gives up, in proportion, what lifts the rest to it. Floored rows stay
    as they are, bit for bit.

    >>> floored(np.array([[2.0, 1.0, 1.0]])).tolist()
    [[0.5, 0.25, 0.25]]
    >>> floored(np.array([[1.0, 0.0, 0.0]])).tolist()
    [[0.999998, 1e-06, 1e-06]]
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or p.shape[1] != len(OUTCOMES):
        raise ModelError(
            f"probabilities have the shape {p.shape}; allowed: [rows, {len(OUTCOMES)}], "
            f"one column each for {', '.join(OUTCOMES)}."
        )
    total = p.sum(axis=1, keepdims=True)
    bad = ~(np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (total[:, 0] > 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ModelError(
            f"probabilities row {row} is {p[row].tolist()}; allowed: finite, not below zero, not "
            "all zero. A model must never answer NaN: impute what is missing before it."
        )
    # A sum that is one but for rounding is left: dividing again would part equal probabilities.
    p = np.where(abs(total - 1.0) > _ROUNDING, p / total, p)
    low = p < FLOOR
    if not low.any():
        return np.asarray(p)
    lifted = np.where(low, FLOOR, 0.0)
    kept = np.where(low, 0.0, p)
    room = 1.0 - lifted.sum(axis=1, keepdims=True)
    return np.asarray(np.where(low, FLOOR, kept * (room / kept.sum(axis=1, keepdims=True))))


def prior(label: NDArray[np.int8], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """The outcomes' weighted shares, floored: [3].

    >>> prior(np.array([0, 1, 1, 2], np.int8), np.array([1.0, 0.5, 0.5, 2.0])).tolist()
    [0.25, 0.25, 0.5]
    """
    if not len(label):
        raise ModelError("there are no rows to take the prior of. Name sessions that hold some.")
    total = np.asarray(np.bincount(label, weight, len(OUTCOMES)), np.float64)
    return np.asarray(floored(total[None])[0])
