"""Rows of one table in memory, of the newest sessions only: a row that comes again replaces."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from spymaster.contracts.column import Table
from spymaster.dashboard.times import schema

Row = Mapping[str, Any]
#: Loose rows are laid beside the others when somebody asks, or when there are so many.
_LOOSE = 5_000
#: So many pieces become one.
_PIECES = 64


class Shelf:
    """Rows by their key. Keeps `sessions` sessions of each underlier, and at most `most` rows.

    Not safe for threads: its source has a lock.
    """

    def __init__(self, table: Table, sessions: int, most: int) -> None:
        self.table, self._sessions, self._most = table, sessions, most
        self._schema = schema(table)
        self._frame = pl.DataFrame(schema=self._schema)
        self._loose: dict[tuple[Any, ...], Row] = {}
        self._known: set[tuple[Any, ...]] = set()
        self._again: set[tuple[Any, ...]] = set()
        self._dates: dict[str, list[dt.date]] = {}
        self._pieces = 1

    def __len__(self) -> int:
        return len(self._known) + len(self._loose) - len(self._known & self._loose.keys())

    def add(self, row: Row) -> bool:
        """Take a row; False for one of a session that is let go of already."""
        date, underlier = row["session_date"], row["underlier"]
        dates = self._dates.setdefault(underlier, [])
        if date not in dates:
            if len(dates) >= self._sessions and date < min(dates):
                return False
            dates.append(date)
            dates.sort()
            while len(dates) > self._sessions:
                self._drop(underlier, dates.pop(0))
        name = tuple(row[k] for k in self.table.keys)
        if name in self._known:
            self._again.add(name)
        self._loose[name] = row
        if len(self._loose) >= _LOOSE:
            self._settle()
        return True

    def frame(self) -> pl.DataFrame:
        """All rows, in the order of their coming but for those that came again."""
        if self._loose:
            self._settle()
        return self._frame

    def dates(self, underlier: str | None = None) -> dict[str, list[dt.date]]:
        """The sessions of each underlier, the oldest first."""
        return {u: list(d) for u, d in self._dates.items() if underlier in (None, u)}

    def _settle(self) -> None:
        new = pl.DataFrame(list(self._loose.values()), schema=self._schema, orient="row")
        old = self._without(self._again) if self._again else self._frame
        self._frame = pl.concat([old, new])
        self._known |= self._loose.keys()
        self._loose, self._again = {}, set()
        self._pieces += 1
        if self._frame.height > self._most:
            self._keep(self._frame.tail(self._most))
        elif self._pieces > _PIECES:
            self._frame, self._pieces = self._frame.rechunk(), 1

    def _without(self, names: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
        keys = self.table.keys
        types = {k: self._schema[k] for k in keys}
        gone = pl.DataFrame(list(names), schema=types, orient="row")
        return self._frame.join(gone, on=keys, how="anti", maintain_order="left")

    def _drop(self, underlier: str, date: dt.date) -> None:
        self._loose = {
            name: row
            for name, row in self._loose.items()
            if (row["underlier"], row["session_date"]) != (underlier, date)
        }
        mine = (pl.col("underlier") == underlier) & (pl.col("session_date") == date)
        self._keep(self._frame.filter(~mine))

    def _keep(self, frame: pl.DataFrame) -> None:
        self._frame, self._pieces = frame.rechunk(), 1
        self._known = set(frame.select(self.table.keys).iter_rows())
        self._again &= self._known
