"""The events of many sessions, each contract's in one task and in the feed's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spymaster.engines.spark.contract_task import contract_task
from spymaster.engines.spark.extra import needed
from spymaster.engines.spark.script import Script
from spymaster.engines.spark.staged import SCHEMA
from spymaster.engines.spark.tables import SparkTables
from spymaster.lake import Lake
from spymaster.market.sessions import session_dates
from spymaster.stages.envelope import EVENT_COLUMNS

READS = "batch_id STRING, underlier STRING, job STRING, file INT, from_ts BIGINT, to_ts BIGINT"
ORDER = ("file", "ts_recv", "block", "position")


def staged(spark: Any, lake: Lake, scripts: Sequence[Script], tasks: int) -> Any:
    """What the contracts of these sessions come to (`staged.SCHEMA`), computed when it is asked.

    One exchange, one sort: `repartition` puts a session's contract into one task, sorted by file
    and time; records of one ts_recv stay in the order of the file that holds them.
    """
    keys = ("job", "contract_id")
    rows = (
        _needed_events(spark, lake, scripts)
        .repartition(tasks, *keys)
        .sortWithinPartitions(*keys, *ORDER)
    )
    task = contract_task({s.job.name: s for s in scripts})
    return rows.groupBy(*keys).applyInArrow(task, SCHEMA)


def _needed_events(spark: Any, lake: Lake, scripts: Sequence[Script]) -> Any:
    f = needed("pyspark.sql.functions")
    reads = [read for s in scripts for read in s.reads()]
    names = ("batch_id", "underlier", "job", "file", "from_ts", "to_ts")
    wanted = spark.createDataFrame([tuple(r[n] for n in names) for r in reads], READS)
    first, last = _dates(scripts)
    rows = (
        SparkTables(spark, lake, scripts[0].settings.spark)
        .read("bronze.mbo")
        .where(f.col("underlier").isin(sorted({r["underlier"] for r in reads})))
        .where(f.col("session_date").between(f.lit(first), f.lit(last)))
        .where(f.col("batch_id").isin(sorted({r["batch_id"] for r in reads})))
        .select(
            *EVENT_COLUMNS,
            "batch_id",
            "underlier",
            f.col("_metadata.file_block_start").alias("block"),
        )
        .withColumn("position", f.monotonically_increasing_id())
    )
    inside = f.col("ts_recv").between(f.col("from_ts"), f.col("to_ts"))
    return (
        rows.join(f.broadcast(wanted), ["batch_id", "underlier"])
        .where(inside)
        .select("job", *EVENT_COLUMNS, "file", "block", "position")
    )


def _dates(scripts: Sequence[Script]) -> tuple[Any, Any]:
    """The first and last session_date of the partitions that hold the events."""
    found = []
    for s in scripts:
        ends = [(r["from_ts"], r["to_ts"]) for r in s.reads()]
        if ends:
            u = s.settings.of(s.job.underlier)
            found += list(session_dates(u, np.array(ends[0])))
    return min(found).astype(object), max(found).astype(object)
