"""Sessions that lie in the lake, as tables: history's where it is complete, else the stream's."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any

import polars as pl

from spymaster.contracts.kql import identity
from spymaster.contracts.stream import SUFFIX
from spymaster.dashboard.times import empty
from spymaster.lake import Lake, read
from spymaster.lake.lineage import complete
from spymaster.settings import Settings

BARS, PARITY = "gold.feature_series", "gold.parity"
_FRESH_S = 10.0
#: Whoever is told that this one has something newer wants to see it.
ALERTS = "gold.alerts_stream"


@dataclass(frozen=True)
class _Kept:
    """Rows as they were read: from which table, at which of its versions, last looked at when."""

    name: str
    version: int
    rows: pl.DataFrame
    at: float


class LakeSource:
    """Whole sessions of tables, a few of them kept in memory. Safe for threads."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self.lake, self._most = lake, settings.dashboard.stored
        self._lock = RLock()
        self._kept: dict[tuple[str, str, str], _Kept] = {}
        self._used: dict[tuple[str, str], float] = {}

    def sessions(self) -> list[tuple[str, str]]:
        """(underlier, session date) of every session with bars, the oldest first."""
        with self._lock:
            found = {(underlier, date) for date, underlier in complete(self.lake)}
            if self.lake.exists(BARS + SUFFIX):
                opened, table = self.lake.snapshot(BARS + SUFFIX), self.lake.table(BARS + SUFFIX)
                found |= {(p["underlier"], p["session_date"])
                          for p in read.partitions(opened, table) if p}  # fmt: skip
        return sorted(found, key=lambda s: (s[1], s[0]))

    def frame(self, table: str, underlier: str, date: str) -> pl.DataFrame:
        """A table's rows of one session; none where the lake has none.

        What was read some seconds ago is read again when the lake has something newer.
        Certificates are all that there are of the underlier.
        """
        key = (table, underlier, "" if table == PARITY else date)
        with self._lock:
            at = time.monotonic()
            self._used[underlier, date] = at
            kept = self._kept.get(key)
            if kept is None or at - kept.at > (0.0 if table == ALERTS else _FRESH_S):
                name, version = self._stands(table, underlier, date)
                if kept is None or (name, version) != (kept.name, kept.version):
                    kept = _Kept(name, version, self._read(table, name, key), at)
                self._kept[key] = replace(kept, at=at)
                self._let_go()
            return kept.rows

    def version(self, table: str) -> int:
        """How often a table was committed to; -1 before it is made."""
        return self.lake.open(table).version() if self.lake.exists(table) else -1

    def streamed(self, underlier: str, date: str) -> bool:
        """Whether the session is read from the stream's tables."""
        with self._lock:
            return (date, underlier) not in complete(self.lake, underlier)

    def _stands(self, table: str, underlier: str, date: str) -> tuple[str, int]:
        """The table that has the session, and its version; -1 where it is not made yet."""
        twin = table + SUFFIX
        name = twin if twin in self.lake.tables and self.streamed(underlier, date) else table
        known = name in self.lake.tables and self.lake.exists(name)
        return name, self.lake.open(name).version() if known else -1

    def _read(self, table: str, name: str, key: tuple[str, str, str]) -> pl.DataFrame:
        if name not in self.lake.tables or not self.lake.exists(name):
            return empty(table)
        found = self.lake.scan(name, filters=_session(self.lake, name, *key[1:]))
        frame = pl.from_arrow(found)
        assert isinstance(frame, pl.DataFrame)
        if frame.is_empty():
            return empty(table)
        once = frame.unique(identity(self.lake.table(table)), keep="any", maintain_order=True)
        return once.select(empty(table).columns)

    def _let_go(self) -> None:
        while len(self._used) > self._most:
            oldest = min(self._used, key=lambda s: self._used[s])
            del self._used[oldest]
            for key in [k for k in self._kept if k[1:] == oldest]:
                del self._kept[key]


def _session(lake: Lake, name: str, underlier: str, date: str) -> dict[str, Any] | None:
    columns = lake.table(name).by_name
    if "session_date" not in columns or "underlier" not in columns:
        return None
    of_day = {"session_date": str(dt.date.fromisoformat(date))} if date else {}
    return {"underlier": underlier, **of_day}
