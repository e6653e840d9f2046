"""The scoring loop: vectors of the topic to their model, scores to the topic and into the lake.

By the epoch protocol, as the stream that makes the vectors (`engines/stream/epoch_loop.py`): each
intent names the messages and the model's version before the endpoint is asked, so that a retry
asks the same version for the same vectors. The endpoint is called at least once, and the tables
have each score exactly once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from spymaster.bus import Bus
from spymaster.engines.lease import Lease
from spymaster.engines.stream.committer import Pipeline, committed_offsets
from spymaster.engines.stream.epoch_loop import EpochLoop
from spymaster.engines.stream.features import TOPIC
from spymaster.engines.stream.start import Start
from spymaster.lake import Lake
from spymaster.scoring.line import Line
from spymaster.scoring.vector import Told
from spymaster.scoring.work import NAMES, Counters, ScoringWork
from spymaster.settings import Settings

ANEW = "spymaster score --fresh"


class ScoringLoop:
    """Scores the vectors of one line.

    `every_s`: vectors wait so long for others to be asked about together (0: at once; None: as the
    settings say).
    `commit_s`: seconds between epochs. `quiet_s`: `run` returns when so long nothing came.
    `now` gives ns UTC.
    """

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        line: Line,
        now: Callable[[], int] = time.time_ns,
        *,
        every_s: float | None = None,
        commit_s: float = 10.0,
        quiet_s: float | None = None,
    ) -> None:
        self.settings, self.line = settings, line
        self.counters = Counters()
        run_id = uuid.uuid4().hex
        self.lake = Lake(settings.root, tag=run_id)
        self._loop = EpochLoop[list[Told]](
            self.lake,
            bus,
            Pipeline(line.name, TOPIC, settings.bus.partitions, NAMES),
            run_id,
            now,
            anew=ANEW,
            commit_s=commit_s,
            quiet_s=quiet_s,
        )
        every = settings.scoring.every_s if every_s is None else every_s
        self._work = ScoringWork(settings, self.lake, bus, line, now, self.counters, every, ANEW)

    @property
    def group(self) -> str:
        """Its pipeline."""
        return self.line.name

    @property
    def status_file(self) -> str:
        """The name of its status file."""
        return self.line.called.status_file

    @property
    def folder(self) -> Path:
        """Where log and states lie."""
        return self._loop.folder

    @property
    def holds_lease(self) -> bool:
        """It is, or was, the one loop of its line."""
        return bool(self._loop.state)

    def lease(self) -> Lease:
        """What only one loop of a line holds."""
        return self._loop.lease()

    def leave_state(self) -> None:
        """Leave the old state and begin anew where it stood; to be called under the lease."""
        # A table may lack the epoch that another has; what comes again is known by its hash.
        found = [committed_offsets(self.lake, name, self.line.name) for name in NAMES]
        committed = {p: min(f.get(p, 0) for f in found) for f in found for p in f}
        Start.anew(self.folder, {}, committed)

    def run(self, stop: Event | None = None, drain: Event | None = None) -> Counters:
        """Work until `stop` is set, or nothing comes for `quiet_s`; then commit what was done.

        When `drain` is set it ends as soon as all that is there has its score, or must wait.
        """
        ends = stop or Event(), drain or Event()
        self._work.ends = ends
        self._loop.run(self._work, *ends)
        return self.counters

    def status(self) -> dict[str, Any]:
        """How it is, for `spymaster status`."""
        c, loop = self.counters, self._loop
        if not loop.running:
            return {"state": "starting"}
        desk = self._work.desk
        return {
            "state": "waiting" if desk.waits and loop.state == "live" else loop.state,
            "scored": c.scored,
            "given_up": c.given_up,
            "repeated": c.repeated,
            "outcomes": c.outcomes,
            "behind_messages": loop.behind,
            "model_version": desk.version,
            "serves": desk.serves,
            "endpoint": self.line.endpoint.url,
            "breaker": desk.breaker,
            "retries": desk.retries,
            "last_error": desk.waits or None,
            "epoch": loop.committer.committed,
            "detail": f"{c.scored:,} scores by version {desk.version or '?'}, {c.given_up} given "
            f"up, {loop.behind} messages behind" + (f"; waits: {desk.waits}" if desk.waits else ""),
        }
