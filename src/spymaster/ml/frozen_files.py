"""The files of a dataset snapshot, and how they are written.

    vectors.parquet      one row per vector: who it is, then its numbers, one float64 column each,
                         named as gold.vector_spec names them, NaN where missing
    labels.parquet       feature_hash, label, known_at: the same rows in the same order
    weights.parquet      feature_hash, weight: the same
    data_version.parquet the sessions, and what each was made from
    vector_spec.parquet  the meaning of each number, by position
    lookback_spec.json   the canonical text whose BLAKE2b-128 is the feature contract
    manifest.json        checksums of all of these, counts, versions

Named columns rather than a list: ten years on any reader of Parquet finds `ofi_slope_12` without
this package. Plain float64 and zstd, so that every engine gives back the same bits.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.errors import ModelError

VECTORS, LABELS, WEIGHTS = "vectors.parquet", "labels.parquet", "weights.parquet"
DATA_VERSION, VECTOR_SPEC = "data_version.parquet", "vector_spec.parquet"
LOOKBACK_SPEC, MANIFEST = "lookback_spec.json", "manifest.json"
#: Rows of a row group: 298 columns of them are some 150 MB.
ROW_GROUP = 1 << 16

_TABLE = TABLES["gold.training_view"]
_NOT_IDENTITY = {
    "lookback_spec", "feature_vector", "label", "known_at", "weight", "data_version",
}  # fmt: skip
IDENTITY = tuple(name for name in _TABLE.names if name not in _NOT_IDENTITY)
_LINEAGE = (
    "session_date", "underlier", "data_version", "files", "inputs_hash", "code_version",
    "config_hash", "contracts_version",
)  # fmt: skip


def frozen_rows(rows: pa.Table, vectors: NDArray[np.float64], names: tuple[str, ...]) -> pa.Table:
    """All that a session freezes as one table: identity, label, known_at, weight, then numbers."""
    if twice := set(names) & set(_TABLE.names):
        raise ModelError(f"features are named like columns of {_TABLE.name}: {sorted(twice)}.")
    whole = rows.select([*IDENTITY, "label", "known_at", "weight"])
    schema = pa.schema([*whole.schema, *_numbers(names)])
    columns = [pa.array(values) for values in np.ascontiguousarray(vectors.T)]
    return pa.Table.from_arrays([*whole.columns, *columns], schema=schema)


def _numbers(names: tuple[str, ...]) -> list[pa.Field]:
    return [pa.field(name, pa.float64(), nullable=False) for name in names]


class Files:
    """Writes sessions into the three files of rows, a row group at a time."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._columns = {
            VECTORS: [*IDENTITY, *names],
            LABELS: ["feature_hash", "label", "known_at"],
            WEIGHTS: ["feature_hash", "weight"],
        }
        schema = pa.schema([*arrow_schema(_TABLE), *_numbers(names)])
        self._writers = {
            file: _writer(folder / file, pa.schema([schema.field(c) for c in columns]))
            for file, columns in self._columns.items()
        }
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        if sum(t.num_rows for t in self._waiting) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            whole = pa.concat_tables(self._waiting)
            for file, writer in self._writers.items():
                part = whole.select(self._columns[file]).cast(writer.schema)
                writer.write_table(part, row_group_size=ROW_GROUP)
            self._waiting.clear()

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
        for writer in self._writers.values():
            writer.close()


def _writer(path: Path, schema: pa.Schema) -> Any:
    text = [f.name for f in schema if pa.types.is_string(f.type)]
    lists = [f"{f.name}.list.element" for f in schema if pa.types.is_list(f.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[*text, *lists],
        write_page_checksum=True,
        store_schema=False,
        version="2.6",
    )


def write_about(
    folder: Path, lineage: tuple[dict[str, Any], ...], features: tuple[dict[str, Any], ...]
) -> None:
    """The two small tables: what the sessions were made from, and what the numbers mean."""
    kept = arrow_schema(TABLES["lineage"], _LINEAGE)
    made = pa.Table.from_pylist([{n: row[n] for n in kept.names} for row in lineage], kept)
    spec = arrow_schema(TABLES["gold.vector_spec"], list(features[0]))
    for file, rows in (
        (DATA_VERSION, made),
        (VECTOR_SPEC, pa.Table.from_pylist(list(features), spec)),
    ):
        with _writer(folder / file, rows.schema) as writer:
            writer.write_table(rows)
