"""What the topics bring, as tables in memory: one follower for all clients of a page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, RLock, Thread
from types import TracebackType
from typing import Any, Self

import orjson
import polars as pl

from spymaster.bus import Bus, Message, open_bus
from spymaster.bus.embedded import FILE
from spymaster.contracts.topics import MESSAGES
from spymaster.dashboard.message import Rows
from spymaster.dashboard.pulse import Cadence, Motion
from spymaster.dashboard.shelf import Shelf
from spymaster.dashboard.times import TIME, empty, table_of
from spymaster.errors import BusError, SpymasterError
from spymaster.lake.place import Place
from spymaster.settings import Settings

log = logging.getLogger(__name__)

_FEATURES, _SCORES, _ERRORS = "features_gold", "inference_scores", "inference_errors"
_BARS = "gold.feature_series"
TOPICS = (_FEATURES, _SCORES, _ERRORS)
#: What no pane shows, and what would fill the memory.
_HEAVY: Mapping[str, Any] = {"feature_vector": [], "lookback_spec": ""}
_AGAIN_S = 1.0
#: The feed's own topic: how far it goes is looked at, not what it says.
_RECORDS, _RECORDS_S = "mbo_raw", 0.5


def _tables() -> dict[tuple[str, str], str]:
    """(topic, kind of message) -> table, as the contracts of the topics say."""
    found = {}
    for name, message in MESSAGES.items():
        if message.topic in TOPICS:
            kind = name.partition(".")[2] if message.topic == _FEATURES else ""
            found[message.topic, kind] = message.table.name
    return found


class LiveSource:
    """Follows the topics from the oldest message that is kept. As a context manager it runs.

    `changed` hears, on a thread of the source, of each table with new rows and of the earliest of
    their times, ns UTC. `state` is connecting, live or no bus; `reason` says why.
    """

    def __init__(
        self,
        settings: Settings,
        changed: Callable[[Mapping[str, int]], object] = lambda told: None,
    ) -> None:
        self.state, self.reason = "connecting", ""
        self.messages = 0
        self.version = 0  #: grows with every change
        self._settings, self._changed = settings, changed
        limits = settings.dashboard
        self._tables = _tables()
        self._shelves = {
            name: Shelf(table_of(name), limits.sessions, limits.most_rows)
            for name in dict.fromkeys(self._tables.values())
        }
        self._rows = {name: Rows(shelf.table) for name, shelf in self._shelves.items()}
        #: Where a topic is read on after the bus was gone: partition -> offset.
        self._offsets: dict[str, dict[int, int]] = {topic: {} for topic in TOPICS}
        self._cadences: dict[str, Cadence] = {}
        self._records = Motion()
        self._lock, self._stop = RLock(), Event()
        self._threads = [
            Thread(target=self._follow, args=(topic,), name=f"dashboard {topic}", daemon=True)
            for topic in TOPICS
        ]

    # Rows out

    def frame(self, table: str) -> pl.DataFrame:
        """Every row that is kept of a table; those of a table that no topic brings: none."""
        with self._lock:
            if table in self._shelves:
                return self._shelves[table].frame()
        return empty(table)

    def has(self, table: str) -> bool:
        """Whether a topic brings this table."""
        return table in self._shelves

    def sessions(self) -> list[tuple[str, str]]:
        """(underlier, session date) of the bars that are kept, the oldest first."""
        with self._lock:
            dates = self._shelves[_BARS].dates()
        return sorted(((u, d.isoformat()) for u, ds in dates.items() for d in ds),
                      key=lambda s: (s[1], s[0]))  # fmt: skip

    def heard(self, underlier: str) -> tuple[int, float]:
        """When an underlier's last bar was published, ns UTC, and when the next is late, in s.

        Zeros before its first; without an underlier, of the one that was heard last.
        """
        with self._lock:
            found = [c for u, c in self._cadences.items() if underlier in ("", u)]
        last = max(found, key=lambda c: c.last, default=Cadence())
        return last.last, last.late_s

    @property
    def records(self) -> int:
        """When a record was last seen to come, ns UTC; 0 before the first."""
        return self._records.last

    # Messages in

    def take(self, topic: str, messages: list[Message]) -> dict[str, int]:
        """Put messages on their shelves; table -> the earliest time that is new in it."""
        rows = [(m, *found) for m in messages if (found := self._row(topic, m)) is not None]
        since: dict[str, int] = {}
        with self._lock:
            for m, name, row in rows:
                if self._shelves[name].add(row):
                    if name == _BARS:
                        self._cadences.setdefault(row["underlier"], Cadence()).heard(m.time)
                    at = row[column] if (column := TIME.get(name)) else 0
                    since[name] = min(at, since.get(name, at))
            self.messages += len(messages)
            self.version += 1
        return since

    def _row(self, topic: str, m: Message) -> tuple[str, dict[str, Any]] | None:
        """A message's table and row; None, with a warning, for one that cannot be read."""
        kind = m.headers.get("kind", "") if topic == _FEATURES else ""
        name = self._tables.get((topic, kind))
        if name is None:
            return None
        try:
            return name, self._rows[name].row(orjson.loads(m.value), _heavy(name))
        except ValueError as error:
            told = "%s: message %d of partition %d is no row of %s (%s); it is left out"
            log.warning(told, topic, m.offset, m.partition, name, error)
            return None

    def _follow(self, topic: str) -> None:
        while not self._stop.is_set():
            try:
                self._check()
                with open_bus(self._settings) as bus:
                    self._read(bus, topic)
            except SpymasterError as error:
                self._tell(topic, "no bus", str(error))
            except Exception as error:
                log.exception("%s cannot be followed", topic)
                self._tell(topic, "no bus", f"{topic}: {error or type(error).__name__}")
            self._stop.wait(_AGAIN_S)

    def _check(self) -> None:
        """A page only looks: it makes no bus where there is none."""
        place = Place(self._settings.root)
        if self._settings.bus.kind != "embedded" or place.local is None:
            return
        path = Path(place.local) / FILE
        if not path.exists():
            raise BusError(
                f"{path}: no bus lies here yet. Start the feed: spymaster ingest and spymaster "
                f"live --root {self._settings.root}, or try a simulated one: make dashboard."
            )

    def _read(self, bus: Bus, topic: str) -> None:
        offsets = self._offsets[topic]
        begins, ends = bus.begins(topic), bus.ends(topic)
        for partition, begin in begins.items():
            # A topic that was made anew ends before what was read of the old one.
            if not begin <= offsets.get(partition, -1) <= ends[partition]:
                offsets[partition] = begin
        with bus.reader(topic, {p: offsets[p] for p in begins}) as reader:
            self._tell(topic, "live", "")
            looked = 0.0
            while not self._stop.is_set():
                if topic == _FEATURES and time.monotonic() - looked > _RECORDS_S:
                    looked = time.monotonic()
                    self._look(bus)
                messages = reader.poll(timeout=0.25)
                for m in messages:
                    offsets[m.partition] = m.offset + 1
                if messages and (since := self.take(topic, messages)):
                    self._changed(since)

    def _look(self, bus: Bus) -> None:
        """A bus of features alone has no records: then only bars tell."""
        with suppress(BusError):
            self._records.see(bus.ends(_RECORDS), time.time_ns())

    def _tell(self, topic: str, state: str, reason: str) -> None:
        if topic != _FEATURES or (state, reason) == (self.state, self.reason):
            return
        if reason:
            log.warning("%s", reason)
        self.state, self.reason = state, reason
        self._changed({})

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(10)


def _heavy(table: str) -> Mapping[str, Any]:
    return _HEAVY if table == "gold.setup_vectors" else {}
