"""Many sessions at a time on Spark: contracts over tasks, one driver that hears only facts."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spymaster.engines.job import Job, Made
from spymaster.engines.session_run import SessionMade
from spymaster.engines.spark.contract_task import without_events
from spymaster.engines.spark.events import staged
from spymaster.engines.spark.extra import needed
from spymaster.engines.spark.script import Script, script_of
from spymaster.engines.spark.staged import FACT
from spymaster.errors import SessionError, SpymasterError
from spymaster.lake import Lake
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings

Row = dict[str, Any]


@dataclass
class Wave:
    """Some sessions computed together; `rows`: what was staged of them, on Spark's disks."""

    made: list[tuple[Job, Made]]
    rows: Any = None

    def end(self) -> None:
        """The staged rows are no longer needed."""
        if self.rows is not None:
            self.rows.unpersist()


@dataclass
class _Told:
    """What the tasks of one session told."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    facts: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))


class SparkWorkers:
    """Makes sessions from bronze. `tasks`: over how many; `used`: how many had work, each time."""

    def __init__(
        self, spark: Any, lake: Lake, settings: Settings, instruments: Instruments, tasks: int
    ) -> None:
        self.used: list[int] = []
        self._spark, self._lake, self._settings, self._tasks = spark, lake, settings, tasks
        self._instruments = instruments.by_contract()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Made]]:
        """Jobs without layers: what later sessions need of these, and nothing is kept."""
        wave = self.wave(jobs)
        wave.end()
        yield from wave.made

    def wave(self, jobs: Sequence[Job]) -> Wave:
        """Compute these sessions; an error of one is part of its answer."""
        made: dict[str, Made] = {}
        scripts: list[Script] = []
        for job in jobs:
            try:
                script = script_of(job, self._lake, self._settings, self._instruments)
                made[job.name] = without_events(script)
                scripts.append(script)
            except SpymasterError as error:
                made[job.name] = Made(error=error)
        with_files = [s for s in scripts if s.files]
        rows = None
        if with_files:
            rows, told = self._compute(with_files)
            for s in with_files:
                made[s.job.name] = _finished(made[s.job.name], told[s.job.name], s)
        return Wave([(job, made[job.name]) for job in jobs], rows)

    def _compute(self, scripts: Sequence[Script]) -> tuple[Any, Mapping[str, _Told]]:
        level, f = needed("pyspark").StorageLevel, needed("pyspark.sql.functions")
        rows = staged(self._spark, self._lake, scripts, self._tasks).persist(level.DISK_ONLY)
        told: dict[str, _Told] = defaultdict(_Told)
        counted = rows.groupBy("job", "name").agg(f.sum("rows").alias("rows")).collect()
        for r in counted:
            told[r["job"]].counts[r["name"]] += r["rows"]
        facts = rows.where(f.col("name").isin(f"{FACT}small", f"{FACT}error"))
        for r in facts.select("job", "name", "body").collect():
            told[r["job"]].facts[r["name"]].append(json.loads(bytes(r["body"])))
        self.used.append(rows.select("task").distinct().count())
        return rows, told


def _finished(made: Made, told: _Told, script: Script) -> Made:
    """A session with what its contracts told, added up."""
    if errors := told.facts[f"{FACT}error"]:
        return Made(error=SessionError("; ".join(sorted(errors))))
    session = made.session
    assert session is not None
    counts, o = told.counts, session.outcome
    outcome = replace(
        o,
        rows={table: counts.get(table, 0) for table in o.rows},
        duplicates=counts[f"{FACT}duplicates"],
        absent=not counts[f"{FACT}selected"],
        quality={name: counts[f"{FACT}quality/{name}"] for name in o.quality},
    )
    small = _small(told.facts[f"{FACT}small"], script)
    made.session = SessionMade(script.inputs, session.layers, {}, small, session.spec, outcome)
    return made


def _small(told: Sequence[dict[str, list[Row]]], script: Script) -> dict[str, list[Row]]:
    """Rows of the tables that later sessions depend on, by table."""
    small: dict[str, list[Row]] = {}
    for tables in told:
        for name, rows in tables.items():
            dated = [{**r, "session_date": dt.date.fromisoformat(r["session_date"])} for r in rows]
            small.setdefault(name, []).extend(dated)
    return small
