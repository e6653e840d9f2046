"""One session computed: read its days, run the stages, leave Parquet files and what to commit.

Nothing here is visible to a reader. A job runs in this process or in a worker; only the holder of
the lease commits what it made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from spymaster.engines.bronze_file import FileMade, FileRead
from spymaster.engines.captured_gaps import CapturedGaps
from spymaster.engines.inputs import Inputs
from spymaster.engines.session_feed import Day, Progress, SessionFeed, midnight
from spymaster.engines.session_run import SessionMade, SessionRun
from spymaster.engines.source import BronzeSource, DbnSource, Source
from spymaster.errors import LakeError, SpymasterError
from spymaster.lake import Lake
from spymaster.market.clock import DAY_NS
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session
from spymaster.settings import Settings

log = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A session with its files, or (`inputs` None) a day's files that no session needs.

    `days`: ("yyyymmdd", manifest rows) in order. `seen`: paths that another job takes into bronze.
    """

    underlier: str
    inputs: Inputs | None
    days: tuple[Day, ...]
    layers: tuple[str, ...] = ()
    from_bronze: bool = False
    chunk_records: int = 250_000
    seen: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As a person calls it."""
        what = self.days[0][0] if self.inputs is None else self.inputs.session.session_date
        return f"{self.underlier} {what}"


@dataclass
class Made:
    """What a job came to. `error`: why there is no session; whole files count all the same."""

    reads: list[FileRead] = field(default_factory=list)
    files: list[FileMade] = field(default_factory=list)
    gaps: list[tuple[Row, str]] = field(default_factory=list)  #: rows of bronze.gaps, app ids
    session: SessionMade | None = None
    error: Exception | None = None
    seconds: dict[str, float] = field(default_factory=lambda: {"bronze": 0.0, "silver and gold": 0})

    def abandon(self, lake: Lake) -> None:
        """Remove the files that no commit names."""
        for made in self.files:
            lake.discard("bronze.mbo", made.parts)
        if self.session is not None:
            for name, parts in self.session.parts.items():
                lake.discard(name, parts)


def make(
    job: Job,
    lake: Lake,
    settings: Settings,
    instruments: Instruments,
    now: Callable[[], int] = time.time_ns,
    progress: Progress = lambda day, records: None,
    into: Lake | None = None,
) -> Made:
    """Do the job. An error of one session is part of the answer; what stops the program is not.

    `into`: another lake, for the rows to be written under.
    """
    source: Source
    if job.from_bronze:
        source = BronzeSource(lake, instruments, job.chunk_records)
    else:
        source = DbnSource(lake, settings, instruments, job.chunk_records, job.seen, into)
    run = None if job.inputs is None else SessionRun(into or lake, settings, job.inputs, job.layers)
    work = Walk(job, settings, source, run, CapturedGaps(lake).before, now, progress)
    try:
        for _ in work.steps():
            pass
    except BaseException as error:
        work.abandon()
        work.made.files = source.made
        if not isinstance(error, Exception):
            work.made.abandon(lake)
            raise
        log.info("%s failed", job.name, exc_info=error)
        work.made.error = told(error)
    work.made.files = source.made
    return work.made


def told(error: Exception) -> Exception:
    """The error as a user may see it; a full disk or the like becomes one of ours."""
    if isinstance(error, OSError) and not isinstance(error, SpymasterError):
        where = f"{error.filename}: " if error.filename else ""
        return LakeError(f"{where}{error.strerror or error}. Free the disk or repair it.")
    return error


class Walk:
    """A job's days and files in order: events, gaps and clock marks, as every engine places them.

    Do its `steps`; `made` is what came of them. `run` is None where no session needs the file;
    `before` gives the gaps that stand before a manifest row's file.
    """

    def __init__(
        self,
        job: Job,
        settings: Settings,
        source: Source,
        run: SessionRun | None,
        before: Callable[[Row], Sequence[Row]],
        now: Callable[[], int] = time.time_ns,
        progress: Progress = lambda day, records: None,
    ) -> None:
        self._job, self._settings, self._run = job, settings, run
        self._feed = SessionFeed(job.name, source, before, run, now, progress)
        self.made = Made(reads=self._feed.reads)

    def steps(self) -> Iterator[None]:
        """Yields after each piece of the feed; after the last one the session is finished."""
        try:
            yield from self._feed.steps(self._job.days)
        finally:
            made, feed = self.made, self._feed
            made.seconds["bronze"] += feed.read_s
            made.seconds["silver and gold"] += feed.taken_s
            if self._run is not None:
                made.gaps += [
                    missing_day(self._settings, self._run.session, d) for d in feed.missing
                ]
        if self._run is not None:
            started = time.perf_counter()
            self.made.session = self._run.finish()
            self.made.seconds["silver and gold"] += time.perf_counter() - started

    def abandon(self) -> None:
        if self._run is not None:
            self._run.abandon()


def missing_day(settings: Settings, s: Session, day: str) -> tuple[Row, str]:
    """The row of bronze.gaps for a day without a file, and the application that commits it."""
    start = midnight(day)
    gap = {
        "venue": settings.of(s.underlier).venue,
        "underlier": s.underlier,
        "from_ts": start,
        "to_ts": start + DAY_NS,
        "reason": f"no file of {day}; session {s.session_date} needs it",
        "batch_id": None,
    }
    return gap, f"bronze.gaps/{s.underlier}/{day}/{s.session_date}"
