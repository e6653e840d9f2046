"""The sessions that are open: when one begins and with what, what it makes, when it has ended."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spymaster.bus import Message
from spymaster.engines.epoch import Intent
from spymaster.engines.markets import Made
from spymaster.engines.stream.feed import (
    Begin,
    Broken,
    Events,
    Missing,
    Taken,
    TopicFeed,
    begin_with_book,
)
from spymaster.engines.stream.opened import Opened, Pending, open_session
from spymaster.engines.stream.outlet import Outlet
from spymaster.engines.stream.past import PastSessions
from spymaster.engines.stream.rows import Key
from spymaster.engines.stream.session import StreamSession
from spymaster.engines.stream.warm_start import events_before
from spymaster.feed.topic import Batch, Content, Gap
from spymaster.lake import Lake
from spymaster.market.clock import DAY_NS
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session, session, sessions_touched
from spymaster.settings import Settings
from spymaster.stages.rows import Rows

log = logging.getLogger(__name__)

#: Further ahead than this nobody looks for the next session.
_FAR = 8 * DAY_NS

Between = Callable[[Mapping[int, int], Mapping[int, int]], Iterator[list[Message]]]


def _pending(told: list[Any]) -> dict[Key, Pending]:
    return {
        (name, date): Pending(
            {int(p): int(o) for p, o in x["begins"].items()}, x["since"], x["book"]
        )
        for (name, date), x in told
    }


class OpenSessions:
    """Every underlier's open sessions, one after the other, over what the topic brings.

    A session begins when those before it have ended, since what they come to is an input of it;
    what the topic brought meanwhile it takes by `between`, which reads the topic once more.
    """

    def __init__(
        self, settings: Settings, lake: Lake, feed: TopicFeed, outlet: Outlet, between: Between
    ) -> None:
        self.past = PastSessions()
        self._settings, self._lake, self._feed = settings, lake, feed
        self._outlet, self._between = outlet, between
        self._open: dict[Key, StreamSession] = {}
        self._pending: dict[Key, Pending] = {}
        self._looked: dict[str, tuple[int, int]] = {}

    @property
    def names(self) -> list[str]:
        """The open ones, as a person calls them."""
        return [f"{name} {date}" for name, date in list(self._open)]

    def _session(self, name: str, date: str) -> Session:
        return session(self._settings.of(name), name, dt.date.fromisoformat(date))

    # Beginning

    def facts(
        self,
        taken: Sequence[tuple[Message, Content | Broken]],
        ranges: Mapping[int, tuple[int, int]],
        offsets: Mapping[int, int],
    ) -> dict[str, Any]:
        """What decides an intent's rows beside its messages: how new sessions begin.

        ranges: of each partition the offsets [from, to) that it is of; offsets: those after it.
        """
        spans: dict[str, tuple[int, int]] = {}
        for _, content in taken:
            if isinstance(content, Batch) and len(content.columns.ts_recv):
                ts = content.columns.ts_recv
                low, high = spans.get(content.venue, (2**63, -1))
                spans[content.venue] = min(low, int(ts[0])), max(high, int(ts[-1]))
            elif isinstance(content, Gap):
                low, high = spans.get(content.venue, (2**63, -1))
                spans[content.venue] = min(low, content.to_ts), max(high, content.to_ts)
        books = begin_with_book(content for _, content in taken)
        begun = {p: ranges[p][0] if p in ranges else o for p, o in offsets.items()}
        for name, u in self._settings.underlier.items():
            low, high = spans.get(u.venue, (0, -1))
            for s in self._touched(name, low, high) if low <= high else ():
                key = (name, s.session_date.isoformat())
                if key not in self._open and not self.past.has(*key):
                    since = min(low, self._feed.since.get(u.venue, low))
                    book = self._feed.with_book.get(u.venue, u.venue in books)
                    self._pending.setdefault(key, Pending(begun, since, book))
        opened = {}
        for name, date in self.ready():
            waited = self._pending.pop((name, date))
            s = self._session(name, date)
            made = open_session(self._lake, self._settings, s, waited, self.past)
            opened[f"{name} {date}"] = {**made.to_json(), "begins": waited.begins}
        facts = {"opened": opened, "pending": self._waiting()}
        return {k: v for k, v in facts.items() if v}

    def _waiting(self) -> list[Any]:
        return [[key, asdict(pending)] for key, pending in self._pending.items()]

    def ready(self) -> list[Key]:
        """Sessions that wait for none before them: what those come to is known."""
        busy = {name for name, _ in self._open}
        first = {name: min(d for n, d in self._pending if n == name) for name, _ in self._pending}
        return sorted((name, date) for name, date in first.items() if name not in busy)

    def _touched(self, name: str, low: int, high: int) -> list[Session]:
        """The sessions that records from `low` to `high` (ns UTC) belong to, if any is new."""
        since, until = self._looked.get(name, (2**63, 0))
        if since <= low and high < until:
            return []
        u = self._settings.of(name)
        found = sessions_touched(u, name, low, high + 1)
        known = {s.session_date for s in found}
        later = sessions_touched(u, name, high, high + _FAR)
        starts = [s.input_start for s in later if s.session_date not in known]
        self._looked[name] = (low, min(starts, default=high + _FAR))
        return found

    def begin(self, intent: Intent, offsets: Mapping[int, int]) -> None:
        """Open the sessions that begin with an intent; `offsets`: what is read after it."""
        for key, told in intent.facts.get("opened", {}).items():
            name, date = key.split()
            begins = {int(p): int(o) for p, o in told["begins"].items()}
            ends = {p: intent.ranges.get(p, (o, o))[0] for p, o in offsets.items()}
            self._begin(name, date, Opened.from_json(told), begins, ends)
        self._pending = _pending(intent.facts.get("pending", []))

    def _begin(
        self,
        name: str,
        date: str,
        opened: Opened,
        begins: Mapping[int, int],
        ends: Mapping[int, int],
    ) -> None:
        """Begin a session, and give it what the topic brought while the one before was open."""
        s = StreamSession(self._session(name, date), self._settings.of(name), opened)
        self._open[name, date] = s
        self._outlet.expect(s.stages.spec)
        log.info("%s %s begins: %s is selected", name, date, opened.earlier.selected)
        if opened.cold:
            log.warning("%s %s is not warm: %s", name, date, opened.cold)
        for piece in events_before(self._lake, self._settings, opened.files):
            if isinstance(piece, list):
                s.stages.begin_file()
                for gap in piece:
                    if s.stages.reached_by(gap["from_ts"], gap["to_ts"]):
                        self._emit(s, s.stages.gap(gap["from_ts"], gap["reason"]))
            else:
                self._emit(s, s.stages.advance(*piece))
        if opened.files:
            s.stages.begin_file()
            log.info("%s %s: %d landed files told what was before", name, date, len(opened.files))
        feed = TopicFeed(len(ends), self._told, self._settings.underlier)
        for messages in self._between(begins, ends):
            if s.key in self._open:
                self._advance(s, feed.take(TopicFeed.read(messages)), feed)

    def _told(self, contract_id: str) -> Instrument | None:
        """A contract that the topic has told, or the lake."""
        known = [i for i in self._feed.contracts if i.contract_id == contract_id]
        return known[0] if known else self.definition(contract_id)

    def definition(self, contract_id: str) -> Instrument | None:
        """A contract as bronze.definitions has it."""
        rows = self._lake.scan(
            "bronze.definitions", filters={"contract_id": contract_id}, missing_ok=True
        ).to_pylist()
        return Instruments(Instrument.from_row(r) for r in rows).by_contract().get(contract_id)

    # Working

    def advance(self, taken: Taken) -> None:
        """Every open session takes what was read."""
        for s in list(self._open.values()):
            self._advance(s, taken, self._feed)

    def _advance(self, s: StreamSession, taken: Taken, feed: TopicFeed) -> None:
        """A session takes what was read, and ends at a mark past its last window."""
        for piece in taken.pieces:
            if isinstance(piece, Events):
                self._emit(s, s.stages.advance(feed.contracts, piece.events))
            elif isinstance(piece, Begin):
                s.stages.begin_file()
            elif isinstance(piece, Missing) and s.hit_by(piece.gap):
                touched = feed.of_partition(piece.partition)
                made = s.stages.gap(piece.gap.from_ts, piece.gap.reason, touched.__contains__)
                self._emit(s, made)
        mark = taken.marks.get(s.venue)
        if mark is not None:
            self._emit(s, s.stages.close(mark))
            if s.stages.closed:
                self._end(s)

    def _emit(self, s: StreamSession, made: Made) -> None:
        for kind, rows in made:
            self._outlet.take(s, kind, rows)

    def _end(self, s: StreamSession) -> None:
        """No mark can change the session any more: what later ones ask of it, and its lineage."""
        name, date = s.key
        small: dict[str, list[dict[str, Any]]] = {}
        for table, kind, row in s.stages.small():
            self._outlet.take(s, kind, [Rows(table, None, row, 1)])
            keys = {"session_date": s.session.session_date, "underlier": name}
            small.setdefault(table, []).append({**row, **keys, "instrument_type": kind})
        self.past.add(s.session, small)
        self._outlet.ended(s)
        del self._open[s.key]
        log.info("%s %s ended: %s", name, date, s.stages.missing() or "complete")

    # State

    def to_json(self) -> dict[str, Any]:
        """The state beside that of the sessions themselves."""
        return {
            "past": self.past.to_json(),
            "pending": self._waiting(),
            "sessions": list(self._open),
        }

    def to_bytes(self) -> list[bytes]:
        """The state of each open session, in the order of `to_json`."""
        return [s.to_bytes() for s in self._open.values()]

    def restore(self, told: Mapping[str, Any], sessions: Sequence[bytes]) -> None:
        """Go on where `to_json` and `to_bytes` left off. ValueError for another version."""
        self.past.restore(told["past"])
        self._pending = _pending(told["pending"])
        for (name, date), data in zip(told["sessions"], sessions, strict=True):
            s = self._session(name, date)
            self._open[name, date] = StreamSession.from_bytes(s, self._settings.of(name), data)
