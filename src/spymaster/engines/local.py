"""The local engine: one loop over the feed's days, from files or from bronze, to the lake's tables.

Source, advance, sink. Batch is a source that ends. Sessions are computed in order, each over the
files of its days.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spymaster.engines.bronze_file import FileRead
from spymaster.engines.earlier import earlier
from spymaster.engines.session_run import Outcome, SessionRun
from spymaster.engines.source import BronzeSource, DbnSource, Source
from spymaster.errors import SessionError
from spymaster.feed.deliver import deliver, settle
from spymaster.lake import Lake
from spymaster.lake.manifest import Manifest, utc_day, without_replaced
from spymaster.market.clock import DAY_NS, utc_midnight
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session, session, sessions_touched
from spymaster.settings import Settings

log = logging.getLogger(__name__)

Progress = Callable[[str, int], None]
MBO_SCHEMAS = ("mbo", "mixed")


@dataclass
class Report:
    """What a run came to, layer by layer. Seconds by step; the first run's compile time apart."""

    landed: int = 0
    known: int = 0
    files: list[FileRead] = field(default_factory=list)
    sessions: list[Outcome] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    damaged: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        """Records decoded or read back."""
        return sum(f.records for f in self.files)


class LocalEngine:
    """History on one machine.

    `now` gives ns UTC and `progress(day, records)` hears how many
    records of a day were read; both come from the edge. `prepare` is called before a file is read.
    """

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], int] = time.time_ns,
        progress: Progress | None = None,
        chunk_records: int = 250_000,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.settings, self.now, self.chunk_records = settings, now, chunk_records
        self.lake = Lake(settings.root)
        self.report = Report()
        self._progress = progress or (lambda day, records: None)
        self._prepare = prepare or (lambda: None)
        self._run_id = uuid.uuid4().hex

    def land(self, files: Iterable[Path]) -> list[dict[str, Any]]:
        """Bring files under the root and note what they say; returns their manifest rows."""
        self.lake.check_writable()
        started = time.perf_counter()
        rows = []
        for path in files:
            landed = deliver(self.lake, path, self.settings, self.now())
            self.report.landed += landed.new
            self.report.known += not landed.new
            rows.append(landed.row)
        settle(self.lake, self.settings, self.now())
        self.report.seconds["land"] += time.perf_counter() - started
        return rows

    def bronze(self, files: Iterable[Path] = ()) -> Report:
        """Land files, and bring every landed file that is not in bronze yet into it."""
        self.land(files)
        manifest = Manifest(self.lake)
        source = self._dbn_source()
        for row in sorted(manifest.rows().values(), key=lambda r: (utc_day(r), r["path"])):
            if row["schema"] in MBO_SCHEMAS and row["status"] == "landed":
                self._read(source, row, [])
        return self.report

    def run(
        self,
        files: Iterable[Path] = (),
        session_date: dt.date | None = None,
        layers: Sequence[str] = ("silver", "gold"),
        from_bronze: bool = False,
    ) -> Report:
        """Land files, then compute every session that they touch, or the one that is asked for.

        Without files: all sessions of what has landed. `from_bronze` reads bronze.mbo and not the
        landed files; the rows are the same.
        """
        landed = self.land(files)
        known = without_replaced(Manifest(self.lake).rows().values())
        rows = [r for r in known if r["schema"] in MBO_SCHEMAS]
        given = {r["path"] for r in landed} or {r["path"] for r in rows}
        for name in sorted({r["underlier"] for r in rows}):
            mine = [r for r in rows if r["underlier"] == name]
            touching = [r for r in mine if r["path"] in given]
            sessions = self._sessions(
                name, touching if session_date is None else mine, session_date
            )
            self._underlier(name, mine, touching, sessions, layers, from_bronze)
        if session_date is not None and not self.report.sessions:
            raise SessionError(
                f"session {session_date}: nothing that has landed under {self.settings.root} "
                f"lies in its windows; landed days are {self._days(rows)}. "
                "Land its file: spymaster land FILE"
            )
        return self.report

    def _days(self, rows: Sequence[dict[str, Any]]) -> str:
        return ", ".join(sorted({utc_day(r) for r in rows})) or "none"

    def _sessions(
        self, name: str, rows: Sequence[dict[str, Any]], date: dt.date | None
    ) -> list[Session]:
        u = self.settings.of(name)
        if date is not None:
            asked = session(u, name, date)
            needed = {d.strftime("%Y%m%d") for d in asked.utc_days()}
            return [asked] if needed & {utc_day(r) for r in rows} else []
        touched: dict[dt.date, Session] = {}
        for row in rows:
            start = _midnight(utc_day(row))
            for s in sessions_touched(u, name, start, start + DAY_NS):
                touched[s.session_date] = s
        return [touched[d] for d in sorted(touched)]

    def _underlier(
        self,
        name: str,
        rows: Sequence[dict[str, Any]],
        given: Sequence[dict[str, Any]],
        sessions: Sequence[Session],
        layers: Sequence[str],
        from_bronze: bool,
    ) -> None:
        """Session after session: each needs what is known of the one before.

        A day is read once, unless two sessions share it (windows across midnight UTC).
        """
        needed = {f"{d:%Y%m%d}" for s in sessions for d in s.utc_days()}
        by_day: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            fresh = not from_bronze and row["status"] == "landed" and row in given
            if utc_day(row) in needed or fresh:
                by_day[utc_day(row)].append(row)
        source = self._bronze_source() if from_bronze else self._dbn_source()
        for s in sessions:
            run = self._open(s, rows, source.instruments, layers)
            try:
                for day in (f"{d:%Y%m%d}" for d in s.utc_days()):
                    self._day(source, by_day[day], day, [run])
                self._finish(run)
            except BaseException:
                run.abandon()
                raise
        for day in sorted(set(by_day) - needed):
            self._day(source, by_day[day], day, [])

    def _open(
        self,
        s: Session,
        rows: Sequence[dict[str, Any]],
        instruments: Instruments,
        layers: Sequence[str],
    ) -> SessionRun:
        days = {d.strftime("%Y%m%d") for d in s.utc_days()}
        shas = [r["sha256"] for r in rows if utc_day(r) in days]
        before = earlier(self.lake, s, self.settings.of(s.underlier), instruments)
        return SessionRun(self.lake, self.settings, s, before, shas, layers)

    def _day(
        self,
        source: Source,
        rows: Sequence[dict[str, Any]],
        day: str,
        runs: Sequence[SessionRun],
    ) -> None:
        if not rows:
            for run in runs:
                if run.session.utc_days()[-1].strftime("%Y%m%d") != day:
                    self._missing_day(run, day)
            return
        marks = []
        for row in sorted(rows, key=lambda r: (r["start"], r["path"])):
            read = self._read(source, row, runs)
            if read.last_mark is not None:
                marks.append(read.last_mark)
            if read.damage:
                since = _midnight(day) if read.last_mark is None else read.last_mark
                for run in runs:
                    run.gap(since, f"{row['path']} ends early: {read.damage}")
        for run in runs:
            if marks:
                run.close(max(marks))

    def _missing_day(self, run: SessionRun, day: str) -> None:
        """A day that the session needs before its last one has no file: a named gap."""
        midnight = _midnight(day)
        run.gap(midnight, f"no file of {day}")
        gap = {
            "venue": self.settings.of(run.session.underlier).venue,
            "underlier": run.session.underlier,
            "from_ts": midnight,
            "to_ts": midnight + DAY_NS,
            "reason": f"no file of {day}; session {run.session.session_date} needs it",
            "batch_id": None,
        }
        app = (f"bronze.gaps/{run.session.underlier}/{day}/{run.session.session_date}", 1)
        self.lake.append_rows("bronze.gaps", [gap], app)

    def _read(self, source: Source, row: dict[str, Any], runs: Sequence[SessionRun]) -> FileRead:
        self._prepare()
        started = time.perf_counter()
        inside = 0.0
        for run in runs:
            run.begin_file()
        for contracts, events in source.events(row, self.now):
            at = time.perf_counter()
            for run in runs:
                run.advance(contracts, events)
            inside += time.perf_counter() - at
            self._progress(f"{row['underlier']} {utc_day(row)}", source.last_read.records)
        read = source.last_read
        self.report.files.append(read)
        if read.damage and row["path"] not in {f.path for f in self.report.files[:-1]}:
            self.report.damaged.append(f"{row['path']}: {read.damage}")
        self.report.seconds["silver and gold"] += inside
        self.report.seconds["bronze"] += time.perf_counter() - started - inside
        return read

    def _finish(self, run: SessionRun) -> None:
        started = time.perf_counter()
        outcome = run.finish(self.now, self._run_id)
        self.report.sessions.append(outcome)
        self.report.seconds["silver and gold"] += time.perf_counter() - started
        log.info("%s %s: %s", outcome.underlier, outcome.session_date, outcome.rows)

    def _instruments(self) -> Instruments:
        rows = self.lake.scan("bronze.definitions", missing_ok=True).to_pylist()
        return Instruments(Instrument.from_row(r) for r in rows)

    def _dbn_source(self) -> DbnSource:
        return DbnSource(self.lake, self.settings, self._instruments(), self.chunk_records)

    def _bronze_source(self) -> BronzeSource:
        return BronzeSource(self.lake, self.settings, self._instruments(), self.chunk_records)


def _midnight(day: str) -> int:
    return utc_midnight(dt.datetime.strptime(day, "%Y%m%d").date())
