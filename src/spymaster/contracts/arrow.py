"""A table's rows as files and wires hold them: Arrow columns, missing values as nulls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spymaster.contracts.column import INT_NULL, Column, Table
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_type(column: Column, *, dictionary: bool = False) -> pa.DataType:
    """The Arrow type of a column; strings as codes into a dictionary when asked for."""
    import pyarrow as pa

    if column.type == "string" and dictionary:
        return pa.dictionary(pa.int32(), pa.string())
    return {
        "string": pa.string(),
        "int64": pa.int64(),
        "int32": pa.int32(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "date": pa.date32(),
        "list<float64>": pa.list_(pa.float64()),
        "list<string>": pa.list_(pa.string()),
    }[column.type]


def arrow_schema(
    table: Table, columns: Iterable[str] | None = None, *, dictionary: bool = False
) -> pa.Schema:
    """The Arrow schema of a table, or of some of its columns in the contract's order."""
    import pyarrow as pa

    wanted = set(table.names if columns is None else columns)
    if strange := wanted - set(table.names):
        raise ContractError(
            f"{table.name} has no column {', '.join(sorted(strange))}. "
            f"Its columns are: {', '.join(table.names)}."
        )
    return pa.schema(
        [
            pa.field(c.name, arrow_type(c, dictionary=dictionary), nullable=c.null)
            for c in table.columns
            if c.name in wanted
        ]
    )


def to_arrow(
    table: Table,
    records: npt.NDArray[Any] | None,
    constants: Mapping[str, Any],
    *,
    columns: Iterable[str] | None = None,
    dictionary: bool = False,
) -> pa.RecordBatch:
    """Rows of a table, from kernel records and what a whole run shares.

    A column is the field of ``records`` with its name, else ``constants[name]``: one value for
    all rows, or a sequence, array or Arrow array with one value per row. Lists may be 2-D arrays.
    ``INT_NULL`` and (outside lists) NaN become null where the contract allows it.
    Strings are dictionary codes while building; ``dictionary`` keeps them so, for the writer.
    ``columns`` leaves the others out (a partition's columns are not stored in its files).
    Raises ContractError naming the table, the column and the first bad row.
    """
    import pyarrow as pa

    schema = arrow_schema(table, columns, dictionary=dictionary)
    fields = () if records is None else (records.dtype.names or ())
    rows = _row_count(table, records, constants)
    arrays = []
    for name in schema.names:
        column = table.by_name[name]
        if name in fields and records is not None:
            array = _per_row(table, column, records[name])
        elif name in constants:
            array = _constant(table, column, constants[name], rows)
        else:
            raise ContractError(
                f"{table.name}.{name} was not given. Give it as a field of the records "
                f"({', '.join(fields) or 'none'}) or as a constant (None where null is allowed)."
            )
        _check(table, column, array, rows)
        arrays.append(array.cast(schema.field(name).type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def to_numpy(
    table: Table, data: pa.Table | pa.RecordBatch, only: Iterable[str] | None = None
) -> npt.NDArray[Any]:
    """Kernel records from Arrow rows: the fixed-width columns, nulls as INT_NULL and NaN."""
    dtype = numpy_dtype(table, only)
    out = np.empty(data.num_rows, dtype)
    for name in dtype.names or ():
        column, array = table.by_name[name], data.column(name)
        if array.null_count:
            if column.type == "bool":
                raise ContractError(f"{table.name}.{name} holds nulls; numpy has no missing bool.")
            array = array.fill_null(float("nan") if column.type == "float64" else INT_NULL)
        out[name] = array.to_numpy(zero_copy_only=False) if hasattr(array, "offset") else array
    return out


def _row_count(table: Table, records: npt.NDArray[Any] | None, constants: Mapping[str, Any]) -> int:
    if records is not None:
        return len(records)
    for name, value in constants.items():
        if name in table.by_name and _is_per_row(table.by_name[name], value):
            return len(value)
    return 1


def _is_per_row(column: Column, value: Any) -> bool:
    import pyarrow as pa

    if isinstance(value, pa.Array | pa.ChunkedArray):
        return True
    if column.type.startswith("list"):
        if isinstance(value, np.ndarray):
            return value.ndim > 1 or value.dtype == object
        return any(v is None or isinstance(v, list | tuple | np.ndarray) for v in value or ())
    return isinstance(value, list | tuple | np.ndarray)


def _constant(table: Table, column: Column, value: Any, rows: int) -> pa.Array:
    import pyarrow as pa

    if _is_per_row(column, value):
        return _per_row(table, column, value)
    if value is None:
        return pa.nulls(rows, arrow_type(column))
    try:
        one = pa.array([value], arrow_type(column))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as e:
        raise ContractError(f"{table.name}.{column.name} is {column.type}, not {value!r}.") from e
    if column.type == "string":
        return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), one)
    return one.take(pa.array(np.zeros(rows, np.int64)))


def _per_row(table: Table, column: Column, values: Any) -> pa.Array:
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    try:
        if isinstance(values, pa.Array):
            return values
        if not isinstance(values, np.ndarray):
            return pa.array(values, arrow_type(column))
        if values.ndim == 2:
            return _fixed_lists(column, values)
        return _flat(column, np.ascontiguousarray(values))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as e:
        raise ContractError(f"{table.name}.{column.name} is {column.type}: {e}") from e


def _fixed_lists(column: Column, values: npt.NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    rows, width = values.shape
    offsets = np.arange(0, rows * width + 1, width or 1, dtype=np.int32)
    if not width:
        offsets = np.zeros(rows + 1, np.int32)
    item = arrow_type(column).value_type
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1), item))


def _flat(column: Column, values: npt.NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    kind = arrow_type(column)
    if column.type in ("int64", "int32"):
        if values.dtype == np.uint64:  # an exchange's order id, as two's complement
            values = values.view(np.int64)
        missing = values == INT_NULL if values.dtype == np.int64 else np.zeros(0, np.bool_)
        # Without a mask the array is taken as it is, not copied.
        return pa.array(values, mask=missing if missing.any() else None).cast(kind)
    if column.type == "float64" and values.dtype.kind == "f":
        missing = np.isnan(values)
        return pa.array(values, kind, mask=missing if missing.any() else None)
    if values.dtype.kind == "S":
        values = values.astype("U")
    return pa.array(values, kind)


def _check(table: Table, column: Column, array: pa.Array, rows: int) -> None:
    import pyarrow.compute as pc

    where = f"{table.name}.{column.name}"
    if len(array) != rows:
        raise ContractError(f"{where} has {len(array)} values for {rows} rows. Give one per row.")
    if not column.null and array.null_count:
        row = pc.index(array.is_null(), True).as_py()
        raise ContractError(
            f"{where} row {row} is missing (null, INT_NULL or NaN), and the contract allows none. "
            f"Give a value, or declare the column null=True in a new version of {table.name}."
        )
    if column.values:
        import pyarrow as pa

        told = array.dictionary if isinstance(array, pa.DictionaryArray) else pc.unique(array)
        strange = set(told.to_pylist()) - {*column.values, None}
        if strange:
            raise ContractError(
                f"{where} holds {sorted(map(str, strange))}; allowed are {list(column.values)}."
            )
