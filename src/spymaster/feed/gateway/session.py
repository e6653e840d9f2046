"""One client's session, from the challenge to the end: what is sent, and when."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from spymaster.feed.gateway.batch import Batch, Longs
from spymaster.feed.gateway.clock import Now
from spymaster.feed.gateway.control import Refused, fields_of
from spymaster.feed.gateway.desk import Denied, Desk
from spymaster.feed.gateway.entrance import enter, requests
from spymaster.feed.gateway.faults import Fault
from spymaster.feed.gateway.feed import Feed
from spymaster.feed.gateway.messages import Messages, SystemCode
from spymaster.feed.gateway.sender import Ended, Sender, Told
from spymaster.feed.gateway.subscription import Subscription, live, replayed
from spymaster.feed.gateway.wire import ClientGone, Wire
from spymaster.market.clock import DAY_NS

_AT_ONCE = 8192
_NS = 10**9


class Session:
    """Speaks with one client in the calling thread until the connection ends.

    `run` returns a line on how it ended. ends: it closes at the files' end, else heartbeats go
    on. slow_ns: how far (wall time) a client that had caught up may fall behind. replay_ns: how
    far back a replay may reach.
    """

    def __init__(
        self,
        wire: Wire,
        number: int,
        feeds: Mapping[str, Feed],
        key: str | None,
        faults: Sequence[Fault],
        *,
        ends: bool,
        slow_ns: int,
        replay_ns: int | None,
        tell: Callable[[str], None],
    ) -> None:
        self.told = Told()
        self._wire, self._number, self._feeds, self._key = wire, number, feeds, key
        self._faults = {fault.kind: fault for fault in faults}
        self._all_faults = faults
        self._ends, self._slow_ns, self._replay_ns, self._tell = ends, slow_ns, replay_ns, tell
        self._caught_up = False
        self._warned_ns = 0
        self._left_out = 0
        self._dropping: int | None = None

    def run(self) -> str:
        try:
            self._open()
            self._stream()
        except Ended as end:
            return str(end)
        except (Refused, Denied) as refused:
            self._wire.finish()
            return f"refused: {refused}"
        except ClientGone as gone:
            self._wire.close()
            return f"the client has gone ({gone})"
        self._wire.finish()
        return "ended in order"

    def finish(self) -> None:
        """End the connection in order, from outside the session."""
        self._wire.finish()

    def _open(self) -> None:
        wire = self._wire
        who = enter(wire, self._number, self._feeds, self._key, "bad-key" in self._faults)
        self._login, self._feed = who, self._feeds[who.dataset]
        self._clock = self._feed.clock
        self._messages = Messages(who.dataset, who.ts_out)
        self._desk = Desk(
            self._feed.symbols, self._messages, wire.write, self._tell, self._replay_ns
        )
        self._sender = Sender(
            wire,
            self._messages,
            self._clock,
            self._all_faults,
            ts_out=who.ts_out,
            skips=who.skips,
            tell=self._tell,
            name_of=self._desk.name_of,
        )
        self.told = self._sender.told

    def _stream(self) -> None:
        asked = requests(self._wire)
        if "silence" in self._faults:
            self._sender.stall("silence")
        if self._login.zstd:
            self._wire.pack()
        now = self._clock.start()
        self.told.now = now.time
        self._wire.write(self._messages.metadata(now.time))
        for fields in asked:
            self._take(fields, now.time, started=False)
        self._play(now)
        self._tell("the files are at their end")
        while not self._ends:
            self._idle(None)
            self._news(None)

    def _play(self, now: Now) -> None:
        """The past that is replayed, what it ends with, and then everything as it is due."""
        arrived, day = False, now.time // DAY_NS
        for batch in self._feed.tape.read():
            past = 0 if arrived else now.past(batch)
            some_past = past > 0 and self._replays()
            if int(batch.keys[0]) // DAY_NS != day and (some_past or past < len(batch)):
                day = int(batch.keys[0]) // DAY_NS
                self._desk.new_day(int(batch.keys[0]))
            if some_past:
                self._replay(batch.cut(0, past), now.time)
            if past == len(batch):
                continue
            if not arrived:
                arrived = True
                self._arrive(batch.first + past, now.time)
            self._live(batch.cut(past, len(batch)))
        if not arrived:
            self._arrive(None, now.time)
        if self._dropping is not None:
            self._dropped()

    def _replays(self) -> bool:
        return any(one.request.start is not None for one in self._desk.subscriptions)

    def _replay(self, batch: Batch, now: int) -> None:
        early = self._faults["duplicates"].after * _NS if "duplicates" in self._faults else 0
        midnight = now // DAY_NS * DAY_NS
        wanted = replayed(self._desk.subscriptions, batch, midnight, early)
        self._sender.records(batch.where(wanted))

    def _arrive(self, position: int | None, now: int) -> None:
        """The past is over: say so for every schema, and show the book where that was asked."""
        asked = self._desk.subscriptions
        for schema in sorted({o.request.schema for o in asked if o.request.start is not None}):
            self._sender.say(SystemCode.REPLAY_COMPLETED, f"Finished {schema} replay")
        self._show_books(asked, position, now)

    def _show_books(self, asked: Sequence[Subscription], position: int | None, now: int) -> None:
        """Market snapshots of the book before a record of the feed (None: at its end)."""
        asked = [one for one in asked if one.request.snapshot]
        if not asked or position == 0:
            return
        if position is None:
            position = sum(len(batch) for batch in self._feed.tape.read())
        numbers: Longs | None = None
        if all(one.numbers is not None for one in asked):
            numbers = np.concatenate([n for one in asked if (n := one.numbers) is not None])
        rows = self._feed.orders.snapshot(position, now, numbers)
        keys, places = np.full(len(rows), now), np.full(len(rows), position - 1)
        self._sender.records(Batch(position, keys, rows, places=places))

    def _live(self, batch: Batch) -> None:
        at = 0
        while at < len(batch):
            key = int(batch.keys[at])
            self._news(batch.first + at)
            due = self._clock.due(batch.keys)
            if self._dropping is not None:
                at = self._drop(batch, at)
            elif due <= at:
                self._caught_up = True
                self._idle(self._clock.wait_ns(key))
            elif not self._is_slow(key):
                part = batch.cut(at, min(due, at + _AT_ONCE))
                at += len(part)
                self._sender.records(part.where(live(self._desk.subscriptions, part)))
                self._clock.played(part.end, int(part.keys[-1]))

    def _is_slow(self, key: int) -> bool:
        """Is the client too far behind: warn it, or begin to leave records out."""
        lag = self._clock.lag_ns(key)
        if not self._caught_up or lag < self._slow_ns:
            return False
        if self._login.skips:
            self._dropping = self._clock.time()
            return True
        if time.monotonic_ns() - self._warned_ns > self._slow_ns:
            self._warned_ns = time.monotonic_ns()
            self._sender.warn(f"{lag / _NS:.1f} s behind")
        return False

    def _drop(self, batch: Batch, at: int) -> int:
        """Leave out what was due before the skip began."""
        assert self._dropping is not None
        end = max(at, int(np.searchsorted(batch.keys, self._dropping, "right")))
        part = batch.cut(at, end)
        self._left_out += int(live(self._desk.subscriptions, part).sum())
        if end < len(batch):
            self._dropped()
        return end

    def _dropped(self) -> None:
        self._sender.skipped(self._left_out)
        self._dropping, self._left_out, self._caught_up = None, 0, False

    def _idle(self, wait_ns: int | None) -> None:
        """Wait for a line, a heartbeat's turn, or the next record."""
        beat = self._login.heartbeat_s * _NS
        left = beat - (time.monotonic_ns() - self._wire.sent_ns)
        if left <= 0:
            self._sender.say(SystemCode.HEARTBEAT, "Heartbeat")
            left = beat
        self._wire.wait(left if wait_ns is None else min(left, wait_ns))

    def _news(self, position: int | None) -> None:
        """Take what the client has asked for since the session started."""
        while self._wire.lines:
            fields, now = fields_of(self._wire.lines.popleft()), self._clock.time()
            self._show_books([self._take(fields, now, started=True)], position, now)

    def _take(self, fields: dict[str, str], now: int, started: bool) -> Subscription:
        try:
            return self._desk.take(fields, now, started)
        except Denied as denied:
            self._sender.error(denied.code, str(denied))
            raise
