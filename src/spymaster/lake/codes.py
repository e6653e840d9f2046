"""Two columns as integers that are equal exactly when the facts are equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int64]

#: All NaNs are one. A null inside a list of numbers is another pattern that no number has.
_NAN, _NULL = 0x7FF8000000000000, 0x7FF800000000000F


def codes(a: pa.ChunkedArray, b: pa.ChunkedArray) -> tuple[Codes, Codes]:
    """Codes of two columns: equal where the values are, null unlike every value.

    Floats by bit pattern (one NaN; -0.0 is not 0.0). Integers, dates, strings and bools keep
    their order, nulls first, so that sorting by codes sorts by value.
    """
    both = pa.chunked_array([*a.chunks, *b.chunks], a.type)
    if pa.types.is_dictionary(both.type):
        both = pa.chunked_array([_without_null_words(c) for c in both.chunks], a.type)
        both = both.unify_dictionaries()
    array = both.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    whole = _codes(array)
    return whole[: len(a)], whole[len(a) :]


def _without_null_words(array: pa.DictionaryArray) -> pa.DictionaryArray:
    """Parquet's reader puts a null among the words of a column that is all null."""
    if not array.dictionary.null_count:
        return array
    return array.dictionary_decode().dictionary_encode()


def _codes(array: pa.Array) -> Codes:
    kind = array.type
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind) or pa.types.is_large_binary(kind):
        return _of_strings(array)
    if pa.types.is_list(kind):
        return _of_lists(array, valid)
    if pa.types.is_floating(kind):
        return _ranked(_bits(array), valid)
    if pa.types.is_date(kind):
        array = array.cast(pa.int32())
    filled = array.cast(pa.int64()).fill_null(0)
    return _ranked(filled.to_numpy(zero_copy_only=False), valid)


def _ranked(values: Codes, valid: npt.NDArray[np.bool_]) -> Codes:
    """The values themselves, or where some are null their ranks from 1, null as 0."""
    if valid.all():
        return values
    out = np.zeros(len(values), np.int64)
    out[valid] = np.unique(values[valid], return_inverse=True)[1] + 1
    return out


def _bits(array: pa.Array, null: int = 0) -> Codes:
    values = array.fill_null(0.0).to_numpy(zero_copy_only=False).astype(np.float64)
    bits = np.where(np.isnan(values), np.int64(_NAN), values.view(np.int64))
    return np.where(array.is_valid().to_numpy(zero_copy_only=False), bits, np.int64(null))


def _of_strings(array: Any) -> Codes:
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    order = pc.array_sort_indices(coded.dictionary).to_numpy()
    rank = np.zeros(len(order) + 1, np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    at: Codes = rank[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return at


def _of_lists(array: Any, valid: npt.NDArray[np.bool_]) -> Codes:
    """Each list as one string of bytes, eight per element, then as a code."""
    flat = array.flatten()
    inner = _bits(flat, _NULL) if pa.types.is_floating(flat.type) else _of_strings(flat)
    lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]) * 8
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(inner))]
    packed = pa.Array.from_buffers(pa.large_binary(), len(array), buffers)
    return np.where(valid, _of_strings(packed), 0)
