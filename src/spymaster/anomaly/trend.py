"""The trend: the mean, or the line of least squares."""

from __future__ import annotations

import numpy as np

from spymaster.anomaly.compiled import F64, compiled
from spymaster.errors import ContractError

NONE, AVG, LINEFIT = 0, 1, 2
TRENDS = {"none": NONE, "avg": AVG, "linefit": LINEFIT}


def check_trend(trend: str, function: str) -> int:
    """A trend's number; ContractError for what is none."""
    if trend not in TRENDS:
        raise ContractError(f"{function}: trend {trend!r}. Allowed: {', '.join(TRENDS)}.")
    return TRENDS[trend]


@compiled
def mean(y: F64, n: int) -> float:
    """The mean of y[:n] without its nulls; NaN of none. The sum is compensated (Neumaier 1974)."""
    total, lost, count = 0.0, 0.0, 0
    for i in range(n):
        v = y[i]
        if v == v:
            grown = total + v
            lost += (total - grown) + v if abs(total) >= abs(v) else (v - grown) + total
            total = grown
            count += 1
    return (total + lost) / count if count else np.nan


@compiled
def line(y: F64, n: int) -> tuple[float, float, float]:
    """The line of least squares through (i, y[i]), i < n: height at the mean i, slope, mean i."""
    at, count = 0.0, 0
    for i in range(n):
        if y[i] == y[i]:
            at += i
            count += 1
    if count == 0:
        return np.nan, np.nan, np.nan
    at /= count
    height = mean(y, n)
    along, spread = 0.0, 0.0
    for i in range(n):
        if y[i] == y[i]:
            along += (i - at) * (y[i] - height)
            spread += (i - at) * (i - at)
    return height, along / spread if spread > 0 else 0.0, at


@compiled
def follow(y: F64, learned: int, trend: int, out: F64) -> None:
    """Write the trend of `y`, learned from y[:learned], to `out`."""
    if trend == NONE:
        out[:] = 0.0
    elif trend == AVG:
        out[:] = mean(y, learned)
    else:
        height, slope, at = line(y, learned)
        for i in range(len(out)):
            out[i] = height + slope * (i - at)
