"""Epochs into the lake, on a thread of their own: the way from bar to vector does not wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spymaster.bus import Bus
from spymaster.engines.background import Background
from spymaster.engines.epoch import EpochLog, State
from spymaster.lake import Lake, Part
from spymaster.lake.tidy import tidy


class Made(Protocol):
    """What an epoch's intents came to."""

    @property
    def ended(self) -> Sequence[Mapping[str, str]]:
        """Partitions of sessions that get no more rows."""

    def share(self, lake: Lake, app: str) -> None:
        """Commit rows of tables that other pipelines append to as well; `app` is this epoch's."""

    def files(self) -> Mapping[str, list[Part]]:
        """The files of each table, on disk for good."""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table that has few and no files of its own."""


@dataclass(frozen=True)
class Cut:
    """An epoch: its intents, what they made, the state after it, the offsets read next."""

    e: int
    first: int
    last: int
    made: Made
    state: State
    offsets: Mapping[int, int]


@dataclass(frozen=True)
class Pipeline:
    """Who commits: the topic it reads, as which group, and the tables of its epochs.

    Several pipelines may write to one table, each under its own application.

    `partitions`: of the topic. `app`: the application of its Delta transactions.
    """

    group: str
    topic: str
    partitions: int
    tables: Sequence[str]
    app: str = ""


class Committer:
    """Takes epochs in their order; an error of one is raised at the next call."""

    def __init__(
        self, lake: Lake, bus: Bus, epochs: EpochLog, now: Callable[[], int], pipeline: Pipeline
    ) -> None:
        self.committed = 0  #: the last epoch that is in all tables
        self.at = 0  #: when, ns UTC
        self.state_bytes = 0
        self._lake, self._bus, self._epochs, self._now = lake, bus, epochs, now
        self._pipeline = pipeline
        self._thread = Background("commit")
        self._busy = False

    @property
    def busy(self) -> bool:
        """An epoch is being committed."""
        return self._busy

    def submit(self, cut: Cut) -> None:
        """Commit an epoch behind those given before."""
        self._busy = True
        self._thread.submit(self._commit, cut)

    def wait(self) -> None:
        """Return when all is committed; raises what went wrong."""
        self._thread.wait()

    def stop(self) -> None:
        """End after what was given, raising nothing."""
        self._thread.stop()

    def _commit(self, cut: Cut) -> None:
        mine = self._pipeline
        try:
            commit(self._lake, self._epochs, cut, mine)
            self.committed, self.at = cut.e, self._now()
            self.state_bytes = len(cut.state.data)
            self._bus.report(mine.group, mine.topic, cut.offsets)
            if cut.made.ended:
                tidy(self._lake, mine.tables, cut.made.ended, self._now(), mine.group)
        finally:
            self._busy = False


def committed_offsets(lake: Lake, table: str, group: str) -> dict[int, int]:
    """Up to where the topic lies in a group's first table; {} if nowhere."""
    if not lake.exists(table):
        return {}
    for told in lake.open(table).history():
        if "offsets" in told and told.get("group") == group:
            return {int(p): int(o) for p, o in json.loads(told["offsets"]).items()}
    return {}


def commit(lake: Lake, epochs: EpochLog, cut: Cut, pipeline: Pipeline) -> None:
    """Steps 4 and 5 of the protocol: the epoch is recorded, committed to every table, and kept."""
    epochs.epoch(cut.e, cut.first, cut.last)
    cut.made.share(lake, f"{pipeline.app}/{cut.e}")
    parts = cut.made.files()
    info: dict[str, Any] = {
        "group": pipeline.group,
        "epoch": cut.e,
        "intents": f"{cut.first}-{cut.last}",
        "offsets": json.dumps(dict(cut.offsets)),
        "state": cut.state.digest,
    }
    try:
        for name in pipeline.tables:
            app = (f"{pipeline.app}/{name}", cut.e)
            epochs.check()
            if rows := cut.made.rows(name):
                lake.append_rows(name, rows, app=app, info=info)
            else:
                lake.append(name, parts.get(name, []), app=app, info=info)
    except BaseException:
        # Whoever replays the epoch makes its files anew; one that was replaced leaves none behind.
        for name, made in parts.items():
            lake.discard(name, made)
        raise
    epochs.save(cut.state)
