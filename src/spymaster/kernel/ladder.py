"""Price levels per side: sorted keys with the best price last, each with its queue of orders.

Nearly all changes happen near the best price, so a level is found among the last keys and little
moves when one is inserted. Far prices, wide spreads and sub-tick prices need no care.
A level itself never moves, so that an order knows its level and leaves without a search.
"""

from __future__ import annotations

from spymaster.kernel.compiled import hot
from spymaster.kernel.layout import (
    FLAG_BITS,
    FLAGS,
    I64,
    L_AGE,
    L_CT,
    L_FIRST,
    L_KEY,
    L_KNOWN,
    L_LAST,
    L_MOST,
    L_SZ,
    O_ENTRY,
    O_KEY,
    O_NEXT,
    O_PREV,
    O_SIDE,
    O_SZ,
    S_CHANGED,
    S_LEVELS_FREE,
    S_LEVELS_USED,
    S_N_BID,
    S_TENTH,
    UNTOLD,
    BookState,
    U,
)

_NEAR = 16


@hot
def position(keys: I64, n: int, side: int, key: int) -> int:
    """Index of the first level with a key at or above `key`, of `n`."""
    low = 0
    high = n
    near = n - _NEAR
    if near >= 0:
        if keys[side, near] < key:
            # Counted and not searched: a search would guess wrong where to stop.
            above = 0
            for j in range(_NEAR):
                above += 1 if keys[side, U(near + j)] >= key else 0
            return n - above
        high = near
    while low < high:
        middle = (low + high) >> 1
        if keys[side, middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@hot
def open_level(b: BookState, side: int, i: int, key: int) -> int:
    """A row for a new, empty level that stands at `i`; the caller has left room."""
    s, keys, slots = b.s, b.keys, b.slots
    n = s[S_N_BID + side]
    at = s[S_LEVELS_FREE] - 1
    if at >= 0:
        s[S_LEVELS_FREE] = b.levels[at, L_FIRST]
    else:
        at = s[S_LEVELS_USED]
        s[S_LEVELS_USED] += 1
    for j in range(n, i, -1):
        keys[side, U(j)] = keys[side, U(j - 1)]
        slots[side, U(j)] = slots[side, U(j - 1)]
    keys[side, i] = key
    slots[side, i] = at
    s[S_N_BID + side] = n + 1
    level = b.levels[U(at)]
    for c in range(level.shape[0]):
        level[c] = 0
    level[L_KEY] = key
    return at


@hot
def close_level(b: BookState, side: int, at: int) -> None:
    """Nobody rests at this price any more."""
    s, keys, slots = b.s, b.keys, b.slots
    n = s[S_N_BID + side] - 1
    for j in range(position(keys, n + 1, side, b.levels[at, L_KEY]), n):
        keys[side, U(j)] = keys[side, U(j + 1)]
        slots[side, U(j)] = slots[side, U(j + 1)]
    s[S_N_BID + side] = n
    b.levels[at, L_FIRST] = s[S_LEVELS_FREE]
    s[S_LEVELS_FREE] = at + 1


@hot
def touched(s: I64, side: int, key: int) -> None:
    """Remember for the next sample when this is among a side's ten best levels."""
    s[S_CHANGED + side] |= 1 if key >= s[S_TENTH + side] else 0


@hot
def join(b: BookState, side: int, row: int, known: int) -> None:
    """An order goes to the end of the queue at its price; `known`: its age is, 0 or 1."""
    orders = b.orders
    order = orders[U(row)]
    key, sz = order[O_KEY], order[O_SZ]
    n = b.s[S_N_BID + side]
    i = position(b.keys, n, side, key)
    if i < n and b.keys[side, i] == key:
        at = b.slots[side, i]
    else:
        at = open_level(b, side, i, key)
    touched(b.s, side, key)
    level = b.levels[U(at)]
    level[L_SZ] += sz
    level[L_CT] += 1
    level[L_AGE] += sz * order[O_ENTRY]
    level[L_KNOWN] += sz * known
    level[L_MOST] = max(level[L_MOST], sz) if level[L_MOST] != UNTOLD else UNTOLD
    last = level[L_LAST]
    order[O_SIDE] = (order[O_SIDE] & FLAGS) | (at << FLAG_BITS)
    order[O_PREV] = last
    order[O_NEXT] = 0
    if last:
        orders[U(last - 1), O_NEXT] = row + 1
    else:
        level[L_FIRST] = row + 1
    level[L_LAST] = row + 1


@hot
def leave(b: BookState, side: int, row: int, sz: int, known: int) -> None:
    """`sz` of an order leaves the queue at its price, and the order with it when that is all."""
    orders = b.orders
    order = orders[U(row)]
    at = order[O_SIDE] >> FLAG_BITS
    level = b.levels[U(at)]
    touched(b.s, side, level[L_KEY])
    level[L_SZ] -= sz
    level[L_AGE] -= sz * order[O_ENTRY]
    level[L_KNOWN] -= sz * known
    if order[O_SZ] == level[L_MOST]:
        level[L_MOST] = UNTOLD
    if order[O_SZ] > sz:
        return
    level[L_CT] -= 1
    if level[L_CT] == 0:
        close_level(b, side, at)
        return
    before, behind = order[O_PREV], order[O_NEXT]
    if before:
        orders[U(before - 1), O_NEXT] = behind
    else:
        level[L_FIRST] = behind
    if behind:
        orders[U(behind - 1), O_PREV] = before
    else:
        level[L_LAST] = before


@hot
def clear(s: I64) -> None:
    """No level is left on either side."""
    for side in range(2):
        s[S_N_BID + side] = 0
        s[S_CHANGED + side] = 1
    s[S_LEVELS_USED] = 0
    s[S_LEVELS_FREE] = 0


@hot
def largest(b: BookState, at: int) -> int:
    """Size of the largest order at a level."""
    level = b.levels[U(at)]
    if level[L_MOST] == UNTOLD:
        row = level[L_FIRST]
        while row:
            level[L_MOST] = max(level[L_MOST], b.orders[row - 1, O_SZ])
            row = b.orders[row - 1, O_NEXT]
    return level[L_MOST]


@hot
def size_of_best(b: BookState, side: int, depth: int) -> int:
    """Size over the best `depth` non-empty prices of a side."""
    total = 0
    n = b.s[S_N_BID + side]
    first = n - depth
    if first < 0:
        first = 0
    for i in range(first, n):
        total += b.levels[U(b.slots[side, U(i)]), L_SZ]
    return total
