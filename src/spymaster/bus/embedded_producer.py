"""Writes to the embedded bus: what was published since the last flush is one transaction."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Self

from spymaster.bus import checks
from spymaster.bus.database import connect, row_id, telling, writing
from spymaster.bus.interface import NO_HEADERS
from spymaster.bus.retention import give_back, held_bytes, holder, trim
from spymaster.errors import BusError
from spymaster.settings import BusSettings

_log = logging.getLogger(__name__)

#: Retention deletes at least this many bytes a transaction, if there are, and twice what comes in.
_PIECE = 4_000_000
#: Retention's piece while the producer waits for room.
_PIECE_WHEN_FULL = 64_000_000
#: How often a producer that waits looks for room, in seconds.
_LOOK = 0.01
#: A log past this size waits for its readers and starts anew, in bytes.
_LONG_LOG = 64 << 20


class _Waiting(NamedTuple):
    topic: str
    partition: int
    time: int
    size: int
    key: str | None
    headers: str | None
    value: bytes


class _Topic(NamedTuple):
    number: int
    lanes: tuple[int, ...]


@lru_cache(maxsize=1 << 10)
def _json(headers: tuple[tuple[str, str], ...]) -> str:
    """Headers as they lie in the file; most messages have those of the one before."""
    return json.dumps(dict(headers))


class EmbeddedProducer:
    """One connection of its own; commits reach the disk before `flush` returns."""

    def __init__(
        self, path: Path, name: str, settings: BusSettings, now: Callable[[], int]
    ) -> None:
        self.name = name
        self._path, self._settings, self._now = path, settings, now
        self._topics: dict[str, _Topic] = {}
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._doubt: tuple[int, _Waiting] | None = None
        self._long_log = _LONG_LOG
        self._lock = Lock()
        self._db = connect(path, "FULL")

    def publish(
        self,
        topic: str,
        value: bytes,
        *,
        partition: int,
        key: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        size = checks.size(key, value, headers)
        checks.fits(topic, size, self._settings.max_message_bytes)
        checks.placed(topic, partition, len(self._topic(topic).lanes))
        with self._lock:
            if self._waiting and self._bytes + size > self._settings.buffer_bytes:
                self._write()
            told = _json(tuple(headers.items())) if headers else None
            self._waiting.append(_Waiting(topic, partition, self._now(), size, key, told, value))
            self._bytes += size

    def flush(self) -> None:
        with self._lock:
            if self._waiting:
                self._write()

    def close(self) -> None:
        with self._lock:
            self._waiting, self._bytes = [], 0
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    def _topic(self, topic: str) -> _Topic:
        if topic not in self._topics:
            with telling(self._path):
                rows = self._db.execute(
                    "SELECT l.topic, l.id FROM lane l JOIN topic t ON t.id = l.topic"
                    " WHERE t.name = ? ORDER BY l.partition",
                    (topic,),
                ).fetchall()
                if not rows:
                    known = [r[0] for r in self._db.execute("SELECT name FROM topic")]
                    raise checks.no_topic(topic, known)
            self._topics[topic] = _Topic(rows[0][0], tuple(lane for _, lane in rows))
        return self._topics[topic]

    def _write(self) -> None:
        """Commit what waits, once there is room for it."""
        until, told = time.monotonic() + self._settings.wait_s, False
        while (full := self._commit(_PIECE_WHEN_FULL if told else _PIECE)) is not None:
            if time.monotonic() >= until:
                raise BusError(
                    f"{full}. Producer {self.name} waited {self._settings.wait_s:g} s. Start that "
                    "group again, drop it if it is no more, or raise bus.embedded.max_bytes."
                )
            if not told:
                _log.warning("%s. Producer %s waits", full, self.name)
            told = True
            time.sleep(_LOOK)
        if told:
            _log.info("bus: producer %s goes on", self.name)
        self._waiting, self._bytes, self._doubt = [], 0, None
        self._start_log_anew()

    def _commit(self, piece: int) -> str | None:
        """One transaction: retention, then the messages; why not, where a topic is full."""
        coming = dict.fromkeys((m.topic for m in self._waiting), 0)
        for m in self._waiting:
            coming[m.topic] += m.size
        with writing(self._db, self._path, self._settings.wait_s):
            if self._landed():
                return None
            for name, size in coming.items():
                if full := self._make_room(name, size, max(piece, 2 * size)):
                    return full
            give_back(self._db)
            self._insert()
        return None

    def _make_room(self, name: str, coming: int, piece: int) -> str | None:
        limits, topic = self._settings.embedded, self._topic(name).number
        trim(self._db, topic, limits, self._now(), coming, piece)
        held = held_bytes(self._db, topic)
        if held + coming <= limits.max_bytes:
            return None
        return (
            f"bus: topic {name} is full: {held:,} of {limits.max_bytes:,} bytes; "
            f"{holder(self._db, topic)}"
        )

    def _insert(self) -> None:
        lanes = [self._topic(m.topic).lanes[m.partition] for m in self._waiting]
        after = {lane: self._next(lane) for lane in set(lanes)}
        added = dict.fromkeys(after, 0)
        rows = []
        for lane, m in zip(lanes, self._waiting, strict=True):
            rows.append((row_id(lane, after[lane]), m.time, m.size, m.key, m.headers, m.value))
            after[lane] += 1
            added[lane] += m.size
        self._doubt = (rows[-1][0], self._waiting[-1])
        self._db.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._db.executemany(
            "UPDATE lane SET next = ?, bytes = bytes + ? WHERE id = ?",
            [(end, added[lane], lane) for lane, end in after.items()],
        )

    def _next(self, lane: int) -> int:
        found = self._db.execute("SELECT next FROM lane WHERE id = ?", (lane,)).fetchone()
        return int(found[0])

    def _landed(self) -> bool:
        """Whether the last try, which ended in an error, is in the file nevertheless."""
        if self._doubt is None:
            return False
        row, m = self._doubt
        found = self._db.execute("SELECT time, value FROM message WHERE id = ?", (row,)).fetchone()
        return bool(found == (m.time, m.value))

    def _start_log_anew(self) -> None:
        """Readers that never rest would let the log grow: wait for them, a moment at most."""
        try:
            size = os.stat(f"{self._path}-wal").st_size
        except OSError:
            return
        if size < self._long_log:
            return
        try:
            self._db.execute("PRAGMA busy_timeout = 200")
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            self._db.execute("PRAGMA busy_timeout = 5000")
        except sqlite3.Error as e:
            # The messages are safe in the log; a later flush meets the cause, if it stays.
            _log.warning("%s: the log cannot be moved into the file (%s)", self._path, e)
            busy = 1
        self._long_log = size + _LONG_LOG if busy else _LONG_LOG
