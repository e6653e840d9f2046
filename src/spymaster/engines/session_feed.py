"""A session's files, day by day, on their way to whoever takes them: events, gaps, clock marks."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from spymaster.engines.bronze_file import FileRead
from spymaster.engines.source import Source
from spymaster.market.clock import utc_midnight
from spymaster.market.identify import Instrument
from spymaster.market.sessions import Session

Row = dict[str, Any]
#: Manifest rows of a UTC day, "yyyymmdd".
Day = tuple[str, tuple[Row, ...]]
Progress = Callable[[str, int], None]


class Taker(Protocol):
    """Whoever a session's feed is for."""

    session: Session

    def begin_file(self) -> None: ...
    def advance(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> None: ...
    def gap(self, ts_recv: int, reason: str) -> None: ...
    def reached_by(self, from_ts: int, to_ts: int) -> bool: ...
    def close(self, mark: int) -> None: ...


class SessionFeed:
    """Reads days in order and hands on what is in them; without a taker it only reads.

    `before` gives the gaps that stand before a manifest row's file. `reads`: the files; `missing`:
    days without one that the session needs; `read_s`, `taken_s`: seconds of reading and of taking.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        before: Callable[[Row], Sequence[Row]],
        taker: Taker | None,
        now: Callable[[], int],
        progress: Progress = lambda name, records: None,
    ) -> None:
        self.reads: list[FileRead] = []
        self.missing: list[str] = []
        self.read_s = self.taken_s = 0.0
        self._name, self._source, self._before, self._taker = name, source, before, taker
        self._now, self._progress = now, progress

    def run(self, days: Sequence[Day]) -> None:
        """Hand all of it on."""
        for _ in self.steps(days):
            pass

    def steps(self, days: Sequence[Day]) -> Iterator[None]:
        """Hand all of it on; yields after each piece."""
        for day, rows in days:
            yield from self._day(day, rows)

    def _day(self, day: str, rows: Sequence[Row]) -> Iterator[None]:
        taker = self._taker
        if not rows:
            if taker is not None and taker.session.utc_days()[-1].strftime("%Y%m%d") != day:
                # A day that the session needs before its last one has no file: a named gap.
                taker.gap(midnight(day), f"no file of {day}")
                self.missing.append(day)
            return
        marks = []
        for row in sorted(rows, key=lambda r: (r["start"], r["path"])):
            if taker is not None:
                for gap in self._before(row):
                    if taker.reached_by(gap["from_ts"], gap["to_ts"]):
                        taker.gap(gap["from_ts"], gap["reason"])
            yield from self._read(row)
            read = self._source.last_read
            if read.last_mark is not None:
                marks.append(read.last_mark)
            if read.damage and taker is not None:
                since = midnight(day) if read.last_mark is None else read.last_mark
                taker.gap(since, f"{row['path']} ends early: {read.damage}")
        if marks and taker is not None:
            taker.close(max(marks))

    def _read(self, row: Row) -> Iterator[None]:
        started = time.perf_counter()
        inside = 0.0
        if self._taker is not None:
            self._taker.begin_file()
        for contracts, events in self._source.events(row, self._now):
            at = time.perf_counter()
            if self._taker is not None:
                self._taker.advance(contracts, events)
            inside += time.perf_counter() - at
            self._progress(self._name, self._source.last_read.records)
            yield
        self.reads.append(self._source.last_read)
        self.taken_s += inside
        self.read_s += time.perf_counter() - started - inside


def midnight(day: str) -> int:
    """The start of a UTC day given as "yyyymmdd", ns UTC."""
    return utc_midnight(dt.datetime.strptime(day, "%Y%m%d").date())
