"""Sessions that lie in the lake, as tables: history's where it is complete, else the stream's."""

from __future__ import annotations

import datetime as dt
import time
from collections import OrderedDict
from threading import RLock
from typing import Any

import polars as pl

from spymaster.contracts.stream import SUFFIX
from spymaster.dashboard.times import empty
from spymaster.lake import Lake, read
from spymaster.lake.lineage import complete
from spymaster.settings import Settings

BARS = "gold.feature_series"
_FRESH_S = 10.0


class LakeSource:
    """Whole sessions of tables, a few of them kept in memory. Safe for threads."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self.lake, self._most = lake, settings.dashboard.stored
        self._lock = RLock()
        self._kept: OrderedDict[tuple[str, str, str], pl.DataFrame] = OrderedDict()
        self._read_at: dict[tuple[str, str, str], float] = {}

    def sessions(self) -> list[tuple[str, str]]:
        """(underlier, session date) of every session with bars, the oldest first."""
        with self._lock:
            found = {(underlier, date) for date, underlier in complete(self.lake)}
            if self.lake.exists(BARS + SUFFIX):
                opened, table = self.lake.snapshot(BARS + SUFFIX), self.lake.table(BARS + SUFFIX)
                found |= {(p["underlier"], p["session_date"])
                          for p in read.partitions(opened, table) if p}  # fmt: skip
        return sorted(found, key=lambda s: (s[1], s[0]))

    def frame(self, table: str, underlier: str, date: str, *, fresh: bool = False) -> pl.DataFrame:
        """A table's rows of one session; none where the lake has none.

        `fresh`: a stream goes on with it, and what was read some seconds ago is read again.
        """
        key = (table, underlier, date)
        with self._lock:
            at = time.monotonic()
            if key not in self._kept or (fresh and at - self._read_at[key] > _FRESH_S):
                self._kept[key], self._read_at[key] = self._read(table, underlier, date), at
                while len({k[1:] for k in self._kept}) > self._most:
                    oldest = next(iter(self._kept))[1:]
                    for k in [k for k in self._kept if k[1:] == oldest]:
                        del self._kept[k], self._read_at[k]
            return self._kept[key]

    def streamed(self, underlier: str, date: str) -> bool:
        """Whether the session is read from the stream's tables."""
        with self._lock:
            return (date, underlier) not in complete(self.lake, underlier)

    def _read(self, table: str, underlier: str, date: str) -> pl.DataFrame:
        stream = self.streamed(underlier, date)
        twin = table + SUFFIX
        name = twin if stream and twin in self.lake.tables else table
        known = name in self.lake.tables and self.lake.exists(name)
        if not known:
            return empty(table)
        found = self.lake.scan(name, filters=_session(self.lake, name, underlier, date))
        frame = pl.from_arrow(found)
        assert isinstance(frame, pl.DataFrame)
        return frame.select(empty(table).columns) if not frame.is_empty() else empty(table)


def _session(lake: Lake, name: str, underlier: str, date: str) -> dict[str, Any] | None:
    columns = lake.table(name).by_name
    if "session_date" not in columns or "underlier" not in columns:
        return None
    return {"underlier": underlier, "session_date": str(dt.date.fromisoformat(date))}
