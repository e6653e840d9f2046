"""Epochs into the lake, on a thread of their own: the way from bar to vector does not wait."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spymaster.bus import Bus
from spymaster.contracts.stream import TABLES
from spymaster.engines.background import Background
from spymaster.engines.epoch import EpochLog, State
from spymaster.engines.stream.rows import LINEAGE, EpochRows
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from spymaster.lake.tidy import tidy

log = logging.getLogger(__name__)

GROUP = "live"


@dataclass(frozen=True)
class Cut:
    """An epoch: its intents, its rows, the state after it, the offsets that are read next.

    `ended`: partitions of sessions that ended in it.
    """

    e: int
    first: int
    last: int
    rows: EpochRows
    state: State
    offsets: Mapping[int, int]
    ended: tuple[Mapping[str, str], ...] = ()


class Committer:
    """Takes epochs in their order; an error of one is raised at the next call."""

    def __init__(
        self, lake: Lake, bus: Bus, epochs: EpochLog, now: Callable[[], int], app: str = GROUP
    ) -> None:
        self.committed = 0  #: the last epoch that is in all tables
        self.at = 0  #: when, ns UTC
        self.state_bytes = 0
        self._lake, self._bus, self._epochs, self._now = lake, bus, epochs, now
        self._app = app
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
        try:
            commit(self._lake, self._epochs, cut, self._app)
            self.committed, self.at = cut.e, self._now()
            self.state_bytes = len(cut.state.data)
            self._bus.report(GROUP, TOPIC, cut.offsets)
            if cut.ended:
                tidy(self._lake, [t.name for t in TABLES], cut.ended, self._now())
        finally:
            self._busy = False


def committed_offsets(lake: Lake) -> dict[int, int]:
    """Up to where the topic lies in bronze.stream, the first table of an epoch; {} if nowhere."""
    if not lake.exists(TABLES[0].name):
        return {}
    for told in lake.open(TABLES[0].name).history():
        if "offsets" in told:
            return {int(p): int(o) for p, o in json.loads(told["offsets"]).items()}
    return {}


def commit(lake: Lake, epochs: EpochLog, cut: Cut, app_id: str = GROUP) -> None:
    """Steps 4 and 5 of the protocol: the epoch is recorded, committed to every table, and kept."""
    epochs.epoch(cut.e, cut.first, cut.last)
    parts = cut.rows.close()
    info: dict[str, Any] = {
        "epoch": cut.e,
        "intents": f"{cut.first}-{cut.last}",
        "offsets": json.dumps(dict(cut.offsets)),
        "state": cut.state.digest,
    }
    for table in TABLES:
        app = (f"{app_id}/{table.name}", cut.e)
        epochs.check()
        if table.name == LINEAGE and cut.rows.lineage:
            lake.append_rows(LINEAGE, cut.rows.lineage, app=app, info=info)
        else:
            lake.append(table.name, parts.get(table.name, []), app=app, info=info)
    epochs.save(cut.state)
