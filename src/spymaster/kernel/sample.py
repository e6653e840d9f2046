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
    L_KEY,
    L_SZ,
    NONE,
    P_N_TRADING,
    P_TRADING,
    S_BAR,
    S_CHANGED,
    S_COUNTS,
    S_N_BID,
    S_SAMPLE_T,
    S_UNCROSSED,
    TOP_KEY,
    TOP_LEVELS,
    TOP_SZ,
    BookState,
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
def sample(b: BookState, t: int, live: bool) -> None:
    """The event is whole: take the book as the state from `t` on.

    A market snapshot (`live` false) becomes the state without having been a flow.
    """
    weigh(b, t)
    s, top = b.s, b.top
    n_bid, n_ask = s[S_N_BID], s[S_N_BID + 1]
    both = n_bid > 0 and n_ask > 0
    before = top[BID, TOP_KEY, 0] != NONE and top[ASK, TOP_KEY, 0] != NONE
    counts = live and both and before and s[S_COUNTS] == 1
    for side in range(2):
        # Better levels than the best that changed are what they were: nothing joined or left.
        first = s[S_CHANGED + side]
        if first >= BOOK_LEVELS:
            continue
        s[S_CHANGED + side] = BOOK_LEVELS
        n = n_bid if side == BID else n_ask
        sign = 1 if side == BID else -1
        for m in range(first, TOP_LEVELS):
            key = b.levels[side, L_KEY, n - 1 - m] if m < n else NONE
            sz = b.levels[side, L_SZ, n - 1 - m] if m < n else 0
            if counts:
                b.acc[A_MLOFI + m] += sign * joined(
                    key, sz, top[side, TOP_KEY, m], top[side, TOP_SZ, m]
                )
            top[side, TOP_KEY, m] = key
            top[side, TOP_SZ, m] = sz
        b.held[side, HELD_SZ] = top[side, TOP_SZ, 0]
        b.held[side, HELD_DEPTH] = ladder.size_of_best(b.levels, n, side, BOOK_LEVELS)
    crossed = both and top[BID, TOP_KEY, 0] >= -top[ASK, TOP_KEY, 0]
    s[S_UNCROSSED] = 1 if both and not crossed else 0
    if crossed and live and s[S_COUNTS] == 1 and trading(b, t):
        b.acc[A_CROSSED] += 1
