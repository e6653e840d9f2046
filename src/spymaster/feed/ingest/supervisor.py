"""One dataset's feed, kept alive: connect, take what comes, and connect again when it ends."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from spymaster.bus import open_bus
from spymaster.bus.secret import Secret
from spymaster.contracts.event import F_SNAPSHOT
from spymaster.errors import SourceError, SpymasterError
from spymaster.feed import dbn_records as dbn
from spymaster.feed.ingest.connection import Ask, Connection, Lost
from spymaster.feed.ingest.flow import Counts, Flow
from spymaster.feed.ingest.inbox import Inbox
from spymaster.feed.ingest.lander import Lander
from spymaster.feed.ingest.publisher import Publisher
from spymaster.feed.ingest.recovery import Noted, Notes, landed_book, landed_tail, recover
from spymaster.feed.ingest.status import Told
from spymaster.feed.ingest.stream import (
    Said,
    Stream,
    aged_out,
    cut_whole,
    fatal,
    lost_records,
    offset_of,
)
from spymaster.feed.topic import TOPIC
from spymaster.lake.tables import Lake
from spymaster.settings import Settings, SymbolSettings

log = logging.getLogger(__name__)

_LOOK_S = 0.25
_NOTE_S = 1.0
_DRAIN_S = 5.0
_HOUR = 3_600_000_000_000


class _Line:
    """A connection, the inbox that it fills, and its records in order."""

    def __init__(self, connection: Connection, inbox: Inbox, stream: Stream) -> None:
        self.connection, self.inbox, self.stream = connection, inbox, stream
        self.relieving = self.done = False
        self.held = np.empty(0, np.uint8)  #: of one that is to take over
        self._late: list[dbn.Bytes] = []  # of one that is to be relieved
        self._high = -1

    def begin(self, lines: ExitStack) -> None:
        """Connect; Lost or SourceError when that cannot be."""
        lines.enter_context(self.connection)

    def keep(self, data: dbn.Bytes) -> None:
        """Keep records back, while another connection is to take over."""
        if len(data):
            self._late.append(data)
            times = cut_whole(data, 0).records["ts_recv"]
            self._high = max(self._high, int(times.max(initial=-1)))

    def kept(self) -> dbn.Bytes:
        """What was kept back, once."""
        data = np.concatenate([np.empty(0, np.uint8), *self._late])
        self._late.clear()
        return data

    def reached(self, at: int) -> bool:
        """What was kept back goes past a time, ns UTC: all before it has come."""
        return self._high > at

    def snapshot(self) -> int | None:
        """The time of its market snapshot, ns UTC, when that has begun to come."""
        if self.inbox.waiting:
            data = self.stream.take(self.inbox.take(0))
            self.held = np.concatenate([self.held, data])
        records = cut_whole(self.held, 0).records
        found = records[records["flags"] & F_SNAPSHOT != 0]
        return int(found["ts_recv"][0]) if len(found) else None


def _up_to(data: dbn.Bytes, at: int) -> dbn.Bytes:
    """The records before the first MBO record past a time, ns UTC."""
    chunk = cut_whole(data, 0)
    past = np.flatnonzero(chunk.records["ts_recv"] > at)
    return data[: offset_of(data, chunk.number(int(past[0])))] if len(past) else data


class Supervisor:
    """Runs one dataset's feed in the calling thread until `stop` is set, or it cannot go on.

    once: an orderly end by the gateway ends it. `error`: why it could not go on. A connection
    that only closes proves nothing: the next one asks for what may be missing.
    """

    def __init__(
        self,
        dataset: str,
        symbols: SymbolSettings,
        settings: Settings,
        lake: Lake,
        key: Secret,
        *,
        once: bool,
        stop: threading.Event,
        now: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.told = Told(dataset)
        self.error: SpymasterError | None = None
        self._dataset, self._symbols, self._settings = dataset, symbols, settings
        self._lake, self._key, self._once, self._stop = lake, key, once, stop
        self._now, self._monotonic, self._chance = now, monotonic, chance
        self._aged_out = False
        self._failures = 0
        self._relieve_at = -math.inf

    def run(self) -> None:
        """Until the end; an error that a person must see is in `error` then."""
        try:
            with open_bus(self._settings) as self._bus:
                self._run()
            self._state("stopped")
        except SpymasterError as error:
            self.error = error
            self._failed(str(error))
        except Exception as error:
            log.exception("feed %s", self._dataset)
            self.error = SourceError(
                f"feed {self._dataset}: the ingestor failed ({type(error).__name__}: {error}). "
                "What was captured is kept; start it again."
            )
            self._failed(str(self.error))

    def _failed(self, text: str) -> None:
        self.told.last_error = text
        self._state("failed")

    def _state(self, state: str) -> None:
        self.told.state = state

    def _run(self) -> None:
        self._notes = Notes(self._lake, self._dataset)
        noted = self._notes.read()
        lander = Lander(self._lake, self._settings, self._now)
        publisher = Publisher(self._bus, self._dataset, self._settings.bus, self._now)
        flow = Flow(self._dataset, self._settings, self._lake, publisher, lander, self._now)
        self._flow, self._publisher, self._lander = flow, publisher, lander
        try:
            tail, start = landed_tail(self._lake, self._dataset)
            flow.last_start = start
            flow.booked_before(landed_book(self._lake, self._dataset))
            recovered = recover(flow, self._bus, self._dataset, publisher.partitions, noted)
            if recovered:
                log.info("feed %s: %d captures of before published", self._dataset, recovered)
            flow.tail = tail.further(flow.tail)
            self.told.last_ts_recv, self.told.arrived = flow.tail.ts_recv, noted.arrived
            # What was counted of captures of before is no news.
            self.told.counts = flow.counts = Counts()
            self._places = {**noted.places, **publisher.places}
            self._note()
            while not self._stop.is_set() and not self._attempt():
                self._wait()
            self._state("draining")
        finally:
            publisher.close()
            lander.close()

    # Connections

    def _attempt(self) -> bool:
        """One connection from its beginning to its end, and those that relieve it in passing.

        True when there shall be no other.
        """
        started = self._monotonic()
        ask, gap = self._ask()
        self._state("connecting")
        self.told.open_gap = gap
        line = self._line(ask)
        try:
            with ExitStack() as self._lines:
                line.begin(self._lines)
                self._flow.connect(gap)
                while relief := self._live(line):
                    line = relief
                done = line.done
        except Lost as lost:
            self._error(str(lost))
            done = False
        if self._monotonic() - started > self._settings.feed.good_s:
            self._failures = 0
        self._flow.finish()
        self._note()
        return done

    def _line(self, ask: Ask) -> _Line:
        feed = self._settings.feed
        self.told.connections += 1
        self.told.reconnects += self.told.connections > 1
        inbox = Inbox(feed.buffer_bytes)
        connection = Connection(self._dataset, self._symbols, feed, self._key, ask, inbox)
        until = self._monotonic() + feed.definitions_s
        return _Line(connection, inbox, Stream(ask.replays, until, self._monotonic))

    def _ask(self) -> tuple[Ask, str | None]:
        """A replay from the feed's last group, or a market snapshot with the gap before it."""
        tail = self._flow.tail
        if not tail.ts_recv:
            return Ask(None), None
        # Killed before its first note it does not know since when; the gateway tells.
        silent = self._now() - self.told.arrived if self.told.arrived else 0
        horizon = self._settings.feed.horizon_hours
        if self._aged_out or silent > horizon * _HOUR:
            return Ask(None), "no connection for longer than the feed can be replayed"
        if tail.start is None:
            return Ask(None), "the connection ended inside a market snapshot"
        return Ask(tail.start), None

    def _live(self, line: _Line) -> _Line | None:
        """Take what comes until the connection ends, or another one relieves it: that one then."""
        feed, inbox, stream = self._settings.feed, line.inbox, line.stream
        begin = noted = self._monotonic()
        heard = line.relieving
        relief: _Line | None = None
        while not self._stop.is_set():
            pieces = inbox.take(_LOOK_S)
            at = self._monotonic()
            heard = heard or bool(pieces)
            self._take(stream, pieces, inbox.waiting, line.keep if relief else None)
            if not heard and not inbox.ended and at - begin > feed.first_record_s:
                raise Lost(f"nothing came for {feed.first_record_s:g} s after the session began")
            if at - noted > _NOTE_S:
                self._note()
                noted = at
            if inbox.ended and not inbox.waiting:
                break
            if relief is None and self._bookless(stream) and at > self._relieve_at:
                relief = self._relief()
            elif relief is not None and (begun := relief.snapshot()) is not None:
                if line.reached(begun):
                    self._hand_over(line, relief, begun)
                    return relief
            elif relief is not None and at > self._relieve_at:
                self._without_relief(line, relief)
                relief = None
        else:
            self._flow.take(line.kept())
            self._drain(line.connection, stream, inbox)
            line.done = True
            return None
        self._flow.take(line.kept())
        self._flow.take(stream.rest())
        line.done = self._ended(inbox.error, line.connection.broken, stream)
        return None

    def _bookless(self, stream: Stream) -> bool:
        """The feed is live, and its day has no market snapshot. A replay is never cut short."""
        return stream.replayed and self._flow.without_book

    def _relief(self) -> _Line | None:
        """Another connection beside this one, for the market snapshot that the day lacks."""
        feed = self._settings.feed
        log.info("feed %s: a UTC day without a market snapshot; one is asked for", self._dataset)
        line = self._line(Ask(None))
        self._relieve_at = self._monotonic() + feed.first_record_s
        try:
            line.begin(self._lines)
        except Lost as lost:
            self._error(f"no market snapshot for the new UTC day: {lost}")
            return None
        return line

    def _without_relief(self, line: _Line, relief: _Line) -> None:
        """It brought nothing: go on as before, and try again later."""
        relief.connection.__exit__()
        self._flow.take(line.kept())
        self._relieve_at = self._monotonic() + self._settings.feed.good_s
        self._error("no market snapshot for the new UTC day: none came")

    def _hand_over(self, old: _Line, new: _Line, at: int) -> None:
        """The market snapshot of `at` (ns UTC) has come, and the old connection is past it.

        Up to that time the old one's word counts: so nothing is missing between them, and nothing
        is told that the snapshot has in it.
        """
        old.connection.__exit__()
        self._flow.take(_up_to(old.kept(), at))
        self._flow.finish()
        self._flow.connect(None)
        self._relieve_at = self._monotonic() + self._settings.feed.good_s
        new.relieving = True
        self._flow.take(new.held)

    def _take(
        self,
        stream: Stream,
        pieces: list[bytes],
        waiting: int,
        keep: Callable[[dbn.Bytes], None] | None = None,
    ) -> None:
        """Records on their way, or kept back while another connection is to take over."""
        late = stream.late
        data = stream.take(pieces)
        self.told.waiting_bytes = waiting
        if stream.late and not late:
            log.warning(
                "feed %s: the definitions are not complete after %g s; records go on without them",
                self._dataset,
                self._settings.feed.definitions_s,
            )
        if keep is not None:
            keep(data)
            data = data[:0]
        self._flow.take(data)
        if pieces:
            self.told.arrived = self._now()
            if len(data):
                self.told.last_ts_recv = self._flow.tail.ts_recv
                self.told.feed_lag_ns = self.told.arrived - self._flow.tail.ts_recv
                if self._flow.tail.ts_recv:
                    self._state("live")
                    self.told.open_gap, self._aged_out = None, False
        for said in stream.slow:
            log.warning("feed %s: slow reader: %s", self._dataset, said.text)
        stream.slow.clear()
        errors, stream.errors = stream.errors, []
        for said in errors:
            self._said(said)

    def _said(self, said: Said) -> None:
        """An ErrorMsg: told, and acted upon where something must be."""
        self._error(f"the gateway says: {said.text} (code {said.code})", count=True)
        if fatal(said):
            raise SourceError(
                f"feed {self._dataset}: the gateway does not let this key in ({said.text}). Put a "
                "key with access where [feed] names it: key_variable, or vault."
            )
        if aged_out(said):
            self._aged_out = True
            raise Lost("the replay reaches too far back; a market snapshot is next")
        if lost_records(said):
            raise Lost("the gateway skipped records; they are asked for again")

    def _ended(self, error: BaseException | None, broken: str | None, stream: Stream) -> bool:
        if stream.half:
            raise Lost(f"the connection ended inside a record ({stream.half} bytes of it came)")
        if broken is not None:
            raise Lost(f"the connection broke: {broken}")
        if error is not None and not _only_repeats(str(error), stream.unresolved):
            raise Lost(str(error))
        if self._once:
            return True
        raise Lost("the gateway closed the connection")

    def _drain(self, connection: Connection, stream: Stream, inbox: Inbox) -> None:
        """Take what has come, and no more."""
        self._state("draining")
        connection.__exit__()
        until = self._monotonic() + _DRAIN_S
        while inbox.waiting and self._monotonic() < until:
            self._take(stream, inbox.take(0), inbox.waiting)
        self._flow.take(stream.rest())

    def _error(self, text: str, count: bool = True) -> None:
        self.told.errors += count
        self.told.last_error = text
        log.warning("feed %s: %s", self._dataset, text)

    def _wait(self) -> None:
        """Longer each time, and never all at the same moment."""
        feed = self._settings.feed
        longest = min(feed.backoff_longest_s, feed.backoff_first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        seconds = longest * (0.5 + 0.5 * self._chance())
        self._state("waiting")
        log.info("feed %s: connecting again in %.1f s", self._dataset, seconds)
        self._stop.wait(seconds)

    def _note(self) -> None:
        """Write down how far the topic is, so that a restart need not read all of it."""
        if self._lander.error is not None:
            self.told.last_error = f"a capture waits to land: {self._lander.error}"
        places = {**self._places, **self._publisher.places}
        self._notes.write(Noted(self._bus.ends(TOPIC), places, self.told.arrived))


def _only_repeats(text: str, unresolved: list[str]) -> bool:
    """Does the client only repeat, at an orderly end, errors after which the feed went on?"""
    said = ", ".join(unresolved)
    return bool(unresolved) and text in (said, f"The following errors occurred: {said}")
