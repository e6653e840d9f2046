"""Price levels per side: sorted arrays with the best price last, each with its queue of orders.

Nearly all changes happen near the best price, so a level is found in a few steps from the end
and little moves when one is inserted. Far prices, wide spreads and sub-tick prices need no care.
"""

from __future__ import annotations

from spymaster.kernel.compiled import hot
from spymaster.kernel.layout import (
    I64,
    L_AGE,
    L_CT,
    L_FIRST,
    L_KEY,
    L_KNOWN,
    L_LAST,
    L_SZ,
    O_ENTRY,
    O_KEY,
    O_NEXT,
    O_PREV,
    O_SZ,
    S_CHANGED,
    S_N_BID,
)

_NEAR = 12


@hot
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


@hot
def join(levels: I64, orders: I64, s: I64, side: int, row: int, known: int) -> None:
    """An order goes to the end of the queue at its price; `known`: its age is, 0 or 1."""
    n = s[S_N_BID + side]
    order = orders[row]
    key = order[O_KEY]
    i = position(levels, n, side, key)
    if i == n or levels[side, L_KEY, i] != key:
        for c in range(levels.shape[1]):
            for j in range(n, i, -1):
                levels[side, c, j] = levels[side, c, j - 1]
            levels[side, c, i] = 0
        levels[side, L_KEY, i] = key
        n += 1
        s[S_N_BID + side] = n
    s[S_CHANGED + side] = min(s[S_CHANGED + side], n - 1 - i)
    sz = order[O_SZ]
    levels[side, L_SZ, i] += sz
    levels[side, L_CT, i] += 1
    levels[side, L_AGE, i] += sz * order[O_ENTRY]
    levels[side, L_KNOWN, i] += sz * known
    last = levels[side, L_LAST, i]
    order[O_PREV] = last
    order[O_NEXT] = 0
    if last:
        orders[last - 1, O_NEXT] = row + 1
    else:
        levels[side, L_FIRST, i] = row + 1
    levels[side, L_LAST, i] = row + 1


@hot
def leave(levels: I64, orders: I64, s: I64, side: int, row: int, sz: int, known: int) -> None:
    """`sz` of an order leaves the queue at its price, and the order with it when that is all."""
    n = s[S_N_BID + side]
    order = orders[row]
    i = position(levels, n, side, order[O_KEY])
    s[S_CHANGED + side] = min(s[S_CHANGED + side], n - 1 - i)
    levels[side, L_SZ, i] -= sz
    levels[side, L_AGE, i] -= sz * order[O_ENTRY]
    levels[side, L_KNOWN, i] -= sz * known
    if order[O_SZ] > sz:
        return
    levels[side, L_CT, i] -= 1
    if levels[side, L_CT, i] == 0:
        for c in range(levels.shape[1]):
            for j in range(i, n - 1):
                levels[side, c, j] = levels[side, c, j + 1]
        s[S_N_BID + side] = n - 1
        return
    before, behind = order[O_PREV], order[O_NEXT]
    if before:
        orders[before - 1, O_NEXT] = behind
    else:
        levels[side, L_FIRST, i] = behind
    if behind:
        orders[behind - 1, O_PREV] = before
    else:
        levels[side, L_LAST, i] = before


@hot
def size_of_best(levels: I64, n: int, side: int, depth: int) -> int:
    """Size over the best `depth` non-empty prices."""
    total = 0
    first = n - depth
    if first < 0:
        first = 0
    for i in range(first, n):
        total += levels[side, L_SZ, i]
    return total
