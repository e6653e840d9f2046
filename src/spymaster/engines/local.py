"""The local engine: history on one machine, from DBN files or from bronze, to the lake's tables.

Land, plan, make, show: files come under the root, the planner says which sessions are not what
they would be made to now, each of these is made (here, or by several workers), and what was made
is committed by the one holder of the root's lease.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spymaster.engines.bronze_file import FileRead, show_file
from spymaster.engines.job import Job, Made, make, told
from spymaster.engines.lease import HISTORY, Lease, others_at_work
from spymaster.engines.ledger import Ledger
from spymaster.engines.parallel import Hands, run_parallel
from spymaster.engines.plan import Dates, Planner, Step
from spymaster.engines.repair import repair_books, repair_bronze
from spymaster.engines.repair_notes import repair_notes
from spymaster.engines.session_feed import Progress
from spymaster.engines.session_run import Outcome
from spymaster.engines.show import check_gold_fits, show_session
from spymaster.engines.spark_lock import wait_for_spark
from spymaster.engines.stored import Stored
from spymaster.engines.workers import Workers
from spymaster.errors import LakeError, SessionError
from spymaster.feed.deliver import deliver, settle
from spymaster.lake import Lake
from spymaster.lake.compact import compact
from spymaster.lake.manifest import Manifest, utc_day, without_replaced
from spymaster.lake.sweep import sweep
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session
from spymaster.settings import Settings

log = logging.getLogger(__name__)

Row = dict[str, Any]
MBO_SCHEMAS = ("mbo", "mixed")


@dataclass(frozen=True)
class How:
    """Which layers to make, and what from."""

    layers: tuple[str, ...]
    from_bronze: bool


@dataclass(frozen=True)
class Failed:
    """A session, or a day's file, that could not be made; the others were."""

    name: str
    error: Exception
    again: str  #: the command to do it once more


@dataclass
class Report:
    """What a run came to, layer by layer. Seconds by step; the first run's compile time apart."""

    landed: int = 0
    known: int = 0
    files: list[FileRead] = field(default_factory=list)
    sessions: list[Outcome] = field(default_factory=list)
    current: list[Step] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)  #: damaged files whose rows were made again
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    damaged: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        """Records decoded or read back."""
        return sum(f.records for f in self.files)


class LocalEngine:
    """History on one machine.

    `now` gives ns UTC and `progress(session, records)` hears how many records of a file were
    read; both come from the edge. `prepare` is called before a file is read.
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
        self._run_id = uuid.uuid4().hex
        self.lake = Lake(settings.root, tag=self._run_id)
        self.report = Report()
        self._progress = progress or (lambda day, records: None)
        self._prepare = prepare or (lambda: None)
        self._leased = False
        self._dates = Dates()
        self._instruments = Instruments([])

    @contextmanager
    def _lease(self) -> Iterator[None]:
        """One writer per root; what a writer that died had left is removed first."""
        if self._leased:
            yield
            return
        self.lake.check_writable()
        with Lease(self.lake.place, self._run_id, self.now) as lease:
            self._leased = True
            try:
                wait_for_spark(self.lake.place)
                alone = not others_at_work(self.lake.place, HISTORY)
                if lease.unfinished:
                    sweep(self.lake, lease.unfinished, loose=alone)
                    lease.swept()
                yield
                if self.report.failed:
                    # Whatever failed may have left files; nothing is being written any more.
                    alone = not others_at_work(self.lake.place, HISTORY)
                    sweep(self.lake, [self._run_id], loose=alone)
                else:
                    compact(self.lake, self.now())
            finally:
                self._leased = False

    def land(self, files: Iterable[Path]) -> list[Row]:
        """Bring files under the root and note what they say; returns their manifest rows."""
        with self._lease():
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
        with self._lease():
            self.land(files)
            self._instruments = self._defined()
            waiting = [r for r in self._files() if r["status"] == "landed"]
            self._bronze(sorted(waiting, key=lambda r: (utc_day(r), r["path"])))
        return self._done(len(self.report.failed) == 1 and len(waiting) == 1)

    def plan(self, dates: Dates | None = None, *, verify: bool = False) -> list[Step]:
        """Every session of what has landed, as it stands. Changes nothing."""
        planner = self._planner(verify)
        found = []
        for name in planner.underliers():
            for s in planner.sessions(name, planner.files(name), dates or Dates()):
                found.append(planner.step(s))
        return found

    def run(
        self,
        files: Iterable[Path] = (),
        session_date: dt.date | None = None,
        layers: Sequence[str] = ("silver", "gold"),
        from_bronze: bool = False,
        *,
        dates: Dates | None = None,
        force: bool = False,
        verify: bool = False,
        jobs: int = 1,
    ) -> Report:
        """Land files, then make every session that is not current of those that they touch.

        Without files: of all that has landed. Sessions after those, made before, are made anew
        where they depended on what has changed. `session_date` or `dates`: only these. `force`:
        also those that are current. `from_bronze` reads bronze.mbo and not the landed files; the
        rows are the same. `jobs`: so many sessions at a time, each in a process of its own.

        A session that fails does not stop the others (`report.failed`); when it was the only one,
        its error is raised.
        """
        if session_date is not None:
            dates = Dates(session_date, session_date)
        self._dates = dates or Dates()
        with self._lease():
            if verify:
                self.report.mended += repair_books(self.lake, self.settings, self.now)
            landed = {r["path"] for r in self.land(files)}
            planner = self._planner(verify)
            self.report.mended += repair_bronze(
                self.lake,
                self.settings,
                self._instruments,
                self._files(),
                planner.stored,
                self.now,
            )
            self.report.mended += repair_notes(
                self.lake,
                self.settings,
                self._instruments,
                [r for r in Manifest(self.lake).rows().values() if r["schema"] in MBO_SCHEMAS],
                planner.stored,
                self.now,
            )
            wanted = self._wanted(planner, landed, dates or Dates(), force)
            if dates is not None and not wanted:
                raise SessionError(
                    f"{dates}: nothing that has landed under {self.settings.root} "
                    f"lies in its windows; landed days are {self._days()}. "
                    "Land its file: spymaster land FILE"
                )
            how = How(tuple(layers), from_bronze)
            self._make(planner, wanted, how, jobs)
            if not from_bronze:
                self._rest(landed, wanted)
        return self._done(len(wanted) == 1)

    def waiting(self) -> list[str]:
        """Landed files that are not in bronze."""
        return [r["path"] for r in self._files() if r["status"] == "landed"]

    # Which

    def _files(self) -> list[Row]:
        """The landed MBO files, less those that were replaced by whole ones."""
        rows = without_replaced(Manifest(self.lake).rows().values())
        return [r for r in rows if r["schema"] in MBO_SCHEMAS]

    def _planner(self, verify: bool = False) -> Planner:
        self._instruments = self._defined()
        stored = Stored(self.lake, deep=verify)
        ledger = Ledger(self.lake)
        return Planner(self.settings, self._instruments, ledger, stored, self._files())

    def _defined(self) -> Instruments:
        rows = self.lake.scan("bronze.definitions", missing_ok=True).to_pylist()
        return Instruments(Instrument.from_row(r) for r in rows)

    def _wanted(
        self, planner: Planner, landed: set[str], dates: Dates, force: bool
    ) -> list[tuple[Session, bool]]:
        """Sessions to look at, in order, and whether they are made even when current."""
        wanted = []
        for name in planner.underliers():
            files = planner.files(name)
            given = [r for r in files if r["path"] in landed] if landed else files
            touched = planner.sessions(name, given, dates)
            wanted += [(s, force) for s in touched]
            since = [*(s.session_date for s in touched), *self._defining(name, landed)]
            if since and dates.open:
                dated = {s.session_date for s in touched}
                later = planner.sessions(name, files, Dates(min(since)))
                computed = planner.ledger.computed(name)
                wanted += [
                    (s, False)
                    for s in later
                    if s.session_date not in dated and s.session_date.isoformat() in computed
                ]
        return sorted(wanted, key=lambda w: (w[0].underlier, w[0].session_date))

    def _defining(self, underlier: str, landed: set[str]) -> list[dt.date]:
        """The days of the definitions among these files: sessions from then on may change."""
        return [
            dt.datetime.strptime(utc_day(row), "%Y%m%d").date()
            for path, row in Manifest(self.lake).rows().items()
            if path in landed and row["schema"] == "definition" and row["underlier"] == underlier
        ]

    def _days(self) -> str:
        return ", ".join(sorted({utc_day(r) for r in self._files()})) or "none"

    # Make and show

    def _bronze(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._do(self._file_job(row))

    def _make(
        self, planner: Planner, wanted: Sequence[tuple[Session, bool]], how: How, jobs: int
    ) -> None:
        if jobs > 1 and len(wanted) > 1 and how.layers != ("gold",):
            self._together(planner, wanted, how, jobs)
        else:
            for s, forced in wanted:
                self._session(planner, s, how, forced)

    def _session(self, planner: Planner, s: Session, how: How, forced: bool) -> None:
        step = planner.step(s)
        if step.state == "current" and not forced:
            self.report.current.append(step)
            return
        before = planner.ledger.lineage(s)
        job = self._job(planner, s, how)
        assert job.inputs is not None
        if how.layers == ("gold",):
            try:
                check_gold_fits(job.name, job.inputs.data_version, before)
            except LakeError as error:
                self._failed(job, error)
                return
        self._do(job, planner)

    def _together(
        self, planner: Planner, wanted: Sequence[tuple[Session, bool]], how: How, jobs: int
    ) -> None:
        """Several sessions at a time, in processes of their own."""
        self._prepare()
        hands = Hands(
            job=lambda s: self._job(planner, s, how),
            show=lambda job, made: self._show(job, made, planner),
            failed=self._failed,
            current=self.report.current.append,
        )
        known = self._instruments.all()
        workers = Workers(jobs, self.settings, self._run_id, known, self._progress)
        try:
            run_parallel(planner, wanted, workers, hands)
        finally:
            workers.stop()
            # A worker that was killed, or stopped, leaves files that no commit will name.
            sweep(self.lake, [self._run_id], loose=not others_at_work(self.lake.place, HISTORY))

    def _job(self, planner: Planner, s: Session, how: How) -> Job:
        days = [f"{d:%Y%m%d}" for d in s.utc_days()]
        rows = self._files()
        return Job(
            underlier=s.underlier,
            inputs=planner.inputs(s),
            days=tuple(
                (
                    day,
                    tuple(r for r in rows if r["underlier"] == s.underlier and utc_day(r) == day),
                )
                for day in days
            ),
            layers=how.layers,
            from_bronze=how.from_bronze,
            chunk_records=self.chunk_records,
        )

    def _file_job(self, row: Row) -> Job:
        days = ((utc_day(row), (row,)),)
        return Job(row["underlier"], None, days, chunk_records=self.chunk_records)

    def _rest(self, landed: set[str], wanted: Sequence[tuple[Session, bool]]) -> None:
        """Files that were given and that no session needs come into bronze all the same.

        When none was given: every file that waits, or, of some dates only, those of the sessions.
        """
        days = {(s.underlier, f"{d:%Y%m%d}") for s, _ in wanted for d in s.utc_days()}
        for row in self._files():
            mine = (row["underlier"], utc_day(row)) in days
            given = row["path"] in landed or (not landed and (self._dates.open or mine))
            if row["status"] == "landed" and given:
                self._do(self._file_job(row))

    def _do(self, job: Job, planner: Planner | None = None) -> None:
        """Make a job here and show what came of it."""
        self._prepare()
        made = make(job, self.lake, self.settings, self._instruments, self.now, self._progress)
        self._show(job, made, planner)

    def _show(self, job: Job, made: Made, planner: Planner | None) -> None:
        started = time.perf_counter()
        for name, seconds in made.seconds.items():
            self.report.seconds[name] += seconds
        try:
            for file in made.files:
                show_file(self.lake, file, self.now())
            for gap, app in made.gaps:
                self.lake.append_rows("bronze.gaps", [gap], (app, 1))
            if made.error is not None:
                made.abandon(self.lake)
            elif made.session is not None and planner is not None:
                s = made.session.inputs.session
                before = planner.ledger.lineage(s)
                row = show_session(self.lake, made.session, before, self.now, self._run_id)
                planner.ledger.note(s, made.session.small, row)
                self.report.sessions.append(made.session.outcome)
        except Exception as error:
            made.abandon(self.lake)
            made.error = told(error)
        self._note_reads(made)
        self.report.seconds["silver and gold"] += time.perf_counter() - started
        if made.error is not None:
            self._failed(job, made.error)

    def _note_reads(self, made: Made) -> None:
        for read in made.reads:
            if read.damage and read.path not in {f.path for f in self.report.files}:
                self.report.damaged.append(f"{read.path}: {read.damage}")
            self.report.files.append(read)

    def _failed(self, job: Job, error: Exception) -> None:
        again = "spymaster hist bronze"
        if job.inputs is not None:
            again = f"spymaster hist run {self._dates.since(job.inputs.session.session_date)}"
        self.report.failed.append(Failed(job.name, error, again))

    def _done(self, only_one: bool) -> Report:
        if only_one and self.report.failed:
            raise self.report.failed[0].error
        return self.report
