"""A series taken apart: season, trend, and what neither explains, which is where anomalies are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spymaster.anomaly.compiled import F64, I64, compiled
from spymaster.anomaly.outliers import fences, score
from spymaster.anomaly.seasonal import check_seasonality, periods_of, season
from spymaster.anomaly.series import finite_rows, like
from spymaster.anomaly.trend import check_trend, follow
from spymaster.errors import ContractError

#: Percentiles of a residual that are nearer to each other than this share of the largest number
#: are the same: what lies between them is rounding. A fraction of a billionth of any tick.
SAME = 2.0**-44


class Decomposition(NamedTuple):
    """Four series in KQL's order; baseline = seasonal + trend, residual = series - baseline."""

    baseline: F64
    seasonal: F64
    trend: F64
    residual: F64


class Anomalies(NamedTuple):
    """Three series in KQL's order: +1, -1 or 0; the score; what was expected."""

    ad_flag: I64
    ad_score: F64
    baseline: F64


@compiled
def take_apart(  # type: ignore[no-untyped-def]
    x: F64, learned, period, trend, scratch: F64, baseline: F64, seasonal: F64, tr: F64, rest: F64
) -> None:
    """Decompose one series; x[:learned] is learned from, all of it is told about."""
    season(x, learned, period, scratch, seasonal)
    for i in range(len(x)):
        rest[i] = x[i] - seasonal[i]
    follow(rest, learned, trend, tr)
    for i in range(len(x)):
        baseline[i] = seasonal[i] + tr[i]
        rest[i] = x[i] - baseline[i]


@compiled
def spread_of_rounding(x: F64) -> float:
    """The distance that two numbers of a residual may have by rounding alone."""
    largest = 0.0
    for v in x:
        if v == v:
            largest = max(largest, abs(v))
    return largest * SAME


@compiled
def flag(value: float, threshold: float) -> int:
    """The sign of a score beyond the threshold, else 0."""
    if value > threshold:
        return 1
    return -1 if value < -threshold else 0


@compiled
def _apart(x: F64, learned, periods: I64, trend, out: F64) -> None:  # type: ignore[no-untyped-def]
    scratch = np.empty(x.shape[1])
    for row in range(len(x)):
        take_apart(
            x[row], learned, periods[row], trend, scratch, out[0, row], out[1, row], out[2, row],
            out[3, row],
        )  # fmt: skip


@compiled
def _anomalies(  # type: ignore[no-untyped-def]
    x: F64, learned, periods: I64, trend, threshold, low, high, n_low, n_high, flags: I64,
    scores: F64, baselines: F64,
) -> None:  # fmt: skip
    room = np.empty((4, x.shape[1]))
    for row in range(len(x)):
        take_apart(
            x[row], learned, periods[row], trend, room[0], baselines[row], room[1], room[2], room[3]
        )
        same = spread_of_rounding(x[row])
        score(room[3], low, high, n_low, n_high, same, room[0], scores[row])
        for i in range(x.shape[1]):
            flags[row, i] = flag(scores[row, i], threshold)


def learned_points(n: int, test_points: int, function: str) -> int:
    """How many of n points are learned from; ContractError when that is none."""
    if int(test_points) != test_points or test_points < 0 or (n and test_points >= n):
        raise ContractError(
            f"{function}: test_points {test_points} of {n} leaves nothing to learn from. "
            f"Allowed: 0 to {max(0, n - 1)}."
        )
    return n - int(test_points)


def check_threshold(threshold: float, function: str) -> float:
    """A threshold of scores; ContractError for what is none."""
    if not 0 < threshold < np.inf:
        raise ContractError(
            f"{function}: threshold {threshold}. Allowed: a number above 0; 1.5 is mild, 3 strong."
        )
    return float(threshold)


def series_decompose(
    series: Any,
    seasonality: int = -1,
    trend: str = "avg",
    test_points: int = 0,
    seasonality_threshold: float = 0.6,
) -> Decomposition:
    """A series [n], or m of them [m, n], as baseline, seasonal, trend and residual.

    `seasonality`: bins of a period, 0 for none, -1 to detect it (an approximation of KQL's).
    `trend`: avg, linefit or none. The last `test_points` are left out of the learning. Nulls are
    left out of it too: their residual is null, their baseline is told. Raises ContractError.

    >>> series_decompose([1.0, 2.0, 1.0, 2.0, 1.0, 5.0], 2).residual.tolist()
    [-0.5, -0.5, -0.5, -0.5, -0.5, 2.5]
    """
    name = "series_decompose"
    x = finite_rows(series, name)
    kind = check_trend(trend, name)
    learned = learned_points(x.shape[1], test_points, name)
    seasonality = check_seasonality(seasonality, name)
    periods = periods_of(x[:, :learned], seasonality, seasonality_threshold)
    out = np.empty((4, *x.shape))
    _apart(x, learned, periods, kind, out)
    return Decomposition(*(like(series, part) for part in out))


def series_decompose_anomalies(
    series: Any,
    threshold: float = 1.5,
    seasonality: int = -1,
    trend: str = "avg",
    test_points: int = 0,
    ad_method: str = "ctukey",
    seasonality_threshold: float = 0.6,
) -> Anomalies:
    """The anomalies of a series [n], or of m of them [m, n]: flags, scores and baseline.

    Decomposes as `series_decompose` does and scores the residual as `series_outliers` does; a flag
    is a score beyond the threshold. Nulls have score 0, and so has everything where the residual's
    percentiles do not differ. Raises ContractError.

    >>> x = [4.0, 5.0, 6.0, 5.0, 4.0, 5.0, 6.0, 5.0, 19.0, 5.0, 6.0, 5.0]
    >>> series_decompose_anomalies(x, seasonality=0).ad_flag.tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    """
    name = "series_decompose_anomalies"
    x = finite_rows(series, name)
    threshold = check_threshold(threshold, name)
    kind = check_trend(trend, name)
    f = fences(ad_method, 10, 90, name)
    learned = learned_points(x.shape[1], test_points, name)
    seasonality = check_seasonality(seasonality, name)
    periods = periods_of(x[:, :learned], seasonality, seasonality_threshold)
    flags, scores, baselines = np.empty(x.shape, np.int64), np.empty_like(x), np.empty_like(x)
    _anomalies(x, learned, periods, kind, threshold, *f, flags, scores, baselines)
    return Anomalies(like(series, flags), like(series, scores), like(series, baselines))
