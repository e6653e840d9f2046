"""One micro-batch of the topic as rows: read in tasks, told to the driver, laid by contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.engines.spark.extra import needed
from spymaster.engines.spark.schema import rows_ddl
from spymaster.engines.spark.staged import FACT, POSITION, SCHEMA, Piece, as_batch, rows_of
from spymaster.engines.spark.stream.messages import (
    COLUMNS,
    QUARANTINE,
    READ,
    STREAM,
    messages_task,
)

Row = dict[str, Any]
#: Messages that a task has in memory at once: each may be as long as the bus allows.
_MESSAGES = "64"
#: A contract's rows in its file: as the topic has them, the mark last.
_ORDER = ("contract_id", "topic_partition", "topic_offset", POSITION)


class MicroBatch:
    """Messages of a frame of the source, read once; as a context manager it lets go of them.

    The other arguments are `messages_task`'s.
    """

    def __init__(
        self,
        frame: Any,
        state: Callable[[], Mapping[str, Any]],
        offsets: Mapping[int, int],
        underliers: Mapping[str, Any],
        found: Mapping[str, Row],
    ) -> None:
        self._spark, self._files = frame.sparkSession, len(offsets)
        self._spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", _MESSAGES)
        # A plan of a second's work: looking at it again takes longer than it saves.
        self._spark.conf.set("spark.sql.adaptive.enabled", "false")
        task = messages_task(state, offsets, underliers, found)
        level = needed("pyspark").StorageLevel
        staged = frame.select(*COLUMNS).mapInArrow(task, SCHEMA)
        self._staged = staged.persist(level.DISK_ONLY)

    def __enter__(self) -> MicroBatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._staged.unpersist()

    def facts(self) -> list[Row]:
        """What the tasks told, each of the partitions that it read."""
        told = self._staged.where(self._staged["name"] == FACT + READ).select("body").collect()
        return [json.loads(bytes(body)) for (body,) in told]

    def refused(self) -> Any:
        """Rows for bronze.quarantine, a frame."""
        return rows_of(self._staged, QUARANTINE)

    def rows(self, controls: Sequence[tuple[int, Piece]]) -> Any:
        """Rows for bronze.stream, a frame: each contract's in one task, in their order."""
        columns = ("task", "body")
        pieces = self._staged.where(self._staged["name"] == STREAM).select(*columns)
        if controls:
            batch = as_batch("", 0, 0, [piece for _, piece in controls]).select(columns)
            files = pa.array([file for file, _ in controls], pa.int32())
            table = pa.Table.from_batches([batch.set_column(0, "task", files)])
            pieces = pieces.unionAll(self._spark.createDataFrame(table))
        table = TABLES[STREAM]
        rows = pieces.repartitionById(self._files, "task").mapInArrow(
            _unpack, rows_ddl(table, f"`{POSITION}` BIGINT")
        )
        return rows.sortWithinPartitions(*table.partition, *_ORDER).drop(POSITION)


def _unpack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows out of their pieces; each has its position with it."""
    plain = pa.schema([f.with_nullable(True) for f in arrow_schema(TABLES[STREAM])])
    for pieces in batches:
        for body in pieces["body"]:
            with pa.ipc.open_stream(body.as_buffer()) as stream:
                for batch in stream:
                    arrays = [batch[f.name].cast(f.type) for f in plain]
                    yield pa.RecordBatch.from_arrays(
                        [*arrays, batch[POSITION]], [*plain.names, POSITION]
                    )
