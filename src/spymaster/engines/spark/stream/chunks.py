"""Rows of bronze.stream as chunks: some rows of one contract and one file, in Arrow's own bytes.

Spark's Python state handlers take pandas frames, where a missing number makes its whole column
float64 and an order id another one. A chunk is one binary cell, and comes as it went.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from spymaster.engines.spark.contract_stream import Chunk
from spymaster.engines.spark.stream_rows import COLUMNS
from spymaster.errors import SourceError

DDL = "contract_id STRING, file STRING, body BINARY"
_SCHEMA = pa.schema([("contract_id", pa.string()), ("file", pa.string()), ("body", pa.binary())])


def to_chunks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Chunks (`DDL`) of rows with `COLUMNS` and `file`, where each lay. For `mapInArrow`."""
    for batch in batches:
        chunks = list(_cut(pa.Table.from_batches([batch])))
        if chunks:
            yield pa.RecordBatch.from_pylist(chunks, _SCHEMA)


def _cut(rows: pa.Table) -> Iterator[dict[str, Any]]:
    coded = [_codes(rows[name]) for name in ("contract_id", "file")]
    order = np.lexsort([codes for codes, _ in coded])
    keys = np.stack([codes[order] for codes, _ in coded])
    edges = np.flatnonzero((np.diff(keys, axis=1) != 0).any(axis=0)) + 1
    whole = rows.select(COLUMNS).take(pa.array(order))
    for first, behind in zip([0, *edges], [*edges, rows.num_rows], strict=True):
        if behind > first:
            contract, path = (words[keys[i, first]] for i, (_, words) in enumerate(coded))
            body = _bytes(whole.slice(int(first), int(behind - first)))
            yield {"contract_id": contract, "file": path.rpartition("/")[2], "body": body}


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray[Any, Any], list[str]]:
    coded = column.combine_chunks().dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()


def _bytes(rows: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(out.getvalue().to_pybytes())


def from_chunks(rows: Iterable[tuple[str, bytes | None]], versions: Any) -> Iterator[Chunk]:
    """(file, body) of chunks back as rows, each with the version that brought its file.

    A chunk without a body only wakes its contract.
    """
    for name, body in rows:
        if body is None:
            continue
        if name not in versions:
            raise SourceError(
                f"bronze.stream: {name} was read, and no commit that the driver knows of has "
                "brought it. Was the table made anew, or its checkpoint brought from elsewhere?"
            )
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            for batch in stream:
                yield versions[name], batch
