"""Price levels per side: sorted arrays with the best price last.

Nearly all changes happen near the best price, so a level is found in a few steps from the end
and little moves when one is inserted. Far prices, wide spreads and sub-tick prices need no care.
"""

from __future__ import annotations

from spymaster.kernel.compiled import compiled
from spymaster.kernel.layout import I64, L_AGE, L_CT, L_KEY, L_KNOWN, L_SZ, S_N_BID

_NEAR = 12


@compiled
def position(levels: I64, n: int, side: int, key: int) -> int:
    """Index of the first level with a key at or above `key`, of `n`."""
    low = 0
    high = n
    near = n - _NEAR
    if near < 0:
        near = 0
    if near < n and levels[side, L_KEY, near] < key:
        while high > near and levels[side, L_KEY, high - 1] >= key:
            high -= 1
        return high
    high = near
    while low < high:
        middle = (low + high) >> 1
        if levels[side, L_KEY, middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def add(levels: I64, s: I64, side: int, key: int, sz: int, entry: int, known: int) -> None:
    """An order of `sz` joins the queue at `key`; its `entry` counts for the queue's age."""
    n = s[S_N_BID + side]
    i = position(levels, n, side, key)
    if i == n or levels[side, L_KEY, i] != key:
        for c in range(levels.shape[1]):
            for j in range(n, i, -1):
                levels[side, c, j] = levels[side, c, j - 1]
            levels[side, c, i] = 0
        levels[side, L_KEY, i] = key
        s[S_N_BID + side] = n + 1
    levels[side, L_SZ, i] += sz
    levels[side, L_CT, i] += 1
    levels[side, L_AGE, i] += sz * entry
    levels[side, L_KNOWN, i] += sz * known


@compiled
def take(
    levels: I64, s: I64, side: int, key: int, sz: int, entry: int, known: int, orders: int
) -> None:
    """`sz` of one order leaves the queue at `key`, and `orders` (0 or 1) orders with it."""
    n = s[S_N_BID + side]
    i = position(levels, n, side, key)
    levels[side, L_SZ, i] -= sz
    levels[side, L_CT, i] -= orders
    levels[side, L_AGE, i] -= sz * entry
    levels[side, L_KNOWN, i] -= sz * known
    if levels[side, L_CT, i] == 0:
        for c in range(levels.shape[1]):
            for j in range(i, n - 1):
                levels[side, c, j] = levels[side, c, j + 1]
        s[S_N_BID + side] = n - 1


@compiled
def size_of_best(levels: I64, n: int, side: int, depth: int) -> int:
    """Size over the best `depth` non-empty prices."""
    total = 0
    first = n - depth
    if first < 0:
        first = 0
    for i in range(first, n):
        total += levels[side, L_SZ, i]
    return total
