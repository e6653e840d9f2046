"""Tukey's test between any two percentiles, its score made comparable."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from spymaster.anomaly.compiled import F64, compiled
from spymaster.anomaly.percentile import between, least, select
from spymaster.anomaly.series import finite_rows, like
from spymaster.errors import ContractError

#: What the service multiplies by between the 10th and 90th percentile: with z75 = 0.675 and
#: z90 = 1.29682082 it gives every published digit (fabric-kql facts, docs/anomalies.md).
N = 3 * 1.29682082 / (4 * 0.675 - 1.29682082)
METHODS = ("ctukey", "tukey")
_LOWEST, _HIGHEST = 2.0, 98.0


class Fences(NamedTuple):
    """Two percentiles as shares, and what a distance below and above them is multiplied by."""

    low: float
    high: float
    n_low: float
    n_high: float


CTUKEY = Fences(0.1, 0.9, N, N)
TUKEY = Fences(0.25, 0.75, 1.0, 1.0)


def fences(kind: str, low: float, high: float, function: str) -> Fences:
    """The fences of a method; for other percentiles than 10 and 90 by exact normal quantiles."""
    if kind not in METHODS:
        raise ContractError(f"{function}: method {kind!r}. Allowed: {', '.join(METHODS)}.")
    if kind == "tukey":
        return TUKEY
    if not _LOWEST <= low < high <= _HIGHEST:
        raise ContractError(
            f"{function}: percentiles {low} and {high}. Allowed: from 2 to 98, the lower one first."
        )
    if (low, high) == (10, 90):
        return CTUKEY
    z = NormalDist().inv_cdf
    z75, z_low, z_high = z(0.75), z(low / 100), z(high / 100)
    if max(z_high, -z_low) >= 4 * z75:  # never within 2..98: z98 is 2.05, 4 z75 is 2.70
        raise ContractError(f"{function}: percentiles {low} and {high} lie beyond Tukey's fence.")
    reach = 1.5 * (z_high - z_low)
    return Fences(low / 100, high / 100, reach / (4 * z75 + z_low), reach / (4 * z75 - z_high))


@compiled
def quantiles(a: F64, n: int, low: float, high: float) -> tuple[float, float]:
    """Two percentiles (shares 0..1) of a[:n], linear between neighbours; reorders a."""
    at, k = (n - 1) * low, int((n - 1) * low)
    below = select(a, n, k)
    first = below if k + 1 >= n else between(below, least(a, k + 1, n), at - k)
    at, j = (n - 1) * high, int((n - 1) * high)
    below = select(a[k:n], n - k, j - k)  # none behind k is smaller
    return first, below if j + 1 >= n else between(below, least(a, j + 1, n), at - j)


@compiled
def distance(v: float, low: float, high: float, n_low: float, n_high: float) -> float:
    """A number's score against two percentiles that differ: 0 between them, and for null."""
    if v > high:
        return n_high * (v - high) / (high - low)
    if v < low:
        return n_low * (v - low) / (high - low)
    return 0.0


@compiled
def score(  # type: ignore[no-untyped-def]
    x: F64, low_share, high_share, n_low, n_high, least_spread, scratch: F64, out: F64
) -> None:
    """Write the score of each of `x` to `out`.

    Zeros where the percentiles are not further apart than `least_spread`.
    """
    n = 0
    for v in x:
        if v == v:
            scratch[n] = v
            n += 1
    out[:] = 0.0
    if n == 0:
        return
    low, high = quantiles(scratch, n, low_share, high_share)
    if not high - low > least_spread:
        return
    for i in range(len(x)):
        out[i] = distance(x[i], low, high, n_low, n_high)


@compiled
def _scores(x: F64, low, high, n_low, n_high, out: F64) -> None:  # type: ignore[no-untyped-def]
    scratch = np.empty(x.shape[1])
    for row in range(len(x)):
        score(x[row], low, high, n_low, n_high, 0.0, scratch, out[row])


def series_outliers(
    series: Any,
    kind: str = "ctukey",
    ignore_val: float | None = None,
    min_percentile: float = 10,
    max_percentile: float = 90,
) -> F64:
    """How far beyond two percentiles each number of a series [n] lies; of m series [m, n].

    1.5 is mild, 3 strong, under a normal law. 0 between the percentiles, for nulls and for
    `ignore_val`, and everywhere when the two percentiles are the same number. Raises ContractError
    for infinite numbers, an unknown kind, and percentiles outside 2..98.

    >>> float(series_outliers([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 40])[-1].round(3))
    10.397
    """
    x = finite_rows(series, "series_outliers")
    f = fences(kind, min_percentile, max_percentile, "series_outliers")
    if ignore_val is not None:
        x[x == ignore_val] = np.nan
    out = np.empty_like(x)
    _scores(x, *f, out)
    found: F64 = like(series, out)
    return found
