"""Which session is open: what the driver decides for all contracts, and when one has ended.

As `engines/stream/sessions.OpenSessions` decides it for one machine: a session begins when those
before it have ended, with what they came to. Here the contracts are in tasks; the driver knows
what the commits of bronze.stream say of themselves, and hears when a contract begins and ends.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from spymaster.contracts.event import LATENESS_NS
from spymaster.engines.spark.contract_turn import Missed, Turn
from spymaster.engines.spark.stream.commits import StreamCommit
from spymaster.engines.spark.stream.session_at_work import SessionAtWork
from spymaster.engines.stream.opened import Pending, open_session
from spymaster.engines.stream.past import PastSessions
from spymaster.feed.topic import Gap
from spymaster.lake import Lake
from spymaster.market.clock import DAY_NS
from spymaster.market.sessions import Session, session, sessions_touched
from spymaster.settings import Settings

log = logging.getLogger(__name__)

#: A gap this far behind the feed reaches into no session that is to come.
_FORGET = 8 * DAY_NS
Told = Mapping[str, Any]


class Ended(NamedTuple):
    """A session that can change no more, of an underlier."""

    underlier: str
    session: SessionAtWork


class Openings:
    """Pending, open and past sessions of every underlier. All of its state is JSON."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self.past = PastSessions()
        self.open: dict[str, SessionAtWork] = {}  # by underlier
        self.read = -1  # up to which version the commits' words were taken
        self.reached = -1  # up to which version rows were worked on
        self._settings, self._lake = settings, lake
        self._over: dict[str, str] = {}
        self._pending: dict[tuple[str, str], Pending] = {}
        self._waiting: dict[str, tuple[str, str]] = {}  # contract -> the session it waits for
        self._since: dict[str, int] = {}
        self._book: dict[str, bool] = {}
        self._high: dict[str, int] = {}
        self._marks: dict[str, list[tuple[int, int]]] = {}  # venue -> (version, mark)
        self._gaps: list[Missed] = []
        self._files: dict[str, int] = {}

    def _session(self, name: str, date: str) -> Session:
        return session(self._settings.of(name), name, dt.date.fromisoformat(date))

    def skip(self, over: Mapping[str, str]) -> None:
        """Sessions up to these dates are not to be made."""
        for name, date in over.items():
            self._over[name] = max(date, self._over.get(name, ""))

    def know(
        self,
        version: int,
        since: Mapping[str, int],
        book: Mapping[str, bool],
        high: Mapping[str, int],
        marks: Mapping[str, int],
    ) -> None:
        """Begin where another engine stood: behind a version, by venue what it knew of the feed."""
        self.read = self.reached = version
        self._since, self._book, self._high = dict(since), dict(book), dict(high)
        self._marks = {venue: [(version, mark)] for venue, mark in marks.items()}

    def know_gap(self, version: int, gap: Gap) -> None:
        """A gap that was told up to a version."""
        self._gaps.append(Missed(version, gap))

    # Before a micro-batch

    def take(self, commits: Sequence[StreamCommit], upto: int) -> None:
        """What the next commits, up to a version, say of themselves."""
        for c in commits:
            self._files.update(dict.fromkeys(c.files, c.version))
            self._gaps += [Missed(c.version, gap) for gap, _ in c.gaps]
            for venue, span in c.venues.items():
                if span.mark is not None:
                    self._marks.setdefault(venue, []).append((c.version, span.mark))
                if span.low is None or span.high is None:
                    continue
                if venue not in self._since:
                    # What was before the first commit that is read here nobody knows.
                    self._book[venue] = span.book and span.since == span.low
                self._since[venue] = min(span.low, self._since.get(venue, span.low))
                self._high[venue] = max(span.high, self._high.get(venue, span.high))
                self._touch(venue, span.low, span.high, c.begins)
        self.read = upto

    def _touch(self, venue: str, low: int, high: int, begins: Mapping[int, int]) -> None:
        """Sessions that records of these times belong to, and that have not begun."""
        for name, u in self._settings.underlier.items():
            if u.venue != venue:
                continue
            for s in sessions_touched(u, name, low, high + 1):
                date = s.session_date.isoformat()
                at_work = self.open.get(name)
                if date <= self._over.get(name, "") or (at_work and at_work.date >= date):
                    continue
                pending = Pending(begins, self._since[venue], self._book[venue])
                self._pending.setdefault((name, date), pending)

    def turn(self) -> Turn:
        """Open what waits for no session before it; what every contract is told now."""
        for name in {name for name, _ in self._pending} - set(self.open):
            date = min(d for n, d in self._pending if n == name)
            s = self._session(name, date)
            waited = self._pending.pop((name, date))
            opened = open_session(self._lake, self._settings, s, waited, self.past, landed=False)
            self.open[name] = SessionAtWork(date, opened.to_json())
            log.info("%s %s begins: %s is selected", name, date, opened.earlier.selected)
            if opened.cold:
                log.warning("%s %s is not warm: %s", name, date, opened.cold)
        return Turn(
            opened={name: (s.date, s.opened) for name, s in self.open.items()},
            over=dict(self._over),
            files=dict(self._files),
            gaps=list(self._gaps),
        )

    # Behind a micro-batch

    def hear(self, told: Sequence[Told], rows: Mapping[tuple[str, str, str], int]) -> list[Ended]:
        """What contracts told, and the rows that were made: (underlier, date, table) -> count.

        The sessions that have ended with it.
        """
        for fact in told:
            at_work = self.open.get(fact["underlier"])
            contract = fact["contract"]
            if "begun" in fact and at_work:
                at_work.begun.add(contract)
            if "ended" in fact and at_work:
                at_work.end(contract, fact["ended"])
            if "waits" in fact:
                self._waiting.pop(contract, None)
                if fact["waits"] != "none":
                    self._waiting[contract] = fact["underlier"], fact["waits"]
        for (name, _, table), n in rows.items():
            if name in self.open:
                self.open[name].rows[table] += n
        return [Ended(name, s) for name, s in list(self.open.items()) if self._ends(name, s)]

    def advance(self, reached: int) -> None:
        """Rows up to a version have been worked on."""
        self.reached = max(reached, self.reached)
        self._files = {f: v for f, v in self._files.items() if v > self.reached}
        for venue, marks in self._marks.items():
            passed = [m for m in marks if m[0] <= self.reached][-1:]
            self._marks[venue] = passed + [m for m in marks if m[0] > self.reached]
        self._gaps = [
            m for m in self._gaps if m.gap.to_ts >= self._high.get(m.gap.venue, 0) - _FORGET
        ]

    def _mark(self, name: str) -> int:
        """The mark that every contract of an underlier has been given."""
        marks = self._marks.get(self._settings.of(name).venue, [])
        return max((mark for version, mark in marks if version <= self.reached), default=-1)

    def _ends(self, name: str, s: SessionAtWork) -> bool:
        """Nothing of the session can change, and every contract has said so."""
        end = self._session(name, s.date).hull.end + LATENESS_NS
        waited_for = (name, s.date) in self._waiting.values()
        if self._mark(name) < end or not s.whole or waited_for:
            return False
        self.past.add(self._session(name, s.date), s.small)
        self._over[name] = s.date
        del self.open[name]
        log.info("%s %s ended", name, s.date)
        return True

    @property
    def callers(self) -> list[str]:
        """Contracts whose rows wait for a session that is open or about to open."""
        ready = {name: min(d for n, d in self._pending if n == name) for name, _ in self._pending}
        due = {**ready, **{name: s.date for name, s in self.open.items()}}
        return sorted(c for c, (name, date) in self._waiting.items() if due.get(name) == date)

    # State

    def to_json(self) -> dict[str, Any]:
        """The whole state."""
        return {
            "past": self.past.to_json(),
            "open": {name: s.to_json() for name, s in self.open.items()},
            "read": self.read,
            "reached": self.reached,
            "over": self._over,
            "pending": [[list(key), asdict(p)] for key, p in self._pending.items()],
            "waiting": {c: list(key) for c, key in self._waiting.items()},
            "since": self._since,
            "book": self._book,
            "high": self._high,
            "marks": self._marks,
            "gaps": [[m.version, asdict(m.gap)] for m in self._gaps],
            "files": self._files,
        }

    def restore(self, told: Told) -> None:
        """Go on where `to_json` left off."""
        self.past.restore(told["past"])
        self.open = {name: SessionAtWork.from_json(s) for name, s in told["open"].items()}
        self.read, self.reached = told["read"], told["reached"]
        self._over = dict(told["over"])
        self._waiting = {c: (name, date) for c, (name, date) in told["waiting"].items()}
        self._pending = {
            (name, date): Pending(
                {int(k): int(o) for k, o in p["begins"].items()}, p["since"], p["book"]
            )
            for (name, date), p in told["pending"]
        }
        self._since, self._book = dict(told["since"]), dict(told["book"])
        self._high = dict(told["high"])
        self._marks = {v: [(int(a), int(b)) for a, b in m] for v, m in told["marks"].items()}
        self._gaps = [Missed(version, Gap(**gap)) for version, gap in told["gaps"]]
        self._files = dict(told["files"])
