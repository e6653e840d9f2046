"""The book at the levels that traders watch: what rests, comes and trades within touch of each.

Domain, section 4. Ten levels of depth do not reach a level of a stock that trades in cents, so the
book itself counts. A level is followed from the first bar that begins when it is known: prices of
the day before from the start, highs and lows of a window from the window's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spymaster.contracts.silver import LEVEL_TYPES
from spymaster.kernel import ladder
from spymaster.kernel.compiled import hot, seldom
from spymaster.kernel.layout import (
    ASK,
    BID,
    I64,
    L_CT,
    L_SZ,
    NONE,
    S_COUNTS,
    S_N_BID,
    S_T,
    BookState,
    key_of,
)
from spymaster.kernel.levels import W_END, W_HIGH, W_LOW, W_TOLD, W_TRADES, extend

MAX_WATCHED = len(LEVEL_TYPES)

# Scalars: `watch`. WATCH_ON: 1 when levels are followed; WATCH_TOUCH in steps; WATCH_NEXT: when
# the next window ends, ns UTC; WATCH_LOW, WATCH_HIGH: between them lies whatever is near a level
WATCH_ON, WATCH_TOUCH, WATCH_N, WATCH_NEXT, WATCH_LOW, WATCH_HIGH = range(6)
WATCH = 6
_NEVER = 2**63 - 1

# A level: a row of `watched` while its bar is open, and of what a closed bar tells. V_PRICE in
# steps, NONE: no level. Sizes and orders per side (bid, ask); V_FLOW as [kind, side].
V_PRICE = 0
V_RESTING_SZ, V_RESTING_CT, V_FLOW = 1, 3, 5
V_TRADED = V_FLOW + 8
V_SIZE = V_TRADED + 1


@dataclass(frozen=True)
class Watch:
    """The levels of a session as its book follows them.

    `windows`: (start, end) ns UTC whose highest and lowest trades are levels once they have ended;
    `prices`: levels that are known when the session starts. Prices and `touch` in steps.
    """

    touch: int
    windows: Sequence[tuple[int, int]] = ()
    prices: Sequence[int] = field(default_factory=tuple)

    def arrays(self) -> tuple[I64, I64, I64]:
        """`watch`, `watched` and `windows` of a new book."""
        watch, watched = np.zeros(WATCH, np.int64), np.zeros((MAX_WATCHED, V_SIZE), np.int64)
        windows = np.zeros((2, 6), np.int64)
        known = sorted(set(self.prices))
        ends = [end for _, end in self.windows]
        low, high = (known[0], known[-1]) if known else (_NEVER, -_NEVER)
        watch[:] = 1, self.touch, len(known), min(ends, default=_NEVER), low, high
        if known:
            watch[WATCH_LOW] -= self.touch
            watch[WATCH_HIGH] += self.touch
        watched[: len(known), V_PRICE] = known
        for row, window in zip(windows, self.windows, strict=False):
            row[:2] = window
        windows[len(self.windows) :, W_TOLD] = 1
        return watch, watched, windows


@hot
def _watch(b: BookState, price: int) -> None:
    """Follow a price from now on; one that is two levels is followed once."""
    watch = b.watch
    n = watch[WATCH_N]
    for i in range(n):
        if b.watched[i, V_PRICE] == price:
            return
    b.watched[n, V_PRICE] = price
    watch[WATCH_N] = n + 1
    watch[WATCH_LOW] = min(watch[WATCH_LOW], price - watch[WATCH_TOUCH])
    watch[WATCH_HIGH] = max(watch[WATCH_HIGH], price + watch[WATCH_TOUCH])


@seldom
def learn(b: BookState, t: int) -> None:
    """Follow the high and low of each window that had ended by `t`."""
    b.watch[WATCH_NEXT] = _NEVER
    for w in range(b.windows.shape[0]):
        window = b.windows[w]
        if window[W_TOLD]:
            continue
        if window[W_END] > t:
            b.watch[WATCH_NEXT] = min(b.watch[WATCH_NEXT], window[W_END])
            continue
        window[W_TOLD] = 1
        if window[W_TRADES] > 0:
            _watch(b, window[W_HIGH])
            _watch(b, window[W_LOW])


@seldom
def _count(b: BookState, what: int, price: int, sz: int) -> None:
    for i in range(b.watch[WATCH_N]):
        if abs(price - b.watched[i, V_PRICE]) <= b.watch[WATCH_TOUCH]:
            b.watched[i, what] += sz


@hot
def flow_at_levels(b: BookState, kind: int, side: int, key: int, sz: int) -> None:
    """Size that was added, cancelled, executed or refilled, near any level or not."""
    watch = b.watch
    if b.s[S_T] >= watch[WATCH_NEXT]:
        learn(b, b.s[S_T])
    price = key_of(side, key)
    if b.s[S_COUNTS] and watch[WATCH_LOW] <= price <= watch[WATCH_HIGH]:
        _count(b, V_FLOW + 2 * kind + side, price, sz)


@seldom
def trade_at_levels(b: BookState, price: int, sz: int) -> None:
    """A trade: part of the windows it lies in, and of what traded near a level."""
    t = b.s[S_T]
    if t >= b.watch[WATCH_NEXT]:
        learn(b, t)
    extend(b.windows, t, price)
    if b.s[S_COUNTS]:
        _count(b, V_TRADED, price, sz)


@hot
def _resting(b: BookState, row: I64, side: int) -> None:
    touch = b.watch[WATCH_TOUCH]
    centre = key_of(side, row[V_PRICE])
    n = b.s[S_N_BID + side]
    i = ladder.position(b.keys, n, side, centre - touch)
    while i < n and b.keys[side, i] <= centre + touch:
        level = b.levels[b.slots[side, i]]
        row[V_RESTING_SZ + side] += level[L_SZ]
        row[V_RESTING_CT + side] += level[L_CT]
        i += 1


@hot
def no_levels(out: I64) -> None:
    """Rows of no level."""
    out[:] = 0
    for i in range(out.shape[0]):
        out[i, V_PRICE] = NONE


@seldom
def close_levels(b: BookState, start: int, out: I64) -> None:
    """Write the levels that were known at `start`, the closing bar's, to `out`; begin anew."""
    learn(b, start)
    no_levels(out)
    for i in range(b.watch[WATCH_N]):
        row = b.watched[i]
        _resting(b, row, BID)
        _resting(b, row, ASK)
        out[i, V_PRICE] = row[V_PRICE]
        for c in range(V_RESTING_SZ, V_SIZE):
            out[i, c] = row[c]
            row[c] = 0
