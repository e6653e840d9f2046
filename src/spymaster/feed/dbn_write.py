"""A DBN file from records: for simulated days, reflected copies and tests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import zstandard
from databento_dbn import Metadata, Schema, SType
from databento_dbn.metadata import MappingInterval

Records = npt.NDArray[Any] | bytes


@dataclass
class Interval:
    """On the days [start_date, end_date) the symbol is the instrument of this number."""

    start_date: date
    end_date: date
    symbol: str


@dataclass
class _Mapping:
    raw_symbol: str
    intervals: Sequence[MappingInterval]


def make_metadata(
    dataset: str,
    symbols: Mapping[str, int | Sequence[Interval]],
    start: int,
    end: int | None = None,
    *,
    schema: str | None = "mbo",
    version: int = 3,
    ts_out: bool = False,
) -> Metadata:
    """What stands at the head of a file: dataset, schema, [start, end) in ns UTC, symbols.

    A symbol maps to one instrument id, for all days from start to end, or to `Interval`s.
    Without a schema it is the head of a mixed live capture.
    """
    last = start if end is None else end - 1
    first, after = _day(start), _day(last) + timedelta(days=1)
    mappings = [
        _Mapping(name, [Interval(first, after, str(to))] if isinstance(to, int) else list(to))
        for name, to in symbols.items()
    ]
    return Metadata(
        dataset=dataset,
        start=start,
        end=end,
        schema=None if schema is None else Schema.from_str(schema),
        stype_in=None if schema is None else SType.RAW_SYMBOL,  # type: ignore[arg-type]
        stype_out=SType.INSTRUMENT_ID,  # type: ignore[arg-type]
        symbols=list(symbols),
        mappings=mappings,
        ts_out=ts_out,
        version=version,
    )


def write_dbn(
    path: str | Path,
    head: Metadata,
    records: Records | Iterable[Records],
    *,
    compress: bool = True,
    level: int = 3,
) -> Path:
    """Write a DBN file, whole or not at all, as Databento does: metadata and data in two frames.

    records: one array or many (MBO_RECORD, or any dtype whose bytes are DBN records of the
    head's version), or bytes. The bytes depend on nothing but the arguments.
    """
    path = Path(path)
    pieces = [records] if isinstance(records, np.ndarray | bytes) else records
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            _frame(file, [head.encode()], level if compress else None)
            _frame(file, pieces, level if compress else None)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _frame(file: BinaryIO, pieces: Iterable[Records], level: int | None) -> None:
    if level is None:
        for piece in pieces:
            file.write(_bytes(piece))
        return
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True)
    with packer.stream_writer(file, closefd=False) as out:
        for piece in pieces:
            out.write(_bytes(piece))


def _bytes(piece: Records) -> memoryview:
    if isinstance(piece, bytes):
        return memoryview(piece)
    return np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data


def _day(ns: int) -> date:
    return datetime.fromtimestamp(ns // 10**9, UTC).date()
