"""Landed files into bronze: a file is a task's work, and one commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from spymaster.engines.bronze_file import FileRead, note_file
from spymaster.engines.spark.bronze_task import MBO, QUARANTINE, bronze_task
from spymaster.engines.spark.extra import needed
from spymaster.engines.spark.staged import FACT, SCHEMA, rows_of
from spymaster.engines.spark.tables import SparkTables
from spymaster.errors import SourceError
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings

Row = dict[str, Any]


class BronzeFiles:
    """Decodes files side by side; each is shown by commits that happen once, as everywhere."""

    def __init__(self, spark: Any, lake: Lake, settings: Settings, chunk_records: int) -> None:
        self._spark, self._lake, self._settings = spark, lake, settings
        self._chunk = chunk_records
        self._tables = SparkTables(spark, lake, settings.spark)

    def run(
        self, rows: Sequence[Row], instruments: Instruments, now: int
    ) -> Iterator[tuple[Row, FileRead | SourceError]]:
        """Decode and commit the files of these manifest rows: what reading each came to."""
        self._tables.create(MBO)
        known, thread = instruments.all(), needed("pyspark").InheritableThread
        hands = self._spark.sparkContext.defaultParallelism
        for first in range(0, len(rows), hands):
            some = rows[first : first + hands]
            found: dict[str, FileRead | SourceError | BaseException] = {}

            def one(row: Row, found: dict[str, Any] = found) -> None:
                try:
                    found[row["path"]] = self._file(row, known, now)
                except BaseException as error:
                    found[row["path"]] = error

            threads = [thread(target=one, args=(row,)) for row in some]
            for started in threads:
                started.start()
            for started in threads:
                started.join()
            for row in some:
                told = found[row["path"]]
                if isinstance(told, BaseException) and not isinstance(told, SourceError):
                    raise told
                if isinstance(told, FileRead):
                    note_file(self._lake, row, told, now)
                yield row, told

    def _file(
        self, row: Row, instruments: Sequence[Instrument], now: int
    ) -> FileRead | SourceError:
        """One file by one task; its rows are committed, and nothing says so yet."""
        task = bronze_task(row, self._settings, instruments, self._chunk, now)
        level = needed("pyspark").StorageLevel
        staged = self._spark.range(0, 1, 1, 1).mapInArrow(task, SCHEMA).persist(level.DISK_ONLY)
        try:
            facts = staged.where(staged["name"].isin(f"{FACT}read", f"{FACT}error"))
            name, body = facts.select("name", "body").collect()[0]
            said = json.loads(bytes(body))
            if name == f"{FACT}error":
                return SourceError(said)
            batch, read = row["batch_id"], FileRead(**said)
            if self._tables.append(MBO, rows_of(staged, MBO), (f"{MBO}/{batch}", 1)):
                read.new = read.records - read.skipped - read.refused
            if read.refused:
                refused = rows_of(staged, QUARANTINE)
                self._tables.append(QUARANTINE, refused, (f"{QUARANTINE}/{batch}", 1))
            return read
        finally:
            staged.unpersist()
