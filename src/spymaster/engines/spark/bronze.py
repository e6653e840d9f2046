"""Landed files into bronze: a file is a task's work, and one commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from spymaster.engines.bronze_file import FileRead, note_file
from spymaster.engines.spark.bronze_task import MBO, QUARANTINE, bronze_task
from spymaster.engines.spark.extra import needed
from spymaster.engines.spark.staged import FACT, SCHEMA, rows_of
from spymaster.engines.spark.tables import SparkTables
from spymaster.errors import SourceError
from spymaster.lake import Lake
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings

Row = dict[str, Any]


class BronzeFiles:
    """Decodes files side by side; each is shown by commits that happen once, as everywhere."""

    def __init__(self, spark: Any, lake: Lake, settings: Settings, chunk_records: int) -> None:
        self._spark, self._lake, self._settings = spark, lake, settings
        self._chunk = chunk_records
        self._tables = SparkTables(spark, lake)

    def run(
        self, rows: Sequence[Row], instruments: Instruments, now: int
    ) -> list[tuple[Row, FileRead | SourceError]]:
        """Decode and commit the files of these manifest rows: what reading each came to."""
        task = bronze_task(rows, self._settings, instruments.all(), self._chunk, now)
        level = needed("pyspark").StorageLevel
        numbers = self._spark.range(0, len(rows), 1, len(rows))
        staged = numbers.mapInArrow(task, SCHEMA).persist(level.DISK_ONLY)
        try:
            told = staged.where(staged["name"].isin(f"{FACT}read", f"{FACT}error"))
            facts = told.select("job", "name", "body").collect()
            found = {r["job"]: (r["name"], json.loads(bytes(r["body"]))) for r in facts}
            counted = staged.groupBy("job", "name").agg({"rows": "sum"}).collect()
            counts = {(r[0], r[1]): int(r[2]) for r in counted}
            return [
                (row, self._show(row, *found[row["batch_id"]], counts, staged, now)) for row in rows
            ]
        finally:
            staged.unpersist()

    def _show(
        self,
        row: Row,
        name: str,
        said: Any,
        counts: dict[tuple[str, str], int],
        staged: Any,
        now: int,
    ) -> FileRead | SourceError:
        if name == f"{FACT}error":
            return SourceError(str(said).partition(": ")[2])
        batch, read = row["batch_id"], FileRead(**said)
        mine = staged.where(staged["job"] == batch)
        for table in (MBO, QUARANTINE):
            # A file without rows is a commit of bronze.mbo, too; nothing refused is none.
            if table == QUARANTINE and not counts.get((batch, table)):
                continue
            new = self._tables.append(table, rows_of(mine, table), (f"{table}/{batch}", 1))
            if new and table == MBO:
                read.new = read.records - read.skipped - read.refused
        note_file(self._lake, row, read, now)
        return read
