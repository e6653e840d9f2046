"""The embedded bus: one SQLite file under the root, no server, many processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from types import TracebackType
from typing import Self

from spymaster.bus import checks
from spymaster.bus.database import connect, make, row_id, telling, writing
from spymaster.bus.embedded_producer import EmbeddedProducer
from spymaster.bus.embedded_reader import EmbeddedReader, message
from spymaster.bus.interface import Message
from spymaster.errors import BusError
from spymaster.lake.place import Place
from spymaster.settings import BusSettings

FILE = "bus/bus.sqlite"


class EmbeddedBus:
    """Topics in `{root}/bus/bus.sqlite`; one process writes at a time, any number read.

    Raises BusError where the root is no folder, or the file cannot be used.
    """

    def __init__(self, root: str, settings: BusSettings, now: Callable[[], int]) -> None:
        place = Place(root)
        if place.local is None:
            raise BusError(
                f"{root}: the embedded bus needs a folder on this machine. Name one with --root, "
                'or set bus.kind = "kafka".'
            )
        self._path = place.local / FILE
        self._settings, self._now = settings, now
        self._lock = RLock()
        make(self._path)
        self._db = connect(self._path)

    def create(self, topic: str, partitions: int) -> None:
        checks.named(topic)
        if partitions < 1:
            raise BusError(f"bus: topic {topic} needs 1 partition or more, not {partitions}.")
        with self._writing():
            found = self._found(topic)
            if found is None:
                made = self._db.execute(
                    "INSERT INTO topic (name, partitions) VALUES (?, ?)", (topic, partitions)
                ).lastrowid
                self._db.executemany(
                    "INSERT INTO lane (topic, partition) VALUES (?, ?)",
                    [(made, p) for p in range(partitions)],
                )
        if found is not None:
            checks.counted(topic, found, partitions)

    def partitions(self, topic: str) -> int:
        with self._lock, telling(self._path):
            found = self._found(topic)
            if found is None:
                raise self._absent(topic)
        return found

    def producer(self, name: str) -> EmbeddedProducer:
        return EmbeddedProducer(self._path, name, self._settings, self._now)

    def reader(self, topic: str, start: Mapping[int, int]) -> EmbeddedReader:
        checks.started(topic, start, self.begins(topic), self.ends(topic))
        return EmbeddedReader(self._path, topic, self._lanes(topic), start)

    def ends(self, topic: str) -> dict[int, int]:
        return self._column(topic, "next")

    def begins(self, topic: str) -> dict[int, int]:
        return self._column(topic, "begin")

    def last(self, topic: str, partition: int, before: int | None = None) -> Message | None:
        lanes = self._lanes(topic)
        checks.placed(topic, partition, len(lanes))
        lane = lanes[partition]
        below = row_id(lane + 1, 0) if before is None else row_id(lane, max(0, before))
        with self._lock, telling(self._path):
            row = self._db.execute(
                "SELECT id, time, key, headers, value FROM message WHERE id >= ? AND id < ?"
                " ORDER BY id DESC LIMIT 1",
                (row_id(lane, 0), below),
            ).fetchone()
        return None if row is None else message(topic, partition, row)

    def report(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        lanes = self._lanes(topic)
        for partition in offsets:
            checks.placed(topic, partition, len(lanes))
        with self._writing():
            self._db.executemany(
                "INSERT OR REPLACE INTO reported (team, lane, next) VALUES (?, ?, ?)",
                [(group, lanes[p], offset) for p, offset in offsets.items()],
            )

    def reported(self, group: str, topic: str) -> dict[int, int]:
        lanes = self._lanes(topic)
        with self._lock, telling(self._path):
            rows = self._db.execute("SELECT lane, next FROM reported WHERE team = ?", (group,))
            found = dict(rows.fetchall())
        return {p: found[lane] for p, lane in lanes.items() if lane in found}

    def groups(self, topic: str) -> list[str]:
        lanes = self._lanes(topic)
        with self._lock, telling(self._path):
            rows = self._db.execute("SELECT DISTINCT team, lane FROM reported").fetchall()
        return sorted({team for team, lane in rows if lane in lanes.values()})

    def drop_group(self, group: str, topic: str) -> None:
        lanes = self._lanes(topic)
        with self._writing():
            self._db.executemany(
                "DELETE FROM reported WHERE team = ? AND lane = ?",
                [(group, lane) for lane in lanes.values()],
            )

    def close(self) -> None:
        with self._lock:
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

    def _found(self, topic: str) -> int | None:
        row = self._db.execute("SELECT partitions FROM topic WHERE name = ?", (topic,)).fetchone()
        return None if row is None else int(row[0])

    def _absent(self, topic: str) -> BusError:
        return checks.no_topic(topic, [r[0] for r in self._db.execute("SELECT name FROM topic")])

    def _lanes(self, topic: str) -> dict[int, int]:
        return self._column(topic, "id")

    def _column(self, topic: str, name: str) -> dict[int, int]:
        with self._lock, telling(self._path):
            rows = self._db.execute(
                f"SELECT l.partition, l.{name} FROM lane l JOIN topic t ON t.id = l.topic"
                " WHERE t.name = ? ORDER BY l.partition",
                (topic,),
            ).fetchall()
            if not rows:
                raise self._absent(topic)
        return dict(rows)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, writing(self._db, self._path, self._settings.wait_s):
            yield
