"""The local stream engine: the same loop as history, with a source that does not end.

Messages of the topic in small intents, each written down before it is worked on; vectors to
`features_gold` at once; every few seconds an epoch of whole intents into the `_stream` tables. A
restart goes on where it was, whatever ended it (`engines/stream/epoch_loop.py`).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from spymaster.bus import Bus
from spymaster.engines.lease import Lease
from spymaster.engines.stream.committer import Pipeline, committed_offsets
from spymaster.engines.stream.epoch_loop import EpochLoop
from spymaster.engines.stream.live_work import ANEW, GROUP, NAMES, Contents, LiveWork
from spymaster.engines.stream.report import Rate
from spymaster.engines.stream.start import Start
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from spymaster.settings import Settings

log = logging.getLogger(__name__)

#: Messages behind the topic's end with which one is still up to date.
_BEHIND = 1_000


@dataclass(frozen=True)
class Counters:
    """What the engine has done since it began."""

    records: int
    intents: int
    sessions_ended: list[str] = field(default_factory=list)


class LiveEngine:
    """Live on one machine.

    `now` gives ns UTC. `intent_records`: at most so many records are worked on at a time (one
    message is never cut). `commit_s`: seconds between epochs. `quiet_s`: `run` returns when so
    long nothing came (None: never), with all that was read committed.
    """

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        now: Callable[[], int] = time.time_ns,
        *,
        intent_records: int = 100_000,
        commit_s: float = 10.0,
        quiet_s: float | None = None,
    ) -> None:
        self.settings, self.now = settings, now
        self._rate = Rate()
        run_id = uuid.uuid4().hex
        self.lake = Lake(settings.root, tag=run_id)
        self._loop = EpochLoop[Contents](
            self.lake,
            bus,
            Pipeline(GROUP, TOPIC, settings.bus.partitions, NAMES),
            run_id,
            now,
            anew=ANEW,
            commit_s=commit_s,
            quiet_s=quiet_s,
        )
        self._work = LiveWork(settings, self.lake, bus, run_id, now, intent_records)

    @property
    def folder(self) -> Path:
        """Where log and states lie."""
        return self._loop.folder

    @property
    def holds_lease(self) -> bool:
        """It is, or was, the one stream engine of its root."""
        return bool(self._loop.state)

    @property
    def vectors(self) -> int:
        """Vectors published."""
        return self._work.features.vectors

    def lease(self) -> Lease:
        """What only one stream engine of a root holds."""
        return self._loop.lease()

    def leave_state(self) -> None:
        """Leave the old state and begin anew where it stood; to be called under the lease.

        Sessions that have begun stay as they are in the tables, which only grow, and are not made
        again; the next ones are whole.
        """
        committed = committed_offsets(self.lake, NAMES[0], GROUP)
        start = Start.anew(self.folder, self._begun(), committed)
        log.info("the stream begins anew, for the %d. time", start.times)

    def _begun(self) -> dict[str, str]:
        """Of each underlier the last session that has rows."""
        begun: dict[str, str] = {}
        for p in self.lake.partitions("silver.mbo_normalized_stream"):
            date = begun.get(p["underlier"], "")
            begun[p["underlier"]] = max(date, p["session_date"])
        return begun

    def run(self, stop: Event | None = None) -> Counters:
        """Work until `stop` is set, or nothing comes for `quiet_s`; then drain and commit."""
        self._loop.run(self._work, stop or Event(), Event())
        work = self._work
        return Counters(work.records, work.intents, work.outlet.sessions_ended)

    def status(self) -> dict[str, Any]:
        """How it is, for `spymaster status`."""
        loop, work = self._loop, self._work
        if not loop.running:
            return {"state": "starting"}
        feed, committer = work.feed, loop.committer
        last, now = max(feed.last.values(), default=0), self.now()
        catching_up = loop.state == "live" and loop.behind >= _BEHIND
        return {
            "state": "catching up" if catching_up else loop.state,
            "records": work.records,
            "records_per_s": self._rate.per_second(work.records),
            "lag_s": (now - last) / 1e9 if last else None,
            "behind_messages": loop.behind,
            "last_ts_recv": last or None,
            "epoch": committer.committed,
            "committed_s_ago": (now - committer.at) / 1e9 if committer.at else None,
            "state_bytes": committer.state_bytes,
            "vectors": work.features.vectors,
            "sessions": work.sessions.names,
            "late": feed.late,
            "repeated": feed.repeated,
            "detail": f"epoch {committer.committed}, {loop.behind} messages behind, "
            f"{work.features.vectors} vectors, {len(work.sessions.names)} sessions open",
        }
