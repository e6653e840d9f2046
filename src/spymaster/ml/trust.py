"""Calibration on validation: how far the model's scores are believed over the class prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spymaster.ml.arrays import F8


def trust(scores: F8, label: NDArray[np.int8], weight: F8, prior: F8, most: float = 3.0) -> float:
    """The b in [0, most] of least weighted log-loss of softmax((1 - b) log prior + b scores).

    One number, since validation holds few hundred episodes: it is temperature scaling (Guo et al.
    2017) about the prior, so that a model which has learnt nothing (b = 0) says the prior. The
    loss is convex in b; its slope is halved to the last bit.
    """
    tilt = scores - np.log(prior)
    low, high = 0.0, most
    if _slope(0.0, tilt, label, weight, prior) >= 0:
        return 0.0
    if _slope(most, tilt, label, weight, prior) <= 0:
        return most
    while (middle := (low + high) / 2) not in (low, high):
        if _slope(middle, tilt, label, weight, prior) > 0:
            high = middle
        else:
            low = middle
    return low


def _slope(b: float, tilt: F8, label: NDArray[np.int8], weight: F8, prior: F8) -> float:
    s = np.log(prior) + b * tilt
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    right = tilt[np.arange(len(label)), label]
    return float(np.average((p * tilt).sum(axis=1) - right, weights=weight))


def calibration(b: float, prior: F8) -> dict[str, F8]:
    """The arrays that a model holds for it: what scores are multiplied by, and what is added."""
    return {"scale": np.array(b), "shift": (1 - b) * np.log(prior)}
