"""Bars of 5 seconds from MBO records, the slow and obvious way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from spymaster.contracts.column import INT_NULL
from spymaster.contracts.event import (
    BAR_NS,
    EVENT,
    F_MAYBE_BAD_BOOK,
    MLOFI_LEVELS,
    NOTE_BACKWARDS,
)
from spymaster.contracts.silver import WINDOWS
from tests.oracle.book import ASK, BID, Book, Order
from tests.oracle.clock import Clock, Record
from tests.oracle.effects import WORDS, Effect, LiveBook
from tests.oracle.level_book import level_row
from tests.oracle.levels import oracle_levels
from tests.oracle.params import Params, Watched
from tests.oracle.row import NEAR_TICKS, Gathered, bar_row, state_row
from tests.oracle.sample import Sample, order_flow, take

OLD_US = 1_000_000
NAME = {BID: "bid", ASK: "ask"}


@dataclass
class Oracle:
    """All that one contract's records gave.

    ``trades`` are (t, price in steps, size, side, bar_start) of every live T; ``closed_until``
    is the end of the last bar that closed (None before one has), kept or not.
    """

    bars: list[dict[str, object]] = field(default_factory=list)
    states: list[dict[str, object]] = field(default_factory=list)
    normalized: list[dict[str, object]] = field(default_factory=list)
    level_book: list[dict[str, object]] = field(default_factory=list)
    trades: list[tuple[int, int, int, str, int]] = field(default_factory=list)
    book: dict[int, tuple[str, int, int, int, bool]] = field(default_factory=dict)
    queues: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    closed_until: int | None = None


def oracle_bars(
    records: np.ndarray,
    params: Params,
    marks: list[tuple[int, int]] | tuple = (),
    watched: Watched | None = None,
) -> Oracle:
    """Bars of one contract's records (dtype EVENT, feed order).

    A mark ``(i, c)`` says, after the first i records, that the feed has reached ts_recv c. With
    ``watched`` also what happened at the levels.
    """
    contract = _Contract(params, watched)
    clock = Clock(contract)
    due = sorted(marks)
    rows = _plain(records)
    for i in range(len(rows) + 1):
        while due and due[0][0] <= i:
            clock.mark(due.pop(0)[1])
        if i < len(rows):
            clock.record(rows[i])
    return contract.result()


def _plain(records: np.ndarray) -> list[Record]:
    if records.dtype != EVENT:
        raise ValueError(f"records are {records.dtype}, the oracle reads {EVENT}")
    rows = [dict(zip(EVENT.names, values, strict=True)) for values in records.tolist()]
    for r in rows:
        r["action"], r["side"] = chr(r["action"]), chr(r["side"])
    return rows


def _check(r: Record) -> None:
    """An order needs a side and a price, a trade a price; the border keeps others out."""
    if r["size"] and (r["price"] == INT_NULL or (r["side"] not in NAME and r["action"] != "T")):
        raise ValueError(f"a record without side or price at ts_recv {r['ts_recv']}: {r}")


class _Contract:
    """What the clock tells, written down bar by bar."""

    def __init__(self, params: Params, watched: Watched | None) -> None:
        self.params, self.watched = params, watched
        self.live = LiveBook()
        self.snapshot = Book()
        self.snapshot_recv = 0
        self.initialised = False
        self.good_since: int | None = None
        self.last = Sample(0, [], [])
        self.before_bar = self.last
        self.gathered: defaultdict[int, Gathered] = defaultdict(Gathered)
        self.out = Oracle()

    def snapshot_begins(self, t: int, ts_recv: int) -> None:
        self.snapshot, self.snapshot_recv = Book(), ts_recv

    def snapshot_record(self, r: Record, t: int, begins: bool) -> None:
        self._normalize(r, t, begins, True, [])
        if r["action"] == "R":
            self.snapshot = Book()
        elif r["action"] == "A":
            _check(r)
            if r["order_id"] in self.snapshot.orders:
                self.snapshot.remove(self.snapshot.orders[r["order_id"]])
            what = (r["order_id"], r["side"], r["price"], r["size"])
            if r["size"] > 0:
                self.snapshot.add(Order(*what, self.snapshot_recv, False))

    def snapshot_ends(self, t: int) -> None:
        if self.initialised:
            self._bar(t).counts["book_drift"] += self.live.book.differences(self.snapshot)
        self.live.replace(self.snapshot)
        self._book_is_whole(t)
        self._sample(t)

    def live_record(self, r: Record, t: int, begins: bool) -> None:
        action, size = r["action"], r["size"]
        if action in "AMT":
            _check(r)
        what = (action, r["order_id"], r["side"], r["price"], size)
        effects, unknown = self.live.apply(*what, ts_event=r["ts_event"], t=t)
        self._normalize(r, t, begins, False, effects)
        counts = self._bar(t).counts
        counts["n_events"] += 1
        counts["n_unknown"] += unknown
        counts["n_backwards"] += bool(r["notes"] & NOTE_BACKWARDS)
        self._flow(t, effects)
        self._bar(t).effects += effects
        if action == "T":
            self._bar(t).trades.append((t, r["price"], size, r["side"]))
            self.out.trades.append((t, r["price"], size, r["side"], t // BAR_NS * BAR_NS))
        if action == "R":
            self._cleared(t)
        if r["flags"] & F_MAYBE_BAD_BOOK:
            self.good_since = None

    def event_ends(self, t: int, lost_last: bool) -> None:
        before = self.last
        self._sample(t)
        counts = self._bar(t).counts
        counts["n_lost_last"] += lost_last
        counts["n_crossed"] += self.last.crossed and self.params.in_trading(t)
        counts["ofi"] += order_flow(before, self.last, 1)
        for m in range(1, MLOFI_LEVELS + 1):
            counts[f"mlofi_{m}"] += order_flow(before, self.last, m)

    def gap(self, t: int) -> None:
        self.good_since = None

    def bar_closes(self, start: int) -> None:
        got = self.gathered.pop(start, Gathered())
        opened, closes = self.params.windows["bars"]
        wanted = self.params.kind != "OPT" or got.counts["n_events"] > 0
        if opened <= start < closes and wanted:
            what = (got, self.before_bar, self.live.book, self.good_since)
            self.out.bars.append(bar_row(self.params, start, *what))
            self.out.states.append(state_row(self.params, start, self.last))
            self._levels(start, got)
        self.before_bar = self.last
        self.out.closed_until = start + BAR_NS

    def _levels(self, start: int, got: Gathered) -> None:
        if self.watched is None:
            return
        before = (self.watched.previous, self.watched.session_start)
        levels = oracle_levels(self.out.trades, self.params.windows, *before)
        for price in sorted({x["level_price"] for x in levels if x["known_at"] <= start}):
            touch, book = self.watched.touch, self.live.book
            self.out.level_book.append(level_row(self.params, start, price, touch, got, book))

    def result(self) -> Oracle:
        book = self.live.book
        self.out.book = {
            o.order_id: (o.side, o.price, o.size, o.entry, o.age_known)
            for o in book.orders.values()
        }
        self.out.queues = {
            side: {p: [o.order_id for o in book.queue(side, p)] for p in book.prices(side)}
            for side in (BID, ASK)
        }
        return self.out

    def _bar(self, t: int) -> Gathered:
        return self.gathered[t // BAR_NS * BAR_NS]

    def _cleared(self, t: int) -> None:
        if self.params.in_trading(t):
            self.initialised = True
            self.good_since = None
        else:
            self._book_is_whole(t)

    def _book_is_whole(self, t: int) -> None:
        self.initialised = True
        if self.good_since is None:
            self.good_since = t

    def _sample(self, t: int) -> None:
        self.last = take(t, self.live.book)
        self._bar(t).samples.append(self.last)

    def _flow(self, t: int, effects: list[Effect]) -> None:
        counts = self._bar(t).counts
        contributed = set()
        for e in effects:
            best = self.last.best(e.side)
            if best is None or abs(e.price - best) > NEAR_TICKS * self.params.tick_steps:
                continue
            counts[f"{NAME[e.side]}_{e.word}_sz"] += e.size
            contributed.add(f"{NAME[e.side]}_{e.word}_ct")
            us = self.params.microseconds
            if e.word == "executed" and us(t) - us(e.entry) > OLD_US:
                counts[f"{NAME[e.side]}_executed_old_sz"] += e.size
        for name in contributed:
            counts[name] += 1

    def _normalize(
        self, r: Record, t: int, begins: bool, is_snapshot: bool, effects: list[Effect]
    ) -> None:
        row: dict[str, object] = {
            "ts_recv": r["ts_recv"],
            "is_snapshot": is_snapshot,
            "event_index": r["event_index"],
            "t": t,
            "begins_event": begins,
        }
        for name in WINDOWS:
            start, end = self.params.windows[name]
            row[f"in_{name}"] = start <= t < end
        for word in WORDS:
            row[f"{word}_sz"] = sum(e.size for e in effects if e.word == word)
        self.out.normalized.append(row)
