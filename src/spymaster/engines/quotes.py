"""What one could have traded at: a contract's first two-sided quote at or after given times.

The session's one book is asked, between the records: `ContractBook` advanced up to each time. A
second book, light, tells each record's t first (law 2: wherever the records are cut, the same).

The quote in force at T is that of the last whole event with t <= T. It can be traded at if the book
is good, has two sides, and bid < ask; else the first one after it that is. Nothing later than the
quote is read for it: records after it change no answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.event import ACTION_CLEAR, F_SNAPSHOT
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel import layout
from spymaster.kernel.book_params import BookParams
from spymaster.kernel.contract_book import ContractBook

I64 = NDArray[np.int64]
NONE = layout.NONE
_BAR_5S = numpy_dtype(TABLES["silver.bar_5s"])


class Quotes(NamedTuple):
    """One quote per time that was asked for. `ts` NONE: none until the end of the feed."""

    ts: I64  # since when it could be traded at, ns UTC; at or after the time asked for
    bid: I64  # 1e-9 currency
    ask: I64
    bid_sz: I64
    ask_sz: I64

    @property
    def found(self) -> NDArray[np.bool_]:
        return np.asarray(self.ts != NONE)

    def take(self, which: NDArray[Any]) -> Quotes:
        """The quotes at some indices."""
        return Quotes(*(column[which] for column in self))


def blank_quotes(n: int) -> Quotes:
    """`n` times without a quote."""
    return Quotes(*(np.full(n, NONE, np.int64) for _ in Quotes._fields))


class _Quoted(ContractBook):
    """A book that tells its last whole event's best prices."""

    def __init__(self, params: BookParams) -> None:
        super().__init__(params, _BAR_5S)
        self._step = params.price_step

    @property
    def snapshot_open(self) -> bool:
        return bool(self._state.s[layout.S_SNAP_OPEN])

    def quote(self) -> tuple[int, int, int, int] | None:
        """(bid, ask, sizes), prices in 1e-9 currency; None where it cannot be traded at."""
        b = self._state
        if not (b.s[layout.S_GOOD] and b.s[layout.S_UNCROSSED]):
            return None
        bid, ask = b.top[layout.BID], b.top[layout.ASK]
        return (
            int(bid[layout.TOP_KEY, 0]) * self._step,
            -int(ask[layout.TOP_KEY, 0]) * self._step,
            int(bid[layout.TOP_SZ, 0]),
            int(ask[layout.TOP_SZ, 0]),
        )


class QuoteWalk:
    """Give it a contract's events in feed order, and the feed's marks; then ask for `quotes`.

    `times`: ns UTC, ascending. Cutting the records anywhere changes no quote.
    """

    def __init__(self, params: BookParams, times: I64) -> None:
        if (np.diff(times) < 0).any():
            raise ValueError("times are not ascending")
        self._book = _Quoted(params)
        self._clock = ContractBook(replace(params, light=True, watch=None), _BAR_5S)
        self._times, self._next = times, 0
        self._out = blank_quotes(len(times))

    def advance(self, events: NDArray[Any]) -> None:
        """Take events (`EVENT`) of the contract.

        A time is answered when the first event past it is about to begin: then all before is whole.
        """
        if not len(events) or self._next == len(self._times):
            return
        notes, _ = self._clock.advance(events)
        begins = np.flatnonzero(notes.begins_event)
        at = 0
        while self._next < len(self._times):
            past = int(np.searchsorted(notes.t, self._times[self._next], side="right"))
            at, reached = self._go(events, at, _from(begins, max(past, at)))
            while reached and not self._answer():
                at, reached = self._go(events, at, self._may_answer(events, begins, at))
            if not reached:
                return
        self._book.advance(events[at:])

    def _go(self, events: NDArray[Any], at: int, to: int | None) -> tuple[int, bool]:
        """Take the events up to a place, or all; returns the place, and whether it was reached."""
        end = len(events) if to is None else to
        if end > at:
            self._book.advance(events[at:end])
        return end, to is not None

    def close(self, mark: int) -> None:
        """Take a clock mark, ns UTC: what no later event can touch is answered."""
        for book in (self._clock, self._book):
            book.close(mark)
        while self._next < len(self._times) and self._times[self._next] < self._book.watermark:
            if not self._answer():
                break

    def quotes(self) -> Quotes:
        """A quote for each time, as far as the feed has told."""
        return self._out

    def _answer(self) -> bool:
        """The book as it stands is the answer to the next time, if it can be traded at."""
        found = self._book.quote()
        if found is None:
            return False
        i = self._next
        row = (max(int(self._times[i]), self._book.last_t), *found)
        for column, value in zip(self._out, row, strict=True):
            column[i] = value
        self._next += 1
        return True

    def _may_answer(self, events: NDArray[Any], begins: I64, at: int) -> int | None:
        """Where the next event ends; of a book in doubt, the first one that may make it good."""
        if self._book.good_since is None and not self._book.snapshot_open:
            rest = events[at:]
            cures = (rest["flags"] & F_SNAPSHOT != 0) | (rest["action"] == ACTION_CLEAR)
            if not cures.any():
                return None
            at += int(cures.argmax())
        return _from(begins, at + 1)


def _from(places: I64, least: int) -> int | None:
    """The first of ascending places that is at or after `least`."""
    i = int(np.searchsorted(places, least))
    return int(places[i]) if i < len(places) else None
