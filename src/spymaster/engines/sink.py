"""Rows gather and go to Parquet when there are enough, on a thread of their own."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spymaster.contracts.arrow import to_arrow
from spymaster.contracts.column import Table
from spymaster.engines.background import Background
from spymaster.lake import Lake
from spymaster.lake.parquet import Part, PartWriter
from spymaster.stages.rows import Coded, Rows

ENOUGH = 1 << 17


class RowSink(Protocol):
    """Where a session's rows go; `rows` counts them by table."""

    rows: dict[str, int]

    def add(self, rows: Iterable[Rows], instrument_type: str) -> None: ...

    def close(self) -> dict[str, list[Part]]: ...

    def abandon(self) -> None: ...


class Sink:
    """The tables of one session on their way into the lake.

    `close` gives the finished files of each table, that no reader sees before they are committed;
    `abandon` leaves no file behind. `suffix` makes them those of the tables' twins.
    """

    def __init__(
        self,
        lake: Lake,
        session_date: dt.date,
        underlier: str,
        constants: Mapping[str, Any],
        suffix: str = "",
    ) -> None:
        self._suffix = suffix
        self.rows: dict[str, int] = defaultdict(int)
        self._lake, self._date, self._underlier = lake, session_date, underlier
        self._constants = constants
        self._waiting: dict[tuple[str, str], list[Rows]] = defaultdict(list)
        self._count: dict[tuple[str, str], int] = defaultdict(int)
        self._writers: dict[str, PartWriter] = {}
        self._thread = Background("silver and gold")

    def add(self, rows: Iterable[Rows], instrument_type: str) -> None:
        """Take rows; write those of a table of which enough have gathered."""
        for r in rows:
            if not len(r):
                continue
            key = (r.table, instrument_type)
            self._waiting[key].append(r)
            self._count[key] += len(r)
            self.rows[r.table] += len(r)
            if self._count[key] >= ENOUGH:
                self._count[key] = 0
                self._thread.submit(self._write, *key, self._waiting.pop(key))

    def _write(self, name: str, instrument_type: str, rows: list[Rows]) -> None:
        name += self._suffix
        table = self._lake.table(name)
        whole = combine(table, rows)
        columns = {column: as_arrow(value) for column, value in whole.columns.items()}
        batch = to_arrow(
            table,
            whole.records,
            {**self._constants, **columns},
            columns=[c.name for c in table.stored],
            dictionary=True,
        )
        if name not in self._writers:
            self._writers[name] = self._lake.writer(name)
        self._writers[name].write(batch, self._partition(instrument_type))

    def _partition(self, instrument_type: str) -> dict[str, Any]:
        return {
            "session_date": self._date,
            "underlier": self._underlier,
            "instrument_type": instrument_type,
        }

    def close(self) -> dict[str, list[Part]]:
        """The files of each table, on disk for good."""
        for key in list(self._waiting):
            self._thread.submit(self._write, *key, self._waiting.pop(key))
        self._thread.wait()
        return {name: self._writers[name].close() for name in list(self._writers)}

    def abandon(self) -> None:
        """Remove what was written."""
        self._thread.stop()
        for writer in self._writers.values():
            writer.abandon()
        self._writers.clear()
        self._waiting.clear()


def combine(table: Table, rows: list[Rows]) -> Rows:
    """Several pieces of a table as one; a column that differs between pieces becomes per-row."""
    if len(rows) == 1:
        return rows[0]
    records = None
    if rows[0].records is not None:
        records = np.concatenate([r.records for r in rows if r.records is not None])
    columns = {name: _column(table, name, rows) for name in rows[0].columns}
    return Rows(table.name, records, columns, sum(map(len, rows)))


def as_arrow(value: Any) -> Any:
    """A column of `Rows` as `to_arrow` takes it."""
    if not isinstance(value, Coded):
        return value
    words = pa.array(list(value.words), pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(value.codes, pa.int32()), words)


def _column(table: Table, name: str, rows: list[Rows]) -> Any:
    values = [r.columns[name] for r in rows]
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values)
    if isinstance(values[0], Coded):
        longest = max((v.words for v in values), key=len)
        return Coded(np.concatenate([v.codes for v in values]), longest)
    if isinstance(values[0], list):
        return [v for part in values for v in part]
    if all(v == values[0] for v in values):
        return values[0]
    counts = [len(r) for r in rows]
    if table.by_name[name].type == "string":
        return _coded(values, counts)
    return [v for v, n in zip(values, counts, strict=True) for _ in range(n)]


def _coded(values: list[str | None], counts: list[int]) -> pa.DictionaryArray:
    words = sorted({v for v in values if v is not None})
    place = {w: i for i, w in enumerate(words)}
    codes: NDArray[np.int32] = np.array([place.get(v or "", -1) for v in values], np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(np.repeat(codes, counts), mask=np.repeat(codes < 0, counts)),
        pa.array(words, pa.string()),
    )
