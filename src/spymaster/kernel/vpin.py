"""Volume-synchronized probability of informed trading: how one-sided is what trades, by volume.

Easley, Lopez de Prado & O'Hara (2012). A bucket holds a fiftieth of the contract's volume in its
previous complete session. Bars fill buckets in order; one that holds more than a bucket has room
for is split, its signed volume in proportion. MBO tells the aggressor, so nothing is classified by
price changes; volume without an aggressor (auctions, hidden orders) fills buckets and leans to
neither side. VPIN is the mean |buys - sells| / bucket over the last 50 full buckets, missing before
there are 5. The bucket that is still filling does not count: it does when the bar closes that fills
it, so nothing is known early.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.compiled import compiled
from spymaster.kernel.layout import I64

F64 = NDArray[np.float64]
BUCKETS, LEAST_BUCKETS = 50, 5

# `v`: size of a bucket (0: none is known), what the open one holds, how many are full.
# `buckets[:full]`: |buys - sells| of full ones, oldest first; `buckets[BUCKETS]`: of the open one
V_BUCKET, V_FILLED, V_FULL = range(3)


@compiled
def fill(v: I64, buckets: F64, volume: int, signed: int) -> None:
    """A bar's volume, of which `signed` = buys - sells, goes into the buckets."""
    left = volume if v[V_BUCKET] > 0 else 0
    while left > 0:
        taken = min(left, v[V_BUCKET] - v[V_FILLED])
        buckets[BUCKETS] += signed * taken / volume
        v[V_FILLED] += taken
        left -= taken
        if v[V_FILLED] == v[V_BUCKET]:
            if v[V_FULL] == BUCKETS:
                for i in range(BUCKETS - 1):
                    buckets[i] = buckets[i + 1]
                v[V_FULL] -= 1
            buckets[v[V_FULL]] = abs(buckets[BUCKETS])
            v[V_FULL] += 1
            v[V_FILLED] = 0
            buckets[BUCKETS] = 0.0


@compiled
def vpin(v: I64, buckets: F64) -> float:
    """Mean one-sidedness of the full buckets, 0..1; NaN with fewer than 5.

    >>> v, buckets = np.array([10, 0, 0]), np.zeros(BUCKETS + 1)
    >>> fill(v, buckets, 25, 5)  # 15 bought, 10 sold: two buckets of 6 and 4, and half a third
    >>> fill(v, buckets, 30, -30)  # sold: the third is 1 - 5, the next two -10
    >>> buckets[:6].tolist(), float(vpin(v, buckets))
    ([2.0, 2.0, 4.0, 10.0, 10.0, 0.0], 0.56)
    """
    if v[V_FULL] < LEAST_BUCKETS:
        return np.nan
    total = 0.0
    for i in range(v[V_FULL]):
        total += buckets[i]
    return total / (v[V_FULL] * v[V_BUCKET])
