"""How a series moved over its last bars: mean, slope and curvature by least squares.

"Market physics": position, velocity, acceleration. Orthogonal polynomials over the bars that
have a value; with all of 3 bars, curvature is the second difference.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.compiled import compiled


@compiled
def enough(window: int) -> int:
    """How many of a window's bars must have a value: three quarters, and all of 3."""
    return max(3, (3 * window + 3) // 4)


@compiled
def moments(
    y: NDArray[np.float64], first: int, count: int, out: NDArray[np.float64], at: int
) -> None:
    """Mean, slope per bar and second derivative of `y[first : first + count]`, into `out[at:]`.

    NaN values are left out; NaN where fewer than `enough` are left.
    """
    n = 0
    sum_x = 0.0
    sum_y = 0.0
    for i in range(count):
        value = y[first + i]
        if not np.isnan(value):
            n += 1
            sum_x += i
            sum_y += value
    if n < enough(count):
        out[at] = np.nan
        out[at + 1] = np.nan
        out[at + 2] = np.nan
        return
    mean_x = sum_x / n
    mean_y = sum_y / n
    sxx = 0.0
    sx3 = 0.0
    sxy = 0.0
    for i in range(count):
        value = y[first + i]
        if not np.isnan(value):
            x = i - mean_x
            sxx += x * x
            sx3 += x * x * x
            sxy += x * (value - mean_y)
    skew = sx3 / sxx
    level = sxx / n
    spp = 0.0
    spy = 0.0
    for i in range(count):
        value = y[first + i]
        if not np.isnan(value):
            x = i - mean_x
            p = x * x - skew * x - level
            spp += p * p
            spy += p * (value - mean_y)
    out[at] = mean_y
    out[at + 1] = sxy / sxx
    out[at + 2] = 2.0 * (spy / spp)


@compiled
def median(y: NDArray[np.float64], count: int, least: int, scratch: NDArray[np.float64]) -> float:
    """Median of the values among `y[:count]`; NaN with fewer than `least`, or when it is 0."""
    n = 0
    for i in range(count):
        if not np.isnan(y[i]):
            scratch[n] = y[i]
            n += 1
    if n < least:
        return np.nan
    values = np.sort(scratch[:n])
    middle = values[n // 2] if n % 2 else (values[n // 2 - 1] + values[n // 2]) / 2.0
    return middle if middle > 0.0 else np.nan
