"""Anomalies bar by bar: of the newest bar of many series, as the batch form has it, bit for bit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.anomaly.compiled import F64, I64, compiled
from spymaster.anomaly.decompose import (
    SAME,
    check_threshold,
    flag,
    spread_of_rounding,
    take_apart,
)
from spymaster.anomaly.outliers import distance, fences, quantiles
from spymaster.anomaly.percentile import between
from spymaster.anomaly.seasonal import check_seasonality
from spymaster.anomaly.trend import LINEFIT, NONE, check_trend, mean
from spymaster.errors import ContractError

_NAME = "StreamingAnomalies"


class Newest(NamedTuple):
    """Of each series' newest bar: +1, -1 or 0; the score; what was expected."""

    ad_flag: I64
    ad_score: F64
    baseline: F64


@compiled
def _place(ordered: F64, n: int, value: float) -> int:
    """How many of ordered[:n] are smaller."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _exchange(ordered: F64, n: int, gone: float, came: float) -> int:
    """Take one number out of ordered[:n] and put one in, null for none of either; how many stay."""
    if gone == gone:
        at = _place(ordered, n, gone)
        n -= 1
        for i in range(at, n):
            ordered[i] = ordered[i + 1]
    if came == came:
        at = _place(ordered, n, came)
        for i in range(n, at, -1):
            ordered[i] = ordered[i - 1]
        ordered[at] = came
        n += 1
    return n


@compiled
def _ordered_percentile(ordered: F64, n: int, share: float, baseline: float) -> float:
    """A percentile of ordered[:n] less the baseline: rounding keeps their order."""
    at = (n - 1) * share
    k = int(at)
    below = ordered[k] - baseline
    return below if k + 1 >= n else between(below, ordered[k + 1] - baseline, at - k)


@compiled
def _by_order(  # type: ignore[no-untyped-def]
    x: F64, learned, trend, low, high, n_low, n_high, ordered: F64, n
) -> tuple[float, float]:
    """Score and baseline of the last of `x` without a season, from its numbers in their order."""
    baseline = 0.0 + (0.0 if trend == NONE else mean(x, learned))
    if n == 0 or baseline != baseline:
        return 0.0, baseline
    below = _ordered_percentile(ordered, n, low, baseline)
    above = _ordered_percentile(ordered, n, high, baseline)
    if not above - below > max(abs(ordered[0]), abs(ordered[n - 1])) * SAME:
        return 0.0, baseline
    return distance(x[-1] - baseline, below, above, n_low, n_high), baseline


@compiled
def _by_parts(  # type: ignore[no-untyped-def]
    x: F64, learned, period, trend, low, high, n_low, n_high, room: F64
) -> tuple[float, float]:
    """Score and baseline of the last of `x`, taken apart anew."""
    k = len(x)
    scratch, rest, baselines = room[0, :k], room[3, :k], room[4, :k]
    take_apart(x, learned, period, trend, scratch, baselines, room[1, :k], room[2, :k], rest)
    n = 0
    for v in rest:
        if v == v:
            scratch[n] = v
            n += 1
    if n == 0:
        return 0.0, baselines[-1]
    below, above = quantiles(scratch, n, low, high)
    if not above - below > spread_of_rounding(x):
        return 0.0, baselines[-1]
    return distance(rest[-1], below, above, n_low, n_high), baselines[-1]


@compiled
def _advance(  # type: ignore[no-untyped-def]
    held: F64, first, bars, test_points, values: F64, is_full, ordered: F64, counts: I64, room: F64,
    threshold, period, trend, low, high, n_low, n_high, flags: I64, scores: F64, baselines: F64,
) -> None:  # fmt: skip
    """Put `values` behind the bars that each series holds, and tell about them."""
    by_order = period == 0 and trend != LINEFIT
    for row in range(len(held)):
        came = values[row]
        held[row, first + bars - 1] = came
        if by_order:
            gone = held[row, first - 1] if is_full else np.nan
            counts[row] = _exchange(ordered[row], counts[row], gone, came)
        learned = bars - test_points
        if learned <= 0:
            flags[row], scores[row], baselines[row] = 0, 0.0, np.nan
            continue
        x = held[row, first : first + bars]
        if by_order:
            scores[row], baselines[row] = _by_order(
                x, learned, trend, low, high, n_low, n_high, ordered[row], counts[row]
            )
        else:
            scores[row], baselines[row] = _by_parts(
                x, learned, period, trend, low, high, n_low, n_high, room
            )
        flags[row] = flag(scores[row], threshold)


class StreamingAnomalies:
    """Anomalies of `m` series over a window of their last `n` bars.

    The other arguments are those of `series_decompose_anomalies`, with an explicit seasonality.
    Raises ContractError.

    >>> seen = StreamingAnomalies(1, 60)
    >>> flags = [int(seen.add([v]).ad_flag[0]) for v in [4, 5, 6, 5, 4, 5, 6, 5, 4, 5, 6, 5, 19]]
    >>> flags[-1]
    1
    """

    def __init__(
        self,
        m: int,
        n: int,
        threshold: float = 1.5,
        seasonality: int = 0,
        trend: str = "avg",
        test_points: int = 0,
        ad_method: str = "ctukey",
    ) -> None:
        if int(n) != n or n < 1 or int(m) != m or m < 0:
            raise ContractError(
                f"{_NAME}: {m} series of {n} bars. Allowed: a window from 1 bar on."
            )
        if int(test_points) != test_points or not 0 <= test_points < n:
            raise ContractError(
                f"{_NAME}: test_points {test_points} of a window of {n} bars. Allowed: 0 to "
                f"{n - 1}."
            )
        f = fences(ad_method, 10, 90, _NAME)
        period = check_seasonality(seasonality, _NAME, 0)
        self.m, self.n = int(m), int(n)
        self.bars = 0  #: how many bars the window has
        self._test_points = int(test_points)
        self._how = (check_threshold(threshold, _NAME), period, check_trend(trend, _NAME), *f)
        # The window lies in one piece and moves through a place of twice its length.
        self._held = np.full((self.m, 2 * self.n + 1), np.nan)
        self._first = 1
        self._ordered = np.empty((self.m, self.n))
        self._counts = np.zeros(self.m, np.int64)
        self._room = np.empty((5, self.n))

    @property
    def window(self) -> F64:
        """The bars of the window, [m, bars], oldest first."""
        return self._held[:, self._first : self._first + self.bars].copy()

    def add(self, values: Any) -> Newest:
        """Take the newest bar of each series, [m], NaN for null; what it is in its window.

        Until there are more bars than `test_points`, nothing is known and the baseline is null.
        """
        x: NDArray[np.float64] = np.asarray(values, np.float64)
        if x.shape != (self.m,) or np.isinf(x).any():
            raise ContractError(
                f"{_NAME}: {values!r} is no bar of {self.m} series. Allowed: {self.m} finite "
                "numbers, and NaN for null."
            )
        full = self.bars == self.n
        if full:
            if self._first + self.n >= self._held.shape[1]:
                self._held[:, : self.n] = self._held[:, self._first :]
                self._first = 0
            self._first += 1
        else:
            self.bars += 1
        out = Newest(np.empty(self.m, np.int64), np.empty(self.m), np.empty(self.m))
        _advance(
            self._held, self._first, self.bars, self._test_points, x, full, self._ordered,
            self._counts, self._room, *self._how, *out,
        )  # fmt: skip
        return out
