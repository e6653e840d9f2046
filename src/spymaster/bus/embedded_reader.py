"""Reads the embedded bus, looking for commits often and cheaply."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spymaster.bus import checks
from spymaster.bus.database import connect, offset_of, row_id, telling
from spymaster.bus.interface import NO_HEADERS, POLL_BYTES, POLL_SECONDS, Message

#: Between two looks: short in a poll's first looks, then longer, in seconds.
_NAPS = (0.0003,) * 64 + (0.001,)


class EmbeddedReader:
    """One connection of its own; a partition that waits longest is read first."""

    def __init__(
        self, path: Path, topic: str, lanes: Mapping[int, int], start: Mapping[int, int]
    ) -> None:
        self._path, self._topic, self._lanes = path, topic, lanes
        self._next = dict(start)
        self._turn = list(start)
        self._seen = -1
        self._db = connect(path)

    def poll(self, max_bytes: int = POLL_BYTES, timeout: float = POLL_SECONDS) -> list[Message]:
        until, looks = time.monotonic() + timeout, 0
        with telling(self._path):
            while True:
                if found := self._new(max_bytes):
                    return found
                left = until - time.monotonic()
                if left <= 0:
                    return []
                time.sleep(min(left, _NAPS[min(looks, len(_NAPS) - 1)]))
                looks += 1

    def _new(self, max_bytes: int) -> list[Message]:
        # The version is read before the rows: a commit in between is seen at the next look.
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._seen:
            return []
        found: list[Message] = []
        for partition in list(self._turn):
            max_bytes -= self._read(partition, max_bytes, found)
            if max_bytes <= 0:
                return found
        if not found:
            self._seen = version
        return found

    def _read(self, partition: int, max_bytes: int, found: list[Message]) -> int:
        lane, size = self._lanes[partition], 0
        asked = (row_id(lane, self._next[partition]), row_id(lane + 1, 0))
        with closing(self._db.cursor()) as rows:
            rows.execute(
                "SELECT id, time, key, headers, value FROM message WHERE id >= ? AND id < ?"
                " ORDER BY id",
                asked,
            )
            for row in rows:
                new = message(self._topic, partition, row)
                if new.offset != self._next[partition]:
                    raise checks.gone(self._topic, partition, self._next[partition], new.offset)
                if found and size + len(new.value) > max_bytes:
                    size = max_bytes
                    break
                found.append(new)
                self._next[partition] += 1
                size += len(new.value)
                if size >= max_bytes:
                    break
        if size:
            self._turn.remove(partition)
            self._turn.append(partition)
        return size

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def message(topic: str, partition: int, row: tuple[Any, ...]) -> Message:
    """A message from its row: number, time, key, headers as JSON, value."""
    number, at, key, headers, value = row
    told = json.loads(headers) if headers else NO_HEADERS
    return Message(topic, partition, offset_of(number), key, value, told, at)
