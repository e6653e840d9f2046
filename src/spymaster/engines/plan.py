"""What a run would do, and why: which sessions are new, stale or current."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spymaster.engines.inputs import Inputs, inputs_of
from spymaster.engines.ledger import Ledger
from spymaster.engines.session_feed import midnight
from spymaster.engines.stored import Stored
from spymaster.lake.manifest import utc_day
from spymaster.market.clock import DAY_NS
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session, session, sessions_touched
from spymaster.settings import Settings

Row = dict[str, Any]
State = Literal["current", "new", "stale", "unfinished", "damaged"]


@dataclass(frozen=True)
class Dates:
    """Sessions from `first` to `last`, both included; None is open."""

    first: dt.date | None = None
    last: dt.date | None = None

    def __contains__(self, date: dt.date) -> bool:
        after = self.first is None or self.first <= date
        return after and (self.last is None or date <= self.last)

    @property
    def open(self) -> bool:
        """Every session is wanted."""
        return self.first is None and self.last is None

    def since(self, date: dt.date) -> str:
        """Options for a session that failed and those after it, which know something of it."""
        if self.first == self.last == date:
            return f"--session {date}"
        return f"--from {date}" + (f" --to {self.last}" if self.last else "")

    def __str__(self) -> str:
        if self.first == self.last and self.first is not None:
            return f"session {self.first}"
        return f"sessions {self.first or 'the first'} to {self.last or 'the last'}"


@dataclass(frozen=True)
class Step:
    """A session as it stands: `why` it is not current, in words."""

    session: Session
    state: State
    why: tuple[str, ...] = ()


class Planner:
    """Compares what a session was made from with what it would be made from now."""

    def __init__(
        self,
        settings: Settings,
        instruments: Instruments,
        ledger: Ledger,
        stored: Stored,
        files: Sequence[Row],
    ) -> None:
        self.ledger, self.stored = ledger, stored
        self._settings, self._instruments, self._files = settings, instruments, files
        self._names = {r["sha256"]: r["path"].rpartition("/")[2] for r in files}

    def underliers(self) -> list[str]:
        """Those that something has landed of."""
        return sorted({r["underlier"] for r in self._files})

    def files(self, underlier: str) -> list[Row]:
        """The landed MBO files of an underlier."""
        return [r for r in self._files if r["underlier"] == underlier]

    def sessions(self, underlier: str, files: Iterable[Row], dates: Dates) -> list[Session]:
        """The sessions that need something of these files, in order."""
        u = self._settings.of(underlier)
        days = {utc_day(row) for row in files}
        if dates.first is not None and dates.first == dates.last:
            asked = session(u, underlier, dates.first)
            needed = {d.strftime("%Y%m%d") for d in asked.utc_days()}
            return [asked] if needed & days else []
        touched: dict[dt.date, Session] = {}
        for day in sorted(days):
            for s in sessions_touched(u, underlier, midnight(day), midnight(day) + DAY_NS):
                touched[s.session_date] = s
        return [touched[d] for d in sorted(touched) if d in dates]

    def inputs(self, s: Session) -> Inputs:
        """What the session would be made from now."""
        files = self.files(s.underlier)
        return inputs_of(s, files, self.ledger, self._settings, self._instruments)

    def step(self, s: Session) -> Step:
        """Is the session what it would be made to now, and all of it there?"""
        before = self.ledger.lineage(s)
        if not before:
            return Step(s, "new", ("never computed",))
        changes = tuple(self._changes(before, self.inputs(s)))
        if before["status"] == "started":
            return Step(s, "unfinished", ("a run stopped while it was committed", *changes))
        if changes:
            return Step(s, "stale", changes)
        if before["status"] == "silver":
            return Step(s, "unfinished", ("gold is not made of this silver",))
        if faults := tuple(self._faults(s, before)):
            return Step(s, "damaged", faults)
        return Step(s, "current")

    def _changes(self, before: Mapping[str, Any], now: Inputs) -> Iterable[str]:
        old, new = set(before["files"]), set(now.facts["files"])
        if old != new:
            added = ", ".join(sorted(self._names.get(sha, sha[:12]) for sha in new - old))
            gone = ", ".join(sorted(self._names.get(sha, sha[:12]) for sha in old - new))
            yield "files: " + "; ".join(
                [f"new {added}"] * bool(added) + [f"no longer {gone}"] * bool(gone)
            )
        for fact, words in (
            ("code_version", "the code"),
            ("contracts_version", "the contracts"),
            ("config_hash", "the configuration"),
            ("inputs_hash", "what earlier sessions or definitions say"),
        ):
            if before[fact] != now.facts[fact]:
                yield f"{words} changed"

    def _faults(self, s: Session, before: Mapping[str, Any]) -> Iterable[str]:
        for name, rows in json.loads(before["rows"]).items():
            fault = self.stored.session(name, s.session_date.isoformat(), s.underlier, rows)
            if fault:
                yield fault
