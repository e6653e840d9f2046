"""Rows out of a table: only the files that can match, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
from deltalake import DeltaTable

from spymaster.contracts.arrow import arrow_schema
from spymaster.contracts.column import Table
from spymaster.errors import LakeError
from spymaster.lake import delta
from spymaster.lake.place import Place

#: column -> value or values, or a pyarrow expression, or nothing.
Filters: TypeAlias = Mapping[str, Any] | Any


def expression(table: Table, filters: Filters) -> Any:
    """A filter as a pyarrow expression; values take the column's type (a date may be text)."""
    if filters is None or not isinstance(filters, Mapping):
        return filters
    whole = None
    for name, value in filters.items():
        kind = arrow_schema(table, [name]).field(name).type
        values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        one = pc.field(name).isin(_values(values, kind))
        whole = one if whole is None else whole & one
    return whole


def _values(values: list[Any], kind: Any) -> Any:
    if pa.types.is_date(kind):
        return pa.array([str(v) for v in values]).cast(kind)
    return pa.array(values, kind)


def files(opened: DeltaTable) -> pa.Table:
    """The table's files with their statistics, one row each."""
    return pa.table(opened.get_add_actions(flatten=True))


def partitions(opened: DeltaTable, table: Table) -> list[dict[str, str]]:
    """The partitions that hold files, sorted; one empty partition for a table that has none."""
    found = files(opened)
    if not table.partition:
        return [{}] if found.num_rows else []
    rows = found.select([f"partition.{p}" for p in table.partition]).to_pylist()
    texts = {tuple(str(row[f"partition.{p}"]) for p in table.partition) for row in rows}
    return [dict(zip(table.partition, text, strict=True)) for text in sorted(texts)]


def scan(
    opened: DeltaTable,
    place: Place,
    table: Table,
    columns: Sequence[str] | None,
    filters: Filters,
    dictionary: bool = False,
) -> pa.Table:
    """The rows as one Arrow table."""
    names = list(columns) if columns is not None else table.names
    arrow_schema(table, names)  # names the column that does not exist
    found = _dataset(opened, place, table, filters, dictionary)
    options = pds.ParquetFragmentScanOptions(page_checksum_verification=True)
    try:
        return found.to_table(
            columns=names, filter=expression(table, filters), fragment_scan_options=options
        )
    except (OSError, pa.ArrowInvalid) as e:
        raise _damaged(opened, table, e) from e


def count(opened: DeltaTable, place: Place, table: Table, filters: Filters) -> int:
    """How many rows match; of whole files, without opening them where a filter is of partitions."""
    found = _dataset(opened, place, table, filters, False)
    try:
        return int(found.count_rows(filter=expression(table, filters)))
    except (OSError, pa.ArrowInvalid) as e:
        raise _damaged(opened, table, e) from e


def batches(
    opened: DeltaTable,
    place: Place,
    table: Table,
    columns: Sequence[str] | None,
    filters: Filters,
    batch_rows: int,
    dictionary: bool,
) -> Iterator[pa.RecordBatch]:
    """The rows batch by batch, one file at a time, about one row group in memory."""
    names = list(columns) if columns is not None else table.names
    arrow_schema(table, names)
    found = _dataset(opened, place, table, filters, dictionary)
    options = pds.ParquetFragmentScanOptions(
        pre_buffer=False, use_buffered_stream=True, page_checksum_verification=True
    )
    for fragment in found.get_fragments():
        scanner = fragment.scanner(
            schema=found.schema,
            columns=names,
            filter=expression(table, filters),
            batch_size=batch_rows,
            batch_readahead=1,
            fragment_readahead=1,
            fragment_scan_options=options,
        )
        rows = scanner.to_batches()
        while True:
            try:
                batch = next(rows, None)
            except (OSError, pa.ArrowInvalid) as e:
                raise _damaged(opened, table, e) from e
            if batch is None:
                break
            if batch.num_rows:
                yield batch


def _damaged(opened: DeltaTable, table: Table, error: Exception) -> LakeError:
    return LakeError(
        f"{table.name} at {opened.table_uri}: a file cannot be read ({error}). "
        "Name it with: spymaster plan --verify. Mend it with: spymaster hist run --verify"
    )


def _dataset(
    opened: DeltaTable, place: Place, table: Table, filters: Filters, dictionary: bool
) -> Any:
    coded = {"dictionary_columns": [c.name for c in table.stored if c.type == "string"]}
    whole = opened.to_pyarrow_dataset(
        filesystem=place.filesystem(delta.folder(table)),
        schema=arrow_schema(table),
        parquet_read_options=pds.ParquetReadOptions(**coded) if dictionary else None,
    )
    order = _file_order(opened, table)
    matching = list(whole.get_fragments(filter=expression(table, filters)))
    matching.sort(key=lambda fragment: order[fragment.path])
    return pds.FileSystemDataset(matching, whole.schema, whole.format, whole.filesystem)


def _file_order(opened: DeltaTable, table: Table) -> dict[str, tuple[int, str]]:
    found = files(opened)
    first = [0] * found.num_rows
    if "ts_recv" in table.by_name and "min.ts_recv" in found.column_names:
        first = [t or 0 for t in found["min.ts_recv"].to_pylist()]
    return {p: (t, p) for p, t in zip(found["path"].to_pylist(), first, strict=True)}
