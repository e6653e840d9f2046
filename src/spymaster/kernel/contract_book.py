"""One contract's book with its open bar: give it records and clock marks, take closed bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import BAR_NS, BOOK_LEVELS, LATENESS_NS
from spymaster.kernel import clock, layout, orders
from spymaster.kernel.layout import I64, NONE, BookState
from spymaster.kernel.level_book import MAX_WATCHED, V_SIZE, WATCH_ON, Watch, no_watch
from spymaster.kernel.state import pack, unpack

_KIND, _VERSION = "BOOK", 2
_ROOM = 512


@dataclass(frozen=True)
class BookParams:
    """What a book must know of its contract and session. Times ns UTC, windows half-open."""

    price_step: int  # 1e-9 currency
    tick_steps: int
    origin: int  # start of the session's input: microseconds count from here
    bars: tuple[int, int]
    trading: Sequence[tuple[int, int]]
    dense: bool  # futures and stocks: a bar without events is a row too
    warm: bool = True
    watch: Watch | None = None  # the levels to follow, of the selected contract

    def array(self) -> I64:
        """The parameters as the kernel reads them."""
        p = np.zeros(layout.P_SIZE, np.int64)
        p[layout.P_STEP], p[layout.P_TICK] = self.price_step, self.tick_steps
        p[layout.P_ORIGIN] = self.origin
        p[layout.P_BAR0], p[layout.P_BAR1] = self.bars[0] // BAR_NS, self.bars[1] // BAR_NS
        p[layout.P_DENSE], p[layout.P_WARM] = self.dense, self.warm
        p[layout.P_N_TRADING] = len(self.trading)
        for i, (start, end) in enumerate(self.trading):
            p[layout.P_TRADING + 2 * i], p[layout.P_TRADING + 2 * i + 1] = start, end
        return p


class Bars(NamedTuple):
    """Closed bars: rows of silver.bar_5s, ten levels per side at each close, watched prices."""

    rows: NDArray[Any]  # [n]
    prices: NDArray[np.float64]  # [n, side, level], NaN: none
    sizes: I64  # [n, side, (size, count), level]
    levels: I64  # [n, MAX_WATCHED or 0, V_SIZE], rows as level_book.py has them


def _new_state(params: BookParams) -> BookState:
    s = np.zeros(layout.S_SIZE, np.int64)
    s[layout.S_T] = s[layout.S_MARK] = s[layout.S_SAMPLE_T] = NONE
    s[layout.S_BITS] = 6
    s[layout.S_DIRTY] = 1
    top = np.zeros((2, 2, layout.TOP_LEVELS), np.int64)
    top[:, layout.TOP_KEY] = NONE
    watch, watched, windows = params.watch.arrays() if params.watch else no_watch()
    return BookState(
        p=params.array(),
        s=s,
        table=np.zeros((64, 2), np.int64),
        orders=np.zeros((32, layout.ORDER), np.int64),
        levels=np.zeros((2, layout.LEVEL_ROWS, 32), np.int64),
        snap=np.zeros((32, 4), np.int64),
        top=top,
        held=np.zeros((2, 2), np.int64),
        acc=np.zeros(layout.A_SIZE, np.int64),
        watch=watch,
        watched=watched,
        windows=windows,
    )


class ContractBook:
    """A contract's order book over one session, on the project's clock.

    `advance` and `close` change the state in place and return the bars that closed. Cutting the
    records anywhere, and saving and loading between, changes no row (law 2).
    """

    def __init__(self, params: BookParams, bar_dtype: np.dtype[Any]) -> None:
        self._state = _new_state(params)
        self._dtype = bar_dtype
        self._bars: list[Bars] = []

    @property
    def watermark(self) -> int:
        """No later record can have a t below this, ns UTC."""
        s = self._state.s
        if s[layout.S_EVENT_OPEN] or s[layout.S_SNAP_OPEN] or s[layout.S_MARK] == NONE:
            return int(s[layout.S_T])
        return int(max(s[layout.S_T], s[layout.S_MARK] - LATENESS_NS))

    @property
    def last_t(self) -> int:
        """The contract's time at its last record, ns UTC."""
        return int(self._state.s[layout.S_T])

    def advance(self, events: NDArray[Any]) -> tuple[NDArray[Any], Bars]:
        """Take records (`EVENT`, in feed order): a note (`NOTE`) for each, and closed bars."""
        notes = np.zeros(len(events), clock.NOTE)
        i, stopped = 0, clock.BARS_FULL
        while True:
            bars = self._room()
            i, k, stopped = clock.advance(self._state, events, i, notes, *bars, 0)
            self._keep(bars, k)
            if stopped == clock.DONE:
                return notes, self._take()
            self._grow(stopped)

    def close(self, mark: int) -> Bars:
        """Take a clock mark, ns UTC; returns the bars that can no longer change."""
        while True:
            bars = self._room()
            k = clock.close(self._state, mark, *bars, 0)
            self._keep(bars, k if k >= 0 else -1 - k)
            if k >= 0:
                return self._take()

    @property
    def good_since(self) -> int | None:
        """Since when the book may be believed, ns UTC; None while it may not."""
        s = self._state.s
        return int(s[layout.S_INIT_T]) if s[layout.S_GOOD] else None

    def best(self) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
        """Best bid and ask now: (price in steps, size, orders), None for an empty side."""
        bids, asks = self.depth(1)
        return (bids[0] if bids else None), (asks[0] if asks else None)

    def depth(self, levels: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """The best levels of each side now, even within an event: (price, size, orders)."""
        out = []
        for side in (layout.BID, layout.ASK):
            n = int(self._state.s[layout.S_N_BID + side])
            ladder = self._state.levels[side, :, max(0, n - levels) : n][:, ::-1]
            out.append(
                [
                    (int(layout.key_of(side, int(key))), int(sz), int(ct))
                    for key, sz, ct in zip(*ladder[:3], strict=True)
                ]
            )
        return out[0], out[1]

    def queue(self, side: int, price: int) -> list[tuple[int, int]]:
        """Resting orders at a price in time priority: (order_id, size)."""
        b, key = self._state, layout.key_of(side, price)
        keys = b.levels[side, layout.L_KEY, : b.s[layout.S_N_BID + side]]
        at = int(np.searchsorted(keys, key))
        row = int(b.levels[side, layout.L_FIRST, at]) if key in keys else 0
        queue = []
        while row:
            order = b.orders[row - 1]
            queue.append((int(order[layout.O_ID]), int(order[layout.O_SZ])))
            row = int(order[layout.O_NEXT])
        return queue

    @property
    def n_orders(self) -> int:
        """Resting orders."""
        return int(self._state.s[layout.S_N_ORDERS])

    def to_bytes(self) -> bytes:
        """The whole state; what holds nothing is left out."""
        b = self._state
        sides = b.s[layout.S_N_BID], b.s[layout.S_N_ASK]
        levels = np.zeros((*b.levels.shape[:2], int(max(sides))), np.int64)
        for side, n in enumerate(sides):
            levels[side, :, :n] = b.levels[side, :, :n]
        trimmed = b._replace(
            orders=b.orders[: b.s[layout.S_USED]],
            levels=levels,
            snap=b.snap[: b.s[layout.S_N_SNAP]],
        )
        return pack(_KIND, _VERSION, trimmed)

    @classmethod
    def from_bytes(cls, data: bytes, bar_dtype: np.dtype[Any]) -> ContractBook:
        """A book that goes on where `to_bytes` left off. ValueError for another version."""
        book = cls.__new__(cls)
        b = BookState(*unpack(data, _KIND, _VERSION)[1])
        # A mark may end a snapshot before the next record asks for room.
        wide = max(32, b.levels.shape[2], int(b.s[layout.S_N_SNAP])) + 1
        levels = np.zeros((*b.levels.shape[:2], wide), np.int64)
        levels[:, :, : b.levels.shape[2]] = b.levels
        book._state = b._replace(orders=_pad(b.orders, len(b.table) // 2), levels=levels)
        book._dtype = bar_dtype
        book._bars = []
        return book

    def _room(self, n: int = _ROOM) -> Bars:
        watched = MAX_WATCHED if self._state.watch[WATCH_ON] else 0
        return Bars(
            np.zeros(n, self._dtype),
            np.zeros((n, 2, BOOK_LEVELS)),
            np.zeros((n, 2, 2, BOOK_LEVELS), np.int64),
            np.zeros((n, watched, V_SIZE), np.int64),
        )

    def _keep(self, bars: Bars, k: int) -> None:
        if k:
            self._bars.append(Bars(bars.rows[:k], bars.prices[:k], bars.sizes[:k], bars.levels[:k]))

    def _take(self) -> Bars:
        kept, self._bars = self._bars, []
        if not kept:
            return self._room(0)
        return Bars(
            np.concatenate([b.rows for b in kept]),
            np.concatenate([b.prices for b in kept]),
            np.concatenate([b.sizes for b in kept]),
            np.concatenate([b.levels for b in kept]),
        )

    def _grow(self, stopped: int) -> None:
        b = self._state
        if stopped == clock.NEEDS_ORDERS:
            larger = np.zeros((2 * len(b.table), 2), np.int64)
            orders.rehash(b.table, larger, b.s)
            self._state = b._replace(table=larger, orders=_pad(b.orders, len(b.table)))
        elif stopped == clock.NEEDS_LEVELS:
            pad = np.zeros((*b.levels.shape[:2], max(32, b.levels.shape[2])), np.int64)
            self._state = b._replace(levels=np.concatenate([b.levels, pad], axis=2))
        elif stopped == clock.NEEDS_SNAP:
            self._state = b._replace(snap=_pad(b.snap, max(32, 2 * len(b.snap))))


def _pad(rows: I64, n: int) -> I64:
    return np.concatenate([rows, np.zeros((n - len(rows), rows.shape[1]), np.int64)])
