"""One dataset's feed, kept alive: connect, take what comes, and connect again when it ends."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from spymaster.bus import open_bus
from spymaster.bus.secret import Secret
from spymaster.errors import SourceError, SpymasterError
from spymaster.feed.ingest.connection import Ask, Connection, Lost
from spymaster.feed.ingest.flow import Counts, Flow
from spymaster.feed.ingest.inbox import Inbox
from spymaster.feed.ingest.lander import Lander
from spymaster.feed.ingest.publisher import Publisher
from spymaster.feed.ingest.recovery import Noted, Notes, landed_tail, recover
from spymaster.feed.ingest.status import Told
from spymaster.feed.ingest.stream import Said, Stream, aged_out, fatal, lost_records
from spymaster.feed.topic import TOPIC
from spymaster.lake.tables import Lake
from spymaster.settings import Settings, SymbolSettings

log = logging.getLogger(__name__)

_LOOK_S = 0.25
_NOTE_S = 1.0
_DRAIN_S = 5.0
_HOUR = 3_600_000_000_000


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
        self._flow, self._publisher = flow, publisher
        try:
            tail, start = landed_tail(self._lake, self._dataset)
            flow.last_start = start
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
        """One connection from its beginning to its end; True when there shall be no other."""
        started = self._monotonic()
        ask, gap = self._ask()
        self._state("connecting")
        self.told.open_gap = gap
        inbox = Inbox(self._settings.feed.buffer_bytes)
        symbols, feed = self._symbols, self._settings.feed
        self.told.connections += 1
        self.told.reconnects += self.told.connections > 1
        try:
            with Connection(self._dataset, symbols, feed, self._key, ask, inbox) as connection:
                self._flow.connect(gap)
                done = self._live(connection, inbox, ask)
        except Lost as lost:
            self._error(str(lost))
            done = False
        if self._monotonic() - started > feed.good_s:
            self._failures = 0
        self._flow.finish()
        self._note()
        return done

    def _ask(self) -> tuple[Ask, str | None]:
        """A replay from the feed's last group, or a market snapshot with the gap before it."""
        tail = self._flow.tail
        if not tail.ts_recv:
            return Ask(None), None
        silent = self._now() - self.told.arrived
        horizon = self._settings.feed.horizon_hours
        if self._aged_out or silent > horizon * _HOUR:
            return Ask(None), "no connection for longer than the feed can be replayed"
        if tail.start is None:
            return Ask(None), "the connection ended inside a market snapshot"
        return Ask(tail.start), None

    def _live(self, connection: Connection, inbox: Inbox, ask: Ask) -> bool:
        feed = self._settings.feed
        begin = self._monotonic()
        stream = Stream(ask.replays, begin + feed.definitions_s, self._monotonic)
        noted, heard = begin, False
        while not self._stop.is_set():
            pieces = inbox.take(_LOOK_S)
            at = self._monotonic()
            heard = heard or bool(pieces)
            self._take(stream, pieces, inbox.waiting)
            if not heard and not inbox.ended and at - begin > feed.first_record_s:
                raise Lost(f"nothing came for {feed.first_record_s:g} s after the session began")
            if at - noted > _NOTE_S:
                self._note()
                noted = at
            if inbox.ended and not inbox.waiting:
                break
        else:
            self._drain(connection, stream, inbox)
            return True
        self._flow.take(stream.rest())
        return self._ended(inbox.error, connection.broken, stream)

    def _take(self, stream: Stream, pieces: list[bytes], waiting: int) -> None:
        late = stream.late
        data = stream.take(pieces)
        self.told.waiting_bytes = waiting
        if stream.late and not late:
            log.warning(
                "feed %s: the definitions are not complete after %g s; records go on without them",
                self._dataset,
                self._settings.feed.definitions_s,
            )
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
        places = {**self._places, **self._publisher.places}
        self._notes.write(Noted(self._bus.ends(TOPIC), places, self.told.arrived))


def _only_repeats(text: str, unresolved: list[str]) -> bool:
    """Does the client only repeat, at an orderly end, errors after which the feed went on?"""
    said = ", ".join(unresolved)
    return bool(unresolved) and text in (said, f"The following errors occurred: {said}")
