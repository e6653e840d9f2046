"""The Spark engine: history on a cluster. What to make, and when it shows, is the local engine's.

Planning, landing, the lease and lineage are shared; only who computes and who writes differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any

from spymaster.engines.job import Job, Made
from spymaster.engines.local import How, LocalEngine, Row
from spymaster.engines.parallel import Hands, agree, prepared
from spymaster.engines.plan import Planner
from spymaster.engines.session_run import TABLES
from spymaster.engines.show import begin_session, check_gold_fits, end_session, show_spec
from spymaster.engines.spark.bronze import BronzeFiles
from spymaster.engines.spark.staged import rows_of
from spymaster.engines.spark.tables import SparkTables
from spymaster.engines.spark.workers import SparkWorkers, Wave
from spymaster.engines.spark_lock import held_by_jvm
from spymaster.errors import LakeError, SpymasterError
from spymaster.market.sessions import Session
from spymaster.settings import Settings

#: Sessions computed together: what is staged on Spark's disks at once.
SESSIONS = 32
#: A staged piece is megabytes: thousands of them in one Arrow batch would not fit in memory.
_BATCHES = {
    "spark.sql.execution.arrow.maxBytesPerBatch": "64m",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
}


class SparkEngine(LocalEngine):
    """`LocalEngine`'s verbs with Spark's hands. `tasks`: over how many, None: as Spark is set.

    `run` makes sessions from bronze only: land and decode first (`bronze`).
    """

    def __init__(
        self,
        spark: Any,
        settings: Settings,
        now: Callable[[], int] = time.time_ns,
        chunk_records: int = 250_000,
        tasks: int | None = None,
        sessions: int = SESSIONS,
    ) -> None:
        super().__init__(settings, now, chunk_records=chunk_records)
        self.spark = spark
        self.workers: SparkWorkers | None = None
        for key, value in _BATCHES.items():
            spark.conf.set(key, value)
        self._tables = SparkTables(spark, self.lake, settings.spark)
        self._tasks = tasks or int(spark.conf.get("spark.sql.shuffle.partitions"))
        self._sessions = sessions

    @contextmanager
    def _lease(self) -> Iterator[None]:
        first = not self._leased
        with super()._lease(), ExitStack() as held:
            if first:
                held.enter_context(held_by_jvm(self.spark, self.lake.place))
            yield

    def _bronze(self, rows: Sequence[Row]) -> None:
        started = time.perf_counter()
        files = BronzeFiles(self.spark, self.lake, self.settings, self.chunk_records)
        for row, found in files.run(rows, self._instruments, self.now()):
            if isinstance(found, SpymasterError):
                self._failed(self._file_job(row), found)
                continue
            self.report.files.append(found)
            if found.damage:
                self.report.damaged.append(f"{found.path}: {found.damage}")
        self.report.seconds["bronze"] += time.perf_counter() - started

    def _make(
        self, planner: Planner, wanted: Sequence[tuple[Session, bool]], how: How, jobs: int
    ) -> None:
        if not how.from_bronze:
            raise LakeError(
                "Spark makes sessions from bronze, in steps of their own: hist__dbn_to_bronze, "
                "then hist__bronze_to_silver."
            )
        started = time.perf_counter()
        self.workers = SparkWorkers(
            self.spark, self.lake, self.settings, self._instruments, self._tasks
        )
        hands = Hands(
            job=lambda s: self._job(planner, s, how),
            show=lambda job, made: None,
            failed=self._failed,
            current=self.report.current.append,
        )
        if how.layers == ("gold",):
            ready = self._of_silver(planner, wanted, hands)
        else:
            ready = prepared(planner, wanted, self.workers, hands)
        for some in self._waves(ready):
            wave = self.workers.wave(some)
            try:
                self._show_wave(planner, wave)
            finally:
                wave.end()
        self.report.seconds["silver and gold"] += time.perf_counter() - started

    def _of_silver(
        self, planner: Planner, wanted: Sequence[tuple[Session, bool]], hands: Hands
    ) -> list[Job]:
        """Sessions whose gold is to be made: silver has said what they know of those before."""
        jobs = []
        for s, forced in wanted:
            step = planner.step(s)
            if step.state == "current" and not forced:
                hands.current(step)
            elif self._fits(planner, job := hands.job(s)):
                jobs.append(job)
        return jobs

    def _waves(self, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        """Sessions of one underlier, so many at a time."""
        for _, mine in groupby(jobs, key=lambda j: j.underlier):
            whole = list(mine)
            for first in range(0, len(whole), self._sessions):
                yield whole[first : first + self._sessions]

    def _fits(self, planner: Planner, job: Job) -> bool:
        assert job.inputs is not None
        before = planner.ledger.lineage(job.inputs.session)
        try:
            check_gold_fits(job.name, job.inputs.data_version, before)
        except LakeError as error:
            self._failed(job, error)
            return False
        return True

    def _show_wave(self, planner: Planner, wave: Wave) -> None:
        """Commit the sessions of a wave: hidden first, table by table, shown last."""
        good = []
        for job, made in wave.made:
            agree(job, made, planner.ledger)
            self._note_reads(made)
            for gap, app in made.gaps:
                self.lake.append_rows("bronze.gaps", [gap], (app, 1))
            if made.error is not None or made.session is None:
                self._failed(job, made.error or LakeError(f"{job.name}: nothing was made"))
            else:
                good.append((job, made))
        if good:
            self._commit(planner, good, wave.rows)

    def _commit(self, planner: Planner, good: Sequence[tuple[Job, Made]], rows: Any) -> None:
        sessions = [made.session for _, made in good if made.session is not None]
        before = [planner.ledger.lineage(m.inputs.session) for m in sessions]
        started = [
            begin_session(m, b, self.now, self._run_id)
            for m, b in zip(sessions, before, strict=True)
        ]
        self.lake.append_rows("lineage", started)
        if "gold" in sessions[0].layers:
            show_spec(self.lake, sessions[0])
        dates = [m.inputs.session.session_date.isoformat() for m in sessions]
        underlier = sessions[0].outcome.underlier
        names = {job.name for job, _ in good}
        mine = None if rows is None else rows.where(rows["job"].isin(sorted(names)))
        versions: dict[str, int] = {}
        for layer in sessions[0].layers:
            for name in TABLES[layer]:
                new = sum(m.outcome.rows[name] for m in sessions)
                if mine is None or not (new or self._tables.holds(name, underlier, dates)):
                    continue
                info = {"run_id": self._run_id, "sessions": dates}
                versions[name] = self._tables.replace(
                    name, underlier, dates, rows_of(mine, name), info
                )
        done = [
            end_session(m, b, s, versions, self.now)
            for m, b, s in zip(sessions, before, started, strict=True)
        ]
        self.lake.append_rows("lineage", done)
        for m, row in zip(sessions, done, strict=True):
            planner.ledger.note(m.inputs.session, m.small, row)
            self.report.sessions.append(m.outcome)
