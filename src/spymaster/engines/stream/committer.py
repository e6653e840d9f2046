"""Epochs into the lake, on a thread of their own: the way from bar to vector does not wait."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spymaster.bus import Bus
from spymaster.contracts.stream import SUFFIX, TABLES
from spymaster.engines.background import Background
from spymaster.engines.epoch import EpochLog, State
from spymaster.engines.stream.outlet import Made
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from spymaster.lake.tidy import tidy
from spymaster.stages.vector_spec import spec_hash, vector_spec_rows

log = logging.getLogger(__name__)

GROUP = "live"
LINEAGE = "lineage" + SUFFIX


@dataclass(frozen=True)
class Cut:
    """An epoch: its intents, what they made, the state after it, the offsets read next."""

    e: int
    first: int
    last: int
    made: Made
    state: State
    offsets: Mapping[int, int]


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
            if cut.made.ended:
                tidy(self._lake, [t.name for t in TABLES], cut.made.ended, self._now())
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
    _commit_shared(lake, cut, app_id)
    parts = cut.made.rows.close()
    info: dict[str, Any] = {
        "epoch": cut.e,
        "intents": f"{cut.first}-{cut.last}",
        "offsets": json.dumps(dict(cut.offsets)),
        "state": cut.state.digest,
    }
    for table in TABLES:
        app = (f"{app_id}/{table.name}", cut.e)
        epochs.check()
        if table.name == LINEAGE and cut.made.lineage:
            lake.append_rows(LINEAGE, cut.made.lineage, app=app, info=info)
        else:
            lake.append(table.name, parts.get(table.name, []), app=app, info=info)
    epochs.save(cut.state)


def _commit_shared(lake: Lake, cut: Cut, app_id: str) -> None:
    """Tables that other pipelines append to as well: only what is there, once."""
    if cut.made.refused:
        app = f"{app_id}/bronze.quarantine/{cut.e}"
        lake.append_rows("bronze.quarantine", cut.made.refused, app=(app, 1))
    for spec in cut.made.specs:
        app = f"gold.vector_spec/{spec_hash(spec)}"
        if lake.transaction_version("gold.vector_spec", app) is None:
            lake.append_rows("gold.vector_spec", vector_spec_rows(spec), app=(app, 1))
