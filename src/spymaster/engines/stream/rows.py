"""The rows of one epoch on their way into the `_stream` tables, session by session."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.bus import Message
from spymaster.contracts.stream import SUFFIX
from spymaster.engines.background import Background
from spymaster.engines.sink import Sink
from spymaster.engines.stream.feed import Taken, TopicFeed
from spymaster.feed.topic import Batch, Mark
from spymaster.lake import Lake, Part
from spymaster.market.sessions import session_date_of
from spymaster.settings import UnderlierSettings
from spymaster.stages.bronze_process_dbn import partitions
from spymaster.stages.envelope import mark_rows, topic_rows
from spymaster.stages.rows import Rows

STREAM = "bronze.stream"
#: Batches are laid together until there are so many records: a small piece costs as much.
_ENOUGH = 1 << 15
Key = tuple[str, str]  #: underlier, session_date


class EpochRows:
    """Gathers rows; `close` gives the files of each table, that no commit has named yet."""

    def __init__(
        self, lake: Lake, settings: Mapping[str, UnderlierSettings], feed: TopicFeed
    ) -> None:
        self.rows: dict[str, int] = defaultdict(int)
        self._lake, self._settings, self._feed = lake, settings, feed
        self._sinks: dict[Key, Sink] = {}
        self._topic = lake.writer(STREAM)
        self._thread = Background("bronze.stream")
        self._waiting: list[tuple[Message, Batch, NDArray[Any]]] = []
        self._told: list[tuple[Message, Mark]] = []
        self._count = 0

    def add(self, key: Key, kind: str, rows: list[Rows], data_version: str) -> None:
        """Rows of a session's stages."""
        if key not in self._sinks:
            underlier, date = key
            constants = {"data_version": data_version}
            self._sinks[key] = Sink(
                self._lake, dt.date.fromisoformat(date), underlier, constants, SUFFIX
            )
        self._sinks[key].add(rows, kind)

    def add_topic(self, taken: Taken) -> None:
        """What was read, for bronze.stream."""
        self._waiting += taken.batches
        self._count += taken.records
        self.rows[STREAM] += taken.records
        self._told += taken.told
        if self._count + len(self._told) >= _ENOUGH:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._thread.submit(self._write, self._waiting, self._feed.contracts[:])
            self._waiting, self._count = [], 0
        if self._told:
            self._thread.submit(self._marks, self._told)
            self._told = []

    def _write(
        self, batches: list[tuple[Message, Batch, NDArray[Any]]], contracts: list[Any]
    ) -> None:
        events = np.concatenate([e for _, _, e in batches])
        told = [(m.partition, m.offset, b, len(e)) for m, b, e in batches]
        for date, underlier, kind, at in partitions(contracts, events, self._settings):
            rows = topic_rows(told, events, at, contracts, (date, underlier, kind))
            self._topic.write(
                rows, {"session_date": date, "underlier": underlier, "instrument_type": kind}
            )

    def _marks(self, told: list[tuple[Message, Mark]]) -> None:
        """A mark is a row of each of its venue's underliers, under their main kind of contract."""
        for name, u in self._settings.items():
            mine = [
                (m.partition, m.offset, mark.ts_recv) for m, mark in told if mark.venue == u.venue
            ]
            kinds = {c.instrument_type for c in self._feed.contracts if c.underlier == name}
            if not mine or not kinds:
                continue
            kind = next(k for k in ("FUT", "STK", "OPT") if k in kinds)
            by_date: dict[dt.date, list[tuple[int, int, int]]] = defaultdict(list)
            for row in mine:
                by_date[session_date_of(u, row[2])].append(row)
            for date, rows in by_date.items():
                self._topic.write(
                    mark_rows(rows, u.venue, (date, name, kind)),
                    {"session_date": date, "underlier": name, "instrument_type": kind},
                )

    def close(self) -> dict[str, list[Part]]:
        """The files of each table, on disk for good."""
        self._flush()
        self._thread.wait()
        parts: dict[str, list[Part]] = defaultdict(list)
        parts[STREAM] = self._topic.close()
        for sink in self._sinks.values():
            for name, found in sink.close().items():
                parts[name] += found
            for name, n in sink.rows.items():
                self.rows[name + SUFFIX] += n
        return parts

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._thread.stop()
        self._topic.abandon()
        for sink in self._sinks.values():
            sink.abandon()
