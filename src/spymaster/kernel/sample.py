"""What is read off the book whenever an event is whole: best prices, order flow, time weights."""

from __future__ import annotations

from spymaster.contracts.event import BAR_NS, BOOK_LEVELS
from spymaster.kernel import ladder
from spymaster.kernel.compiled import hot
from spymaster.kernel.layout import (
    A_CROSSED,
    A_MLOFI,
    A_NS_BOOK,
    A_TW_DEPTH,
    A_TW_MID2,
    A_TW_SPREAD,
    A_TW_SZ,
    ASK,
    BID,
    L_SZ,
    NONE,
    P_N_TRADING,
    P_TRADING,
    S_BAR,
    S_CHANGED,
    S_COUNTS,
    S_CROSSED,
    S_N_BID,
    S_SAMPLE_T,
    S_TENTH,
    S_UNCROSSED,
    TOP_KEY,
    TOP_LEVELS,
    TOP_SZ,
    BookState,
    U,
)

HELD_SZ, HELD_DEPTH = 0, 1


@hot
def trading(b: BookState, t: int) -> bool:
    """Is the market open, by the calendar?"""
    for i in range(b.p[P_N_TRADING]):
        if b.p[P_TRADING + 2 * i] <= t < b.p[P_TRADING + 2 * i + 1]:
            return True
    return False


@hot
def weigh(b: BookState, t: int) -> None:
    """Add the state that held since the last sample, up to `t`, to the open bar's time weights."""
    start = max(b.s[S_SAMPLE_T], b.s[S_BAR] * BAR_NS)
    ns = t - start
    b.s[S_SAMPLE_T] = t
    if ns <= 0:
        return
    acc = b.acc
    if b.s[S_UNCROSSED]:
        bid = b.top[BID, TOP_KEY, 0]
        ask = -b.top[ASK, TOP_KEY, 0]
        acc[A_NS_BOOK] += ns
        acc[A_TW_MID2] += (bid + ask) * ns
        acc[A_TW_SPREAD] += (ask - bid) * ns
    for side in range(2):
        acc[A_TW_SZ + side] += b.held[side, HELD_SZ] * ns
        acc[A_TW_DEPTH + side] += b.held[side, HELD_DEPTH] * ns


@hot
def joined(key: int, sz: int, key_before: int, sz_before: int) -> int:
    """Size that joined one side at one place between two states (Cont, Kukanov & Stoikov 2014).

    An improved price counts its whole queue, a retreat the whole old one.
    """
    gained = sz if key >= key_before else 0
    lost = sz_before if key <= key_before else 0
    return gained - lost


@hot
def read_side(b: BookState, side: int, counts: bool) -> None:
    """Take a side's ten best levels as its state, and if it `counts` what joined and left."""
    s, levels, slots, top = b.s, b.levels, b.slots, b.top
    n = s[S_N_BID + side]
    sign = 1 if side == BID else -1
    for m in range(TOP_LEVELS):
        key = b.keys[side, U(n - 1 - m)] if m < n else NONE
        sz = levels[U(slots[side, U(n - 1 - m)]), L_SZ] if m < n else 0
        if counts:
            b.acc[A_MLOFI + m] += sign * joined(
                key, sz, top[side, TOP_KEY, m], top[side, TOP_SZ, m]
            )
        top[side, TOP_KEY, m] = key
        top[side, TOP_SZ, m] = sz
    b.held[side, HELD_SZ] = top[side, TOP_SZ, 0]
    b.held[side, HELD_DEPTH] = ladder.size_of_best(b, side, BOOK_LEVELS)
    s[S_CHANGED + side] = 0
    s[S_TENTH + side] = b.keys[side, n - BOOK_LEVELS] if n >= BOOK_LEVELS else NONE


@hot
def sample(b: BookState, t: int, live: bool) -> None:
    """The event is whole: take the book as the state from `t` on.

    A market snapshot (`live` false) becomes the state without having been a flow. Where none of
    the ten best levels changed, the state that held goes on.
    """
    s, top = b.s, b.top
    if s[S_CHANGED + BID] | s[S_CHANGED + ASK]:
        weigh(b, t)
        both = s[S_N_BID + BID] > 0 and s[S_N_BID + ASK] > 0
        before = top[BID, TOP_KEY, 0] != NONE and top[ASK, TOP_KEY, 0] != NONE
        counts = live and both and before and s[S_COUNTS] == 1
        for side in range(2):
            if s[S_CHANGED + side]:
                read_side(b, side, counts)
        crossed = both and top[BID, TOP_KEY, 0] >= -top[ASK, TOP_KEY, 0]
        s[S_CROSSED] = 1 if crossed else 0
        s[S_UNCROSSED] = 1 if both and not crossed else 0
    if s[S_CROSSED] and live and s[S_COUNTS] == 1 and trading(b, t):
        b.acc[A_CROSSED] += 1
