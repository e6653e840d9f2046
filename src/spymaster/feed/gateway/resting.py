"""Every resting order of a feed up to some record: what a market snapshot is made of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from spymaster.contracts.event import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_MODIFY,
    F_BAD_TS_RECV,
    F_LAST,
    F_SNAPSHOT,
    SIDE_NONE,
    SNAPSHOT_SILENCE_NS,
)
from spymaster.feed.dbn_records import MBO_RECORD, RTYPE_MBO, WORDS
from spymaster.feed.gateway.batch import Batch
from spymaster.feed.gateway.tape import Tape
from spymaster.kernel.compiled import compiled

UNDEF_PRICE = 2**63 - 1
Rows = npt.NDArray[Any]

#: One order, in an open-addressing table by (instrument, order_id). `era` is the instrument's when
#: the order came; an order of an earlier era, or of size 0, rests no more. `entered`: its number
#: in the queue of time; 0 is a place that was never taken.
ORDER = np.dtype(
    [
        ("order_id", "<i8"),
        ("price", "<i8"),
        ("ts_event", "<i8"),
        ("entered", "<i8"),
        ("instrument_id", "<i8"),
        ("size", "<i8"),
        ("era", "<i4"),
        ("sequence", "<u4"),
        ("publisher_id", "<u2"),
        ("channel_id", "u1"),
        ("side", "u1"),
    ]
)
#: An instrument; `era` rises when its book is cleared. 0: a place that was never taken.
INSTRUMENT = np.dtype(
    [
        ("instrument_id", "<i8"),
        ("snapshot", "<i8"),  # ts_recv of its last snapshot record while one is open, else -1
        ("era", "<i4"),
        ("publisher_id", "<u2"),
        ("channel_id", "u1"),
    ]
)


@compiled
def advance(rows: Rows, start: int, orders: Rows, instruments: Rows, used: Rows) -> int:
    """Put records into the book from `start` on; stops early where a table is too full.

    rows: MBO_RECORD. `used`: orders' places taken, instruments' places taken, orders entered.
    """
    for i in range(start, rows.size):
        if used[0] * 3 > orders.size * 2 or used[1] * 3 > instruments.size * 2:
            return i
        r = rows[i]
        at = instruments[_instrument(instruments, r.instrument_id, used)]
        at.publisher_id, at.channel_id = r.publisher_id, r.channel_id
        if r.flags & F_SNAPSHOT:
            if at.snapshot < 0 or r.ts_recv - at.snapshot > SNAPSHOT_SILENCE_NS:
                at.era += 1
            at.snapshot = -1 if r.flags & F_LAST else r.ts_recv
        else:
            at.snapshot = -1
        if r.action == ACTION_CLEAR:
            at.era += 1
        elif r.action in (ACTION_ADD, ACTION_CANCEL, ACTION_MODIFY):
            _change(r, at.era, orders, used)
    return rows.size


@compiled
def _change(r: Any, era: int, orders: Rows, used: Rows) -> None:
    """CME's and NASDAQ's rules: more size or another price goes to the end of the queue."""
    place = _place(orders, r.instrument_id, r.order_id)
    o = orders[place]
    rests = o.entered > 0 and o.era == era and o.size > 0
    if r.action == ACTION_CANCEL:
        if rests:
            o.size = max(o.size - r.size, 0)
        return
    if o.entered == 0:
        if r.size == 0:
            return
        used[0] += 1
    keeps = rests and r.action == ACTION_MODIFY and r.price == o.price and r.size <= o.size
    if not keeps:
        used[2] += 1
        o.entered, o.ts_event, o.sequence = used[2], r.ts_event, r.sequence
    o.order_id, o.instrument_id, o.era = r.order_id, r.instrument_id, era
    o.price, o.size, o.side = r.price, r.size, r.side
    o.publisher_id, o.channel_id = r.publisher_id, r.channel_id


@compiled
def _place(orders: Rows, instrument_id: int, order_id: int) -> int:
    mask = orders.size - 1
    mixed = np.uint64(order_id) ^ (np.uint64(instrument_id) << np.uint64(32))
    at = np.int64((mixed * np.uint64(11400714819323198485)) >> np.uint64(24)) & mask
    while orders[at].entered and (
        orders[at].order_id != order_id or orders[at].instrument_id != instrument_id
    ):
        at = (at + 1) & mask
    return at  # type: ignore[return-value]


@compiled
def _instrument(instruments: Rows, instrument_id: int, used: Rows) -> int:
    mask = instruments.size - 1
    at = np.int64((np.uint64(instrument_id) * np.uint64(11400714819323198485)) >> np.uint64(24))
    at &= mask
    while instruments[at].era and instruments[at].instrument_id != instrument_id:
        at = (at + 1) & mask
    if not instruments[at].era:
        instruments[at].instrument_id = instrument_id
        instruments[at].era, instruments[at].snapshot = 1, -1
        used[1] += 1
    return at  # type: ignore[return-value]


@compiled
def _moved(orders: Rows, larger: Rows) -> None:
    for i in range(orders.size):
        larger[_place(larger, orders[i].instrument_id, orders[i].order_id)] = orders[i]


class RestingOrders:
    """The orders of all instruments of a feed, kept up to any record of it.

    Going on is cheap; going back begins the feed anew. May be asked from several threads.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self.position = 0
        self._feed: Iterator[Batch] = self._tape.read()
        self._rest: Batch | None = None
        self._orders = np.zeros(1 << 12, ORDER)
        self._instruments = np.zeros(1 << 6, INSTRUMENT)
        self._used = np.zeros(3, np.int64)

    def snapshot(self, position: int, now: int, wanted: npt.NDArray[np.int64] | None) -> Rows:
        """A market snapshot after the feed's first `position` records, as MBO_RECORD.

        For each wanted instrument (None: all) that the feed has had: R, then its orders, the
        one that came to its place first before the others, the last record with F_LAST.
        `ts_recv` is `now`, `ts_event` the time at which the order came to its place.
        """
        with self._lock:
            self._go(position)
            orders, instruments = self._live(wanted)
        return _written(orders, instruments, now)

    def _live(self, wanted: npt.NDArray[np.int64] | None) -> tuple[Rows, Rows]:
        """The orders that rest, oldest first, and the instruments."""
        instruments = self._instruments[self._instruments["era"] > 0]
        if wanted is not None:
            instruments = instruments[np.isin(instruments["instrument_id"], wanted)]
        instruments = np.sort(instruments, order="instrument_id")
        orders = self._resting()
        orders = orders[np.isin(orders["instrument_id"], instruments["instrument_id"])]
        return orders[np.argsort(orders["entered"], kind="stable")], instruments

    def _resting(self) -> Rows:
        orders = self._orders[(self._orders["entered"] > 0) & (self._orders["size"] > 0)]
        known = np.sort(self._instruments[self._instruments["era"] > 0], order="instrument_id")
        eras = known["era"][np.searchsorted(known["instrument_id"], orders["instrument_id"])]
        return orders[orders["era"] == eras]

    def _go(self, position: int) -> None:
        if position < self.position:
            self._begin()
        while self.position < position:
            batch = self._rest if self._rest is not None else next(self._feed)
            n = min(position - self.position, len(batch))
            self._take(batch.cut(0, n).mbo)
            self._rest = batch.cut(n, len(batch)) if n < len(batch) else None
            self.position += n

    def _take(self, rows: Rows) -> None:
        at = 0
        while at < len(rows):
            at = advance(rows, at, self._orders, self._instruments, self._used)
            if at < len(rows):
                self._enlarge()

    def _enlarge(self) -> None:
        """Make room: what rests no more is left behind."""
        if self._used[1] * 3 > self._instruments.size * 2:
            known = self._instruments[self._instruments["era"] > 0]
            self._instruments = np.zeros(self._instruments.size * 4, INSTRUMENT)
            used = np.zeros(3, np.int64)
            for one in known:
                self._instruments[
                    _instrument(self._instruments, int(one["instrument_id"]), used)
                ] = one
        live = self._resting()
        self._orders = np.zeros(1 << max(12, (len(live) * 4).bit_length()), ORDER)
        _moved(live, self._orders)
        self._used[0] = len(live)


def _written(orders: Rows, instruments: Rows, now: int) -> Rows:
    """Orders, oldest first, and instruments as records, instrument by instrument."""
    out = np.zeros(len(orders) + len(instruments), MBO_RECORD)
    if not len(out):
        return out
    out["length"], out["rtype"], out["ts_recv"] = WORDS, RTYPE_MBO, now
    out["flags"] = F_SNAPSHOT | F_BAD_TS_RECV
    # A stable merge: all of an instrument's records together, R before its orders.
    ids = np.concatenate([instruments["instrument_id"], orders["instrument_id"]])
    order = np.argsort(ids, kind="stable")
    heads = order < len(instruments)
    out["instrument_id"] = ids[order]
    for name in ("publisher_id", "channel_id"):
        out[name] = np.concatenate([instruments[name], orders[name]])[order]
    out["action"], out["side"], out["price"] = ACTION_CLEAR, SIDE_NONE, UNDEF_PRICE
    out["ts_event"] = now
    resting, queued = ~heads, orders[order[~heads] - len(instruments)]
    out["action"][resting] = ACTION_ADD
    for name in ("order_id", "price", "size", "side", "ts_event", "sequence"):
        out[name][resting] = queued[name]
    out["flags"][np.append(heads[1:], True)] |= F_LAST
    return out
