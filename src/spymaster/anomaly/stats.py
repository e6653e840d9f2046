"""A series in seven numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spymaster.anomaly.compiled import F64, compiled
from spymaster.anomaly.series import rows
from spymaster.anomaly.trend import mean


class Stats(NamedTuple):
    """In KQL's order; places count from 0, -1 where there is none; the variance is the sample's."""

    min: Any
    min_idx: Any
    max: Any
    max_idx: Any
    avg: Any
    stdev: Any
    variance: Any


@compiled
def _stats(x: F64, told: F64) -> None:
    squares = np.empty(x.shape[1])
    for row in range(len(x)):
        y = x[row]
        lowest, highest, count = -1, -1, 0
        for i in range(len(y)):
            if y[i] == y[i]:
                count += 1
                if lowest < 0 or y[i] < y[lowest]:
                    lowest = i
                if highest < 0 or y[i] > y[highest]:
                    highest = i
        average = mean(y, len(y))
        for i in range(len(y)):
            squares[i] = (y[i] - average) * (y[i] - average)
        variance = mean(squares, len(y)) * count / (count - 1) if count > 1 else np.nan
        told[0, row] = y[lowest] if count else np.nan
        told[1, row] = lowest
        told[2, row] = y[highest] if count else np.nan
        told[3, row] = highest
        told[4, row], told[5, row], told[6, row] = average, np.sqrt(variance), variance


def series_stats(series: Any, ignore_nonfinite: bool = False) -> Stats:
    """Least, greatest and their places, mean, deviation and variance of a series [n], or of m.

    One null or infinite number makes all of them null (NaN, places -1), unless such are ignored.

    >>> series_stats([2.0, 4.0, 9.0])
    Stats(min=2.0, min_idx=0, max=9.0, max_idx=2, avg=5.0, stdev=3.605551275463989, variance=13.0)
    """
    x = rows(series, "series_stats")
    infinite = ~np.isfinite(x)
    if ignore_nonfinite:
        x[infinite] = np.nan
    else:
        x[infinite.any(axis=1)] = np.nan
    told = np.empty((7, len(x)))
    _stats(x, told)
    parts = [v.astype(np.int64) if i in (1, 3) else v for i, v in enumerate(told)]
    return Stats(*(part[0].item() for part in parts) if np.ndim(series) == 1 else parts)
