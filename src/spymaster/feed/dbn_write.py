"""A DBN file from records: for simulated days, reflected copies and tests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

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
    pieces = [records] if isinstance(records, np.ndarray | bytes) else records
    with DbnWriter(path, head, compress=compress, level=level) as out:
        for piece in pieces:
            out.write(piece)
    return out.path


class DbnWriter:
    """One DBN file being written, piece by piece: it has its name only when it is whole.

    A context manager; an exception inside leaves no file. Arguments as for `write_dbn`.
    """

    def __init__(
        self, path: str | Path, head: Metadata, *, compress: bool = True, level: int = 3
    ) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._level = level if compress else None
        self._file = self._part.open("wb")
        self._out = self._frame()
        self._out.write(head.encode())
        if self._out is not self._file:
            self._out.close()
        self._out = self._frame()

    def _frame(self) -> Any:
        if self._level is None:
            return self._file
        packer = zstandard.ZstdCompressor(level=self._level, write_checksum=True)
        return packer.stream_writer(self._file, closefd=False)

    def write(self, records: Records) -> None:
        """The next records."""
        self._out.write(_bytes(records))

    def __enter__(self) -> DbnWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._out is not self._file:
                self._out.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if kind is None:
                self._part.replace(self.path)
        finally:
            self._file.close()
            self._part.unlink(missing_ok=True)


def _bytes(piece: Records) -> memoryview:
    if isinstance(piece, bytes):
        return memoryview(piece)
    return np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data


def _day(ns: int) -> date:
    return datetime.fromtimestamp(ns // 10**9, UTC).date()
