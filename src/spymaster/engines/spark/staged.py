"""What a task made, for all tables at once: rows in Arrow's own bytes, counts, small facts.

A task has one output and a session has many tables. So a task gives pieces of tables as bytes,
Spark keeps them on its disks, and each table's write unpacks those that are its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.engines.spark.schema import rows_ddl

#: `job`: whose it is; `place`: the piece's place among the task's; `body`: Arrow IPC, or JSON.
SCHEMA = "job STRING, kind STRING, name STRING, place BIGINT, rows BIGINT, task INT, body BINARY"
_ARROW = pa.schema(
    [
        ("job", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("place", pa.int64()),
        ("rows", pa.int64()),
        ("task", pa.int32()),
        ("body", pa.binary()),
    ]
)
#: A fact starts with this, so that it is no table's name.
FACT = "#"
POSITION = "_position"


class Piece(NamedTuple):
    """Rows of a table (`body`), or a fact by name: a count in `rows`, or JSON in `body`."""

    kind: str
    name: str
    rows: int
    body: bytes | None = None


def packed(kind: str, name: str, batch: pa.RecordBatch) -> Piece:
    """Rows of a table as bytes."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, batch.schema, options=options) as out:
        out.write_batch(batch)
    return Piece(kind, name, batch.num_rows, sink.getvalue().to_pybytes())


def count(kind: str, name: str, number: int) -> Piece:
    """A count that adds up over tasks."""
    return Piece(kind, FACT + name, number)


def told(kind: str, name: str, value: Any) -> Piece:
    """A small fact for the driver."""
    return Piece(kind, FACT + name, 1, json.dumps(value, default=_plain).encode())


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def as_batch(job: str, task: int, place: int, pieces: Sequence[Piece]) -> pa.RecordBatch:
    """Pieces as a task gives them."""
    rows = [
        {**piece._asdict(), "job": job, "task": task, "place": place + i}
        for i, piece in enumerate(pieces)
    ]
    return pa.RecordBatch.from_pylist(rows, _ARROW)


def unpacker(name: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that makes rows of one table from its pieces, each with its position."""

    def unpack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = arrow_schema(TABLES[name])
        plain = pa.schema([f.with_nullable(True) for f in schema])
        for pieces in batches:
            places = pieces["place"].to_pylist()
            for place, body in zip(places, pieces["body"], strict=True):
                with pa.ipc.open_stream(body.as_buffer()) as stream:
                    for batch in stream:
                        arrays = [batch[f.name].cast(f.type) for f in plain]
                        at = np.arange(batch.num_rows, dtype=np.int64) + (place << 32)
                        yield pa.RecordBatch.from_arrays(
                            [*arrays, pa.array(at)], [*plain.names, POSITION]
                        )

    return unpack


def rows_of(staged: Any, name: str) -> Any:
    """A table's rows out of what was staged, in their order within each partition of the table."""
    table = TABLES[name]
    pieces = staged.where(staged["name"] == name).select("place", "body")
    rows = pieces.mapInArrow(unpacker(name), rows_ddl(table, f"`{POSITION}` BIGINT"))
    return rows.sortWithinPartitions(*table.partition, POSITION).drop(POSITION)
