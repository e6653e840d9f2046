"""Many contracts' books in one compiled loop: records of all in, notes and closed bars out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import BAR_NS, EVENT
from spymaster.kernel import clock, heap
from spymaster.kernel.arena import Arena, book_of, initialise
from spymaster.kernel.book_bytes import load, save
from spymaster.kernel.book_params import BookParams
from spymaster.kernel.book_view import BookView
from spymaster.kernel.closed_bars import BarRoom, Bars
from spymaster.kernel.compiled import compiled, seldom
from spymaster.kernel.layout import I64, Memory, U
from spymaster.kernel.notes import Notes, blank_notes

# A contract's share of a chunk: a row of `runs`, a range of `order`
R_CONTRACT, R_NEXT, R_END = range(3)
_EVENT_WORDS = EVENT.itemsize // 8


@compiled
def group(numbers: I64, ends: I64, places: I64, runs: I64) -> int:
    """Where each of a chunk's records stands contract by contract, in feed order within each.

    A stable counting sort by contract; `numbers` has that of each record. `ends` has a zero per
    contract, and one more. Fills `places` and a row of `runs` for every contract that has records;
    returns how many have, or -1 - i when record i is of no known contract.
    """
    n = ends.shape[0] - 1
    for i in range(numbers.shape[0]):
        c = numbers[i]
        if c < 0 or c >= n:
            return -1 - i
        ends[c] += 1
    total = 0
    found = 0
    for c in range(n):
        count = ends[c]
        ends[c] = total
        if count:
            runs[found, R_CONTRACT] = c
            runs[found, R_NEXT] = total
            runs[found, R_END] = total + count
            found += 1
        total += count
    for i in range(numbers.shape[0]):
        c = numbers[i]
        places[i] = ends[c]
        ends[c] += 1
    return found


@compiled
def lay_out(records: I64, places: I64, grouped: I64) -> None:
    """Put each record (its words, a row) in its place: every contract's lie together then.

    The loop runs in feed order: it writes as many places as there are contracts at once, where
    following one contract after the other would read the whole chunk again for each.
    """
    for i in range(places.shape[0]):
        to = grouped[U(places[i])]
        for word in range(_EVENT_WORDS):
            to[word] = records[U(i), word]


@compiled
def lay_back(grouped: Notes, places: I64, notes: Notes) -> None:
    """Put the notes of grouped records into feed order."""
    for i in range(places.shape[0]):
        at = U(places[i])
        notes.t[i] = grouped.t[at]
        notes.begins_event[i] = grouped.begins_event[at]
        notes.added_sz[i] = grouped.added_sz[at]
        notes.cancelled_sz[i] = grouped.cancelled_sz[at]
        notes.executed_sz[i] = grouped.executed_sz[at]
        notes.refilled_sz[i] = grouped.refilled_sz[at]


@seldom
def grow(m: Memory, c: int, stopped: int) -> bool:
    """Twice the room of what a contract had too little of; False when words ran out."""
    if stopped == clock.NEEDS_ORDERS:
        return heap.grow_orders(m, c)
    if stopped == clock.NEEDS_LEVELS:
        return heap.grow_levels(m, c)
    return heap.grow_snap(m, c)


@seldom
def advance(
    m: Memory, runs: I64, r: int, events: NDArray[Any], notes: Notes, out: Bars, k: int
) -> tuple[int, int, int]:
    """Run over the contracts of `runs[r:]`; returns (run, bars written, why it stopped)."""
    while r < runs.shape[0]:
        c, begun = runs[r, R_CONTRACT], k
        j, k, stopped = clock.advance(
            book_of(m, c), events, runs[r, R_NEXT], runs[r, R_END], notes, out, k
        )
        out.contract[begun:k] = c
        runs[r, R_NEXT] = j
        if stopped == clock.DONE:
            r += 1
        elif stopped == clock.BARS_FULL or not grow(m, c, stopped):
            return r, k, stopped
    return r, k, clock.DONE


@seldom
def close(m: Memory, c: int, end: int, mark: int, out: Bars) -> tuple[int, int]:
    """Give a mark to contracts `c` up to `end`; returns (contract, bars written).

    Stops before `end` when there is no room for more bars.
    """
    k = 0
    while c < end:
        begun = k
        k = clock.close(book_of(m, c), mark, out, k)
        full = k < 0
        k = -1 - k if full else k
        out.contract[begun:k] = c
        if full:
            break
        c += 1
    return c, k


class Books:
    """The order books of many contracts over one session, on the project's clock.

    `advance` and `close` change the state in place and return the bars that closed, contract by
    contract in the order of their numbers. Cutting the records anywhere changes no contract's
    rows, and neither do the other contracts (law 2).
    """

    def __init__(self, bar_dtype: np.dtype[Any]) -> None:
        self._arena = Arena()
        self._room = BarRoom(bar_dtype)

    def __len__(self) -> int:
        return self._arena.n

    def __getitem__(self, i: int) -> BookView:
        """Contract `i`'s book as it stands, until its next records or marks."""
        return BookView(self._arena[self._known(i)])

    def add(self, params: BookParams) -> int:
        """Take one more contract; returns its number."""
        c = self._arena.add()
        b = self._arena[c]
        initialise(b)
        b.p[:] = params.array()
        if params.watch is not None:
            b.watch[:], b.watched[:], b.windows[:] = params.watch.arrays()
        return c

    def advance(self, events: NDArray[Any], numbers: I64) -> tuple[Notes, Bars]:
        """Take records (`EVENT`, in feed order): a note for each, and the bars that closed.

        `numbers` tells whose each record is. IndexError, and nothing is done, when one was never
        added.
        """
        if len(self) == 1 and not numbers.any():
            return self.advance_one(0, events)
        places = np.empty(len(events), np.int64)
        runs = np.empty((min(len(events), len(self)), 3), np.int64)
        found = group(numbers, np.zeros(len(self) + 1, np.int64), places, runs)
        if found < 0:
            raise IndexError(
                f"record {-1 - found}: contract {numbers[-1 - found]} is none of the "
                f"{len(self)} in these books; `add` it before its first record"
            )
        if found <= 1:
            return self._run(events, runs[:found])
        grouped = np.empty(len(events), EVENT)
        lay_out(_words(events), places, _words(grouped))
        told, bars = self._run(grouped, runs[:found])
        notes = blank_notes(len(events))
        lay_back(told, places, notes)
        return notes, bars

    def advance_one(self, i: int, events: NDArray[Any]) -> tuple[Notes, Bars]:
        """Take records that are all contract `i`'s."""
        return self._run(events, np.array([[self._known(i), 0, len(events)]]))

    def close(self, mark: int) -> Bars:
        """Take a clock mark for all contracts, ns UTC; returns the bars that can change no more."""
        self._room.begin()
        c = 0
        while True:
            c, k = close(self._arena.memory, c, len(self), mark, self._room.open)
            if c == len(self):
                return self._room.take(k)
            self._room.more()

    def to_bytes(self, i: int) -> bytes:
        """Contract `i`'s whole state."""
        return save(self._arena[self._known(i)])

    def from_bytes(self, data: bytes) -> int:
        """Take one more contract, which goes on where `to_bytes` left off; returns its number.

        ValueError for another version of state.
        """
        return load(self._arena, data)

    def _known(self, i: int) -> int:
        if not 0 <= i < len(self):
            raise IndexError(f"contract {i} is none of the {len(self)} in these books")
        return i

    def _run(self, events: NDArray[Any], runs: I64) -> tuple[Notes, Bars]:
        notes = blank_notes(len(events))
        span = int(np.ptp(events["ts_recv"][[0, -1]])) if len(events) else 0
        self._room.begin(len(runs) * (span // BAR_NS + 2))
        r = k = 0
        while True:
            r, k, stopped = advance(self._arena.memory, runs, r, events, notes, self._room.open, k)
            if stopped == clock.DONE:
                return notes, self._room.take(k)
            if stopped == clock.BARS_FULL:
                self._room.more()
                k = 0
            else:
                self._arena.enlarge(int(runs[r, R_CONTRACT]))


def _words(events: NDArray[Any]) -> I64:
    """Records as rows of words."""
    return np.ascontiguousarray(events).view(np.int64).reshape(len(events), _EVENT_WORDS)
