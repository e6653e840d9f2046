"""The local stream engine: the same loop as history, with a source that does not end.

Messages of the topic in small intents, each written down before it is worked on; vectors to
`features_gold` at once; every few seconds an epoch of whole intents into the `_stream` tables. A
restart goes on where it was, whatever ended it (`engines/epoch.py`).
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from spymaster.bus import Bus, Message
from spymaster.contracts.stream import TABLES
from spymaster.engines.epoch import EpochLog, Intent, State
from spymaster.engines.lease import Lease
from spymaster.engines.stream import features
from spymaster.engines.stream.committer import Committer, Cut, Pipeline, committed_offsets
from spymaster.engines.stream.features import Features
from spymaster.engines.stream.feed import (
    Broken,
    TopicFeed,
    state_bytes,
)
from spymaster.engines.stream.intake import Intake, check_offsets
from spymaster.engines.stream.outlet import Outlet
from spymaster.engines.stream.report import Rate
from spymaster.engines.stream.rows import EpochRows
from spymaster.engines.stream.sessions import OpenSessions
from spymaster.engines.stream.start import Start
from spymaster.errors import LakeError
from spymaster.feed.topic import TOPIC, Batch, Content
from spymaster.kernel.state import pack, unpack
from spymaster.lake import Lake
from spymaster.lake import lineage as provenance
from spymaster.lake.sweep import sweep
from spymaster.settings import Settings

log = logging.getLogger(__name__)

#: Seconds without messages after which the loop looks around (marks, stop, commits).
_POLL = 0.05
#: Messages behind the topic's end with which one is still up to date.
_BEHIND = 1_000
_ANEW = "spymaster live --fresh"
GROUP = "live"


@dataclass
class Counters:
    """What the engine has done since it began."""

    records: int = 0
    intents: int = 0
    sessions_ended: list[str] = field(default_factory=list)
    state: str = ""


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
        self.counters = Counters()
        self._rate = Rate()
        self._bus = bus
        self._intent_records, self._commit_s, self._quiet_s = intent_records, commit_s, quiet_s
        self._run_id = uuid.uuid4().hex
        self.lake = Lake(settings.root, tag=self._run_id)

    @property
    def folder(self) -> Path:
        """Where log and states lie."""
        local = self.lake.place.local
        if local is None:
            raise LakeError(
                f"{self.lake.root}: the local stream engine keeps its log on a local disk. Use a "
                "folder as root, or the Spark engine."
            )
        return local / "lake/checkpoints" / GROUP

    @property
    def holds_lease(self) -> bool:
        """It is, or was, the one stream engine of its root."""
        return bool(self.counters.state)

    @property
    def vectors(self) -> int:
        """Vectors published."""
        return self._features.vectors

    def begin_anew(self) -> None:
        """Leave the old state and begin anew where it stood.

        Sessions that have begun stay as they are in the tables, which only grow, and are not made
        again; the next ones are whole.
        """
        with Lease(self.lake.place, self._run_id, self.now, GROUP):
            committed = committed_offsets(self.lake, TABLES[0].name, GROUP)
            start = Start.anew(self.folder, self._begun(), committed)
            log.info("the stream begins anew, for the %d. time", start.times)

    def _begun(self) -> dict[str, str]:
        """Of each underlier the last session that has rows."""
        begun: dict[str, str] = {}
        for p in self.lake.partitions("silver.mbo_normalized_stream"):
            date = begun.get(p["underlier"], "")
            begun[p["underlier"]] = max(date, p["session_date"])
        return begun

    def status(self) -> dict[str, Any]:
        """How it is, for `spymaster status`."""
        c = self.counters
        if c.state in ("", "starting"):
            return {"state": "starting"}
        last = max(self.feed.last.values(), default=0)
        now = self.now()
        behind = sum(max(0, o - self._intake.offsets.get(p, 0)) for p, o in self._ends.items())
        catching_up = c.state == "live" and behind >= _BEHIND
        return {
            "state": "catching up" if catching_up else c.state,
            "records": c.records,
            "records_per_s": self._rate.per_second(c.records),
            "lag_s": (now - last) / 1e9 if last else None,
            "behind_messages": behind,
            "last_ts_recv": last or None,
            "epoch": self._committer.committed,
            "committed_s_ago": (now - self._committer.at) / 1e9 if self._committer.at else None,
            "state_bytes": self._committer.state_bytes,
            "vectors": self._features.vectors,
            "sessions": self._sessions.names,
            "late": self.feed.late,
            "repeated": self.feed.repeated,
            "detail": f"epoch {self._committer.committed}, {behind} messages behind, "
            f"{self._features.vectors} vectors, {len(self._sessions.names)} sessions open",
        }

    def run(self, stop: Event | None = None) -> Counters:
        """Work until `stop` is set, or nothing comes for `quiet_s`; then drain and commit."""
        stop = stop or Event()
        start = Start.of(self.folder)
        self.lake.check_writable()
        with Lease(self.lake.place, self._run_id, self.now, GROUP) as lease:
            self.counters.state = "starting"
            if lease.unfinished:
                sweep(self.lake, lease.unfinished, [t.name for t in TABLES])
                lease.swept()
            self._begin(EpochLog(start.folder(self.folder), lease.check), start)
            try:
                self.counters.state = "replaying"
                self._replay()
                self.counters.state = "live"
                self._loop(stop)
                self.counters.state = "draining"
                self._cut()
                self._committer.wait()
                self._look()
            except BaseException:
                self._committer.stop()
                self._outlet.abandon()
                raise
            finally:
                self._intake.close()
                self._features.close()
                self._epochs.close()
        return self.counters

    # Begin

    def _begin(self, epochs: EpochLog, start: Start) -> None:
        self._epochs = epochs
        for topic in (TOPIC, features.TOPIC):
            self._bus.create(topic, self.settings.bus.partitions)
        for table in TABLES:
            self.lake.create(table.name)
        self.feed = TopicFeed(
            self._bus.partitions(TOPIC),
            lambda name: self._sessions.definition(name),
            self.settings.underlier,
        )
        pipeline = Pipeline(start.app(GROUP), GROUP, TOPIC, [t.name for t in TABLES])
        self._committer = Committer(self.lake, self._bus, epochs, self.now, pipeline)
        self._features = Features(self._bus, GROUP)
        self._outlet = Outlet(
            self.lake, self.settings, self._features, self._fresh, self._run_id, self.now
        )
        self._sessions = OpenSessions(
            self.settings,
            self.lake,
            self.feed,
            self._outlet,
            lambda begins, ends: self._intake.between(begins, ends),
        )
        self._first: int | None = None
        self._last = self._e = 0
        self._sessions.past.skip(start.begun)
        offsets = start.within(self._bus.begins(TOPIC), self._bus.ends(TOPIC))
        if epochs.state is not None:
            offsets = self._restore(epochs.state)
            check_offsets(self._bus, TOPIC, offsets, str(self.folder), _ANEW)
        self._intake = Intake(self._bus, TOPIC, offsets, _ANEW)
        self._cut_at = self._looked_at = time.monotonic()
        self._ends = dict(offsets)

    def _fresh(self) -> EpochRows:
        return EpochRows(self.lake, self.settings.underlier, self.feed)

    def _made_by(self) -> dict[str, str]:
        """What a state must have been made by for this program to go on from it."""
        return {
            "code_version": provenance.code_version(),
            "contracts_version": provenance.contracts_version(),
            **{
                f"settings of {name}": self.settings.config_hash(name)
                for name in self.settings.underlier
            },
        }

    def _restore(self, state: State) -> dict[int, int]:
        """Take up a state; the offsets that are read next."""
        made_by = self._made_by()
        other = [k for k, v in state.facts["made_by"].items() if made_by.get(k) != v]
        if other:
            raise LakeError(
                f"{self.folder}: the state after epoch {state.e} was made with other "
                f"{', '.join(other)}. Go on with those, or begin anew of what was captured: {_ANEW}"
            )
        self._e, self._last = state.e, state.intent
        try:
            self._from_bytes(state.data)
        except ValueError as error:
            raise LakeError(
                f"{self.folder}: the state after epoch {state.e} is of another version of this "
                f"program ({error}). Or begin anew: {_ANEW}"
            ) from error
        return {int(p): int(o) for p, o in state.facts["offsets"].items()}

    def _from_bytes(self, data: bytes) -> None:
        head, *sessions = (a.tobytes() for a in unpack(data, "LIVE", 1)[1])
        told = json.loads(head)
        self.feed.restore(told["feed"])
        self._sessions.restore(told, sessions)

    def _replay(self) -> None:
        """Repeat what was written down behind the state: epochs, then loose intents."""
        for epoch, intents in self._epochs.replay():
            for intent in intents:
                self._work(intent, TopicFeed.read(self._intake.again(intent)))
            if epoch is not None:
                self._cut(epoch.e)
                self._committer.wait()

    # The loop

    def _loop(self, stop: Event) -> None:
        last = time.monotonic()
        while not stop.is_set():
            self._intake.fill(_POLL)
            while (self._intake.waiting or self._sessions.ready()) and not stop.is_set():
                self._next()
                self._maybe_cut()
                last = time.monotonic()
            self._maybe_cut()
            self._look()
            if self._quiet_s is not None and time.monotonic() - last > self._quiet_s:
                return

    def _look(self) -> None:
        """How far the topic is, each second: what `status` calls behind."""
        if time.monotonic() - self._looked_at >= 1 or self.counters.state == "draining":
            self._ends = self._bus.ends(TOPIC)
            self._looked_at = time.monotonic()

    def _next(self) -> None:
        """One more intent: whole messages, until it has enough records."""
        taken: list[tuple[Message, Content | Broken]] = []

        def weigh(message: Message) -> int:
            (pair,) = TopicFeed.read([message])
            taken.append(pair)
            return len(pair[1].columns.ts_recv) if isinstance(pair[1], Batch) else 0

        ranges = self._intake.take(self._intent_records, weigh)
        facts = self._sessions.facts(taken, ranges, self._intake.offsets)
        intent = self._epochs.intent(ranges, facts)
        self._work(intent, taken)

    def _work(self, intent: Intent, contents: list[tuple[Message, Content | Broken]]) -> None:
        """Step 2 and 3: advance, and publish what others wait for."""
        self._sessions.begin(intent, self._intake.offsets)
        taken = self.feed.take(contents)
        self._outlet.topic(taken)
        self._sessions.advance(taken)
        self._outlet.features.flush()
        if self._first is None:
            self._first = intent.n
        self._last = intent.n
        self.counters.records += taken.records
        self.counters.intents += 1
        self.counters.sessions_ended = self._outlet.sessions_ended

    # Epochs

    def _maybe_cut(self) -> None:
        due = time.monotonic() - self._cut_at >= self._commit_s
        if due and self._first is not None and not self._committer.busy:
            self._cut()

    def _cut(self, e: int | None = None) -> None:
        """Step 4 and 5, handed to the committer: an epoch of the intents since the last one."""
        self._cut_at = time.monotonic()
        if self._first is None:
            return
        self._e = self._e + 1 if e is None else e
        facts = {
            "offsets": {str(p): o for p, o in self._intake.offsets.items()},
            "made_by": self._made_by(),
        }
        state = State(self._e, self._last, facts, self._to_bytes())
        made = self._outlet.cut(self._e)
        cut = Cut(self._e, self._first, self._last, made, state, dict(self._intake.offsets))
        self._committer.submit(cut)
        self._first = None

    def _to_bytes(self) -> bytes:
        told = {"feed": self.feed.to_json(), **self._sessions.to_json()}
        parts = [state_bytes(told), *self._sessions.to_bytes()]
        return pack("LIVE", 1, [np.frombuffer(p, "u1") for p in parts])
