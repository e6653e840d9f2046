"""What the stream engine makes of its messages: the stages of history, session by session."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from spymaster.bus import Bus, Message
from spymaster.contracts.stream import TABLES
from spymaster.engines.epoch import Intent, State
from spymaster.engines.stream import features
from spymaster.engines.stream.epoch_loop import EpochLoop, Next, Share
from spymaster.engines.stream.features import Features
from spymaster.engines.stream.feed import Broken, TopicFeed, state_bytes
from spymaster.engines.stream.outlet import Outlet
from spymaster.engines.stream.rows import EpochRows
from spymaster.engines.stream.sessions import OpenSessions
from spymaster.errors import LakeError
from spymaster.feed.topic import TOPIC, Batch, Content
from spymaster.kernel.state import pack, unpack
from spymaster.lake import Lake
from spymaster.lake import lineage as provenance
from spymaster.settings import Settings

GROUP = "live"
ANEW = "spymaster live --fresh"
NAMES = tuple(t.name for t in TABLES)
Contents: TypeAlias = list[tuple[Message, Content | Broken]]


def made_by(settings: Settings) -> dict[str, str]:
    """What a state must have been made by for this program to go on from it."""
    return {
        "code_version": provenance.code_version(),
        "contracts_version": provenance.contracts_version(),
        **{f"settings of {name}": settings.config_hash(name) for name in settings.underlier},
    }


class LiveWork:
    """The worker of the stream engine's loop.

    `intent_records`: at most so many records are worked on at a time (one message is never cut).
    `run_id` is the run's in lineage. `now` gives ns UTC.
    """

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        bus: Bus,
        run_id: str,
        now: Callable[[], int],
        intent_records: int,
    ) -> None:
        self.records = self.intents = 0
        self._settings, self._lake, self._bus = settings, lake, bus
        self._run_id, self._now, self._intent_records = run_id, now, intent_records

    def begin(self, loop: EpochLoop[Contents], state: State | None) -> None:
        """Make feed, sessions and outlet, as they were behind a state."""
        self._loop = loop
        self._bus.create(features.TOPIC, self._settings.bus.partitions)
        self.feed = TopicFeed(
            self._bus.partitions(TOPIC),
            lambda name: self.sessions.definition(name),
            self._settings.underlier,
        )
        self.features = Features(self._bus, GROUP)
        self.outlet = Outlet(
            self._lake, self._settings, self.features, self._fresh, self._run_id, self._now
        )
        self.sessions = OpenSessions(
            self._settings,
            self._lake,
            self.feed,
            self.outlet,
            lambda begins, ends: loop.intake.between(begins, ends),
        )
        self.sessions.past.skip(loop.start.begun)
        if state is not None:
            self._restore(state)

    def _fresh(self) -> EpochRows:
        return EpochRows(self._lake, self._settings.underlier, self.feed)

    def _restore(self, state: State) -> None:
        mine = made_by(self._settings)
        other = [k for k, v in state.facts["made_by"].items() if mine.get(k) != v]
        if other:
            raise LakeError(
                f"{self._loop.folder}: the state after epoch {state.e} was made with other "
                f"{', '.join(other)}. Go on with those, or begin anew of what was captured: {ANEW}"
            )
        try:
            self._from_bytes(state.data)
        except ValueError as error:
            raise LakeError(
                f"{self._loop.folder}: the state after epoch {state.e} is of another version of "
                f"this program ({error}). Or begin anew: {ANEW}"
            ) from error

    def repeated(self) -> None:
        """Nothing is to be done between what is repeated and what is new."""

    def read(self, messages: Sequence[Message]) -> Contents:
        """What messages say, each beside its message."""
        return TopicFeed.read(messages)

    def due(self, leaving: bool) -> bool:
        """Messages have come, or a session waits no longer for the one before it."""
        return self._loop.intake.waiting or bool(self.sessions.ready())

    def idle(self) -> None:
        """Nothing is to be done beforehand."""

    def take(self) -> Next[Contents]:
        """One more intent: whole messages, until it has enough records."""
        taken: Contents = []

        def weigh(message: Message) -> int:
            (pair,) = TopicFeed.read([message])
            taken.append(pair)
            return len(pair[1].columns.ts_recv) if isinstance(pair[1], Batch) else 0

        intake = self._loop.intake
        ranges = intake.take(self._intent_records, weigh)
        return Next(ranges, self.sessions.facts(taken, ranges, intake.offsets), taken)

    def work(self, intent: Intent, content: Contents) -> None:
        """Advance, and publish what others wait for."""
        self.sessions.begin(intent, self._loop.intake.offsets)
        taken = self.feed.take(content)
        self.outlet.topic(taken)
        self.sessions.advance(taken)
        self.features.flush()
        self.records += taken.records
        self.intents += 1

    def cut(self, e: int) -> Share:
        """The rows since the last epoch, and the state of feed and sessions."""
        data = self._to_bytes()
        return Share(self.outlet.cut(e), {"made_by": made_by(self._settings)}, data)

    def close(self, kept: bool) -> None:
        """Let go of the bus; leave no file behind that no commit names."""
        if not kept:
            self.outlet.abandon()
        self.features.close()

    def _to_bytes(self) -> bytes:
        told = {"feed": self.feed.to_json(), **self.sessions.to_json()}
        parts = [state_bytes(told), *self.sessions.to_bytes()]
        return pack("LIVE", 1, [np.frombuffer(p, "u1") for p in parts])

    def _from_bytes(self, data: bytes) -> None:
        head, *sessions = (a.tobytes() for a in unpack(data, "LIVE", 1)[1])
        told = json.loads(head)
        self.feed.restore(told["feed"])
        self.sessions.restore(told, sessions)
