"""The seasonal component: at each place of a period, the median of what was there."""

from __future__ import annotations

from typing import Any

import numpy as np

from spymaster.anomaly.compiled import F64, I64, compiled
from spymaster.anomaly.percentile import median
from spymaster.anomaly.periods import detect
from spymaster.anomaly.series import finite_rows, like
from spymaster.errors import ContractError

#: The score that a period must have to be taken by `series_seasonal`.
_ACCEPTED = 0.7


@compiled
def season(x: F64, learned: int, period: int, scratch: F64, out: F64) -> None:
    """Write the seasonal component of `x`, learned from x[:learned], to `out`.

    Zeros where `period` is 0; NaN at a place of the period where nothing was seen.
    """
    n = len(x)
    if period == 0:
        out[:] = 0.0
        return
    for phase in range(min(period, n)):
        m = 0
        for i in range(phase, learned, period):
            if x[i] == x[i]:
                scratch[m] = x[i]
                m += 1
        value = median(scratch, m) if m else np.nan
        for i in range(phase, n, period):
            out[i] = value


@compiled
def _seasons(x: F64, periods: I64, out: F64) -> None:
    scratch = np.empty(x.shape[1])
    for row in range(len(x)):
        season(x[row], x.shape[1], periods[row], scratch, out[row])


def periods_of(x: F64, seasonality: int, accepted: float) -> I64:
    """The period of each row: as given, or detected with a score of at least `accepted`."""
    if seasonality >= 0:
        return np.full(len(x), seasonality, np.int64)
    found = np.zeros(len(x), np.int64)
    for row, values in enumerate(x):
        best = detect(values, 4.0, x.shape[1] / 2, 1)
        found[row] = int(best.periods[0]) if best.scores[0] >= accepted else 0
    return found


def check_seasonality(seasonality: int, function: str, least: int = -1) -> int:
    """The seasonality as an int; ContractError for what is none."""
    if int(seasonality) != seasonality or seasonality < least:
        told = "-1 (find it), " if least < 0 else ""
        raise ContractError(
            f"{function}: seasonality {seasonality}. Allowed: {told}0 (none) or a period in bins."
        )
    return int(seasonality)


def series_seasonal(series: Any, period: int = -1) -> F64:
    """The seasonal component of a series [n] or of m series [m, n].

    `period` in bins; -1 detects it, an approximation of KQL's; else zeros. Nulls are left out.
    Raises ContractError for infinite numbers.

    >>> series_seasonal([1, 3, 5, 2, 4, 6, 1, 3, 5, 2, 4, 6], 3)[:4].tolist()
    [1.5, 3.5, 5.5, 1.5]
    """
    x = finite_rows(series, "series_seasonal")
    if int(period) != period:
        raise ContractError(f"series_seasonal: period {period}. Allowed: a whole number of bins.")
    known = int(period) if period >= -1 else 0
    out = np.empty_like(x)
    _seasons(x, periods_of(x, known, _ACCEPTED), out)
    found: F64 = like(series, out)
    return found
