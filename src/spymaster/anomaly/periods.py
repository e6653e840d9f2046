"""Periods of a series: an approximation, since the service does not publish how it scores them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spymaster.anomaly.compiled import F64
from spymaster.anomaly.series import finite_rows, like
from spymaster.anomaly.trend import line
from spymaster.errors import ContractError

_SHORTEST = 4
#: A weaker correlation is no period.
_WEAK = 0.1
#: A period nearer than this share of a better one is the same.
_NEAR = 0.25


class Periods(NamedTuple):
    """Periods in bins, the most significant first, and their scores in 0..1; padded with 0."""

    periods: F64
    scores: F64


def _correlations(x: F64) -> F64:
    """The autocorrelation of each lag, detrended, biased; nulls count as the trend."""
    n = len(x)
    height, slope, at = line(x, n)
    rest = np.nan_to_num(x - (height + slope * (np.arange(n) - at)))
    if not np.abs(rest).max() > 2.0**-40 * np.nan_to_num(np.abs(x)).max():
        return np.zeros(n)
    size = 1 << (2 * n - 1).bit_length()
    found = np.fft.irfft(np.abs(np.fft.rfft(rest, size)) ** 2, size)[:n]
    correlations: F64 = found / found[0]
    return correlations


def detect(x: F64, shortest: float, longest: float, num: int) -> Periods:
    """The periods of one series; see `series_periods_detect`."""
    n = len(x)
    found = Periods(np.zeros(num), np.zeros(num))
    if n < 2 * _SHORTEST or not np.isfinite(x).any():
        return found
    biased = _correlations(x)
    lag = np.arange(n)
    score = np.clip(biased * n / (n - lag), 0.0, 1.0) * np.cbrt(1 - lag / n)
    peaks = [
        k
        for k in range(max(_SHORTEST, int(np.ceil(shortest))), (n - 1) // 2 + 1)
        if k <= longest
        and biased[k] > biased[k - 1]
        and biased[k] > biased[k + 1]
        and score[k] >= _WEAK
        and score[1:k].min() < score[k] / 2
    ]
    taken: list[int] = []
    for k in sorted(peaks, key=lambda k: -score[k]):
        if not any(abs(k - t) <= _NEAR * max(k, t) or _multiple(k, t) for t in taken):
            taken.append(k)
    taken = taken[:num]
    found.periods[: len(taken)] = taken
    found.scores[: len(taken)] = score[taken]
    return found


def _multiple(k: int, t: int) -> bool:
    """Is `k` about a whole number of `t`?"""
    times = round(k / t)
    return times >= 2 and abs(k - times * t) <= max(1, _NEAR * t / 2)


def series_periods_detect(
    series: Any, min_period: float, max_period: float, num_periods: int
) -> Periods:
    """The most significant periods of a series [n], or of each of m: AN APPROXIMATION of KQL's.

    Peaks of the autocorrelation of at least 4 bins and less than half of the series. The scores
    are not the service's: use an explicit seasonality where both must agree. Raises ContractError.

    >>> series_periods_detect([1, 2, 3, 4, 3, 2] * 5, 0, 50, 1).periods.tolist()
    [6.0]
    """
    x = finite_rows(series, "series_periods_detect")
    if int(num_periods) != num_periods or num_periods < 1:
        raise ContractError(
            f"series_periods_detect: num_periods {num_periods}. Allowed: a whole number from 1 on."
        )
    if not 0 <= min_period <= max_period:
        raise ContractError(
            f"series_periods_detect: periods from {min_period} to {max_period}. Allowed: two "
            "numbers of bins from 0 on, the smaller one first."
        )
    found = [detect(row, min_period, max_period, int(num_periods)) for row in x]
    empty = np.zeros((0, int(num_periods)))
    return Periods(
        like(series, np.array([f.periods for f in found]) if found else empty),
        like(series, np.array([f.scores for f in found]) if found else empty),
    )
