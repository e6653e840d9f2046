"""What the topics bring, as tables in memory: one follower for all clients of a page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, RLock, Thread
from types import TracebackType
from typing import Any, Self

import orjson
import polars as pl

from spymaster.bus import Bus, Message, open_bus
from spymaster.bus.embedded import FILE
from spymaster.contracts.topics import MESSAGES
from spymaster.dashboard.derived import episodes, outcomes
from spymaster.dashboard.shelf import Shelf, plain
from spymaster.dashboard.times import TIME, empty, table_of
from spymaster.errors import BusError, SpymasterError
from spymaster.lake.place import Place
from spymaster.settings import Settings

log = logging.getLogger(__name__)

_FEATURES, _SCORES, _ERRORS = "features_gold", "inference_scores", "inference_errors"
TOPICS = (_FEATURES, _SCORES, _ERRORS)
#: What no pane shows, and what would fill the memory.
_HEAVY: Mapping[str, Any] = {"feature_vector": [], "lookback_spec": ""}
_AGAIN_S = 1.0
EPISODES, OUTCOMES = "silver.level_approach_2m", "gold.score_outcomes_stream"


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
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.state, self.reason = "connecting", ""
        self.arrived = 0  #: when the last message of features_gold came, ns UTC of this machine
        self.messages = 0
        self.version = 0  #: grows with every change
        self._settings, self._changed, self._now = settings, changed, now
        limits = settings.dashboard
        self._tables = _tables()
        self._shelves = {
            name: Shelf(table_of(name), limits.sessions, limits.most_rows)
            for name in dict.fromkeys(self._tables.values())
        }
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
            if table == EPISODES:
                return episodes(self.frame("gold.setup_vectors"), self.frame("gold.labels"))
            if table == OUTCOMES:
                return outcomes(self.frame("gold.inference_scores_stream"),
                                self.frame("gold.labels"))  # fmt: skip
        return empty(table)

    def has(self, table: str) -> bool:
        """Whether a topic brings this table."""
        return table in self._shelves or table in (EPISODES, OUTCOMES)

    def sessions(self) -> list[tuple[str, str]]:
        """(underlier, session date) of the bars that are kept, the oldest first."""
        with self._lock:
            dates = self._shelves["gold.feature_series"].dates()
        return sorted(((u, d.isoformat()) for u, ds in dates.items() for d in ds),
                      key=lambda s: s[1])  # fmt: skip

    # Messages in

    def take(self, topic: str, messages: list[Message]) -> dict[str, int]:
        """Put messages on their shelves; table -> the earliest time that is new in it."""
        by_table: dict[str, list[Mapping[str, Any]]] = {}
        for m in messages:
            kind = m.headers.get("kind", "") if topic == _FEATURES else ""
            name = self._tables.get((topic, kind))
            if name is None:
                continue
            try:
                told = orjson.loads(m.value)
                by_table.setdefault(name, []).append({**told, **_heavy(name)})
            except (ValueError, TypeError):
                log.warning(
                    "%s: message %d of partition %d is no JSON object; it is left out",
                    topic,
                    m.offset,
                    m.partition,
                )
        since: dict[str, int] = {}
        with self._lock:
            for name, told_rows in by_table.items():
                shelf, column = self._shelves[name], TIME.get(name)
                rows = [r for r in plain(told_rows, shelf.table) if shelf.add(r)]
                if rows:
                    since[name] = min(r[column] for r in rows) if column else 0
            self.messages += len(messages)
            self.version += 1
            if topic == _FEATURES:
                self.arrived = self._now()
        return since

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
        with bus.reader(topic, bus.begins(topic)) as reader:
            self._tell(topic, "live", "")
            while not self._stop.is_set():
                messages = reader.poll(timeout=0.25)
                if messages and (since := self.take(topic, messages)):
                    self._changed(since)

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
