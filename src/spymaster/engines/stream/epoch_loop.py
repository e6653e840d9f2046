"""A pipeline at work: it reads a topic by the epoch protocol, whatever it makes of the messages.

Every stream here is an `EpochLoop` around a worker. The loop has the lease, the log, the topic and
the clock; the worker knows what messages mean (`engines/epoch.py` says why in these steps).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Generic, Protocol, TypeVar

from spymaster.bus import Bus, Message
from spymaster.engines.epoch import EpochLog, Intent, State
from spymaster.engines.lease import Lease, others_at_work
from spymaster.engines.stream.committer import Committer, Cut, Made, Pipeline
from spymaster.engines.stream.intake import Intake, check_offsets
from spymaster.engines.stream.start import Start
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.lake.sweep import sweep

log = logging.getLogger(__name__)

#: Seconds without messages after which the loop looks around (marks, stop, commits).
_POLL = 0.05

Content = TypeVar("Content")


class Stopped(Exception):
    """The loop shall end while a worker waits; its intent stays in the log, for the next start."""


@dataclass(frozen=True)
class Next(Generic[Content]):
    """What is worked on next: the intent's ranges and facts, and what the messages say.

    `for_good`: the intent must be on disk before; else what it comes to will be.
    """

    ranges: Mapping[int, tuple[int, int]]
    facts: Mapping[str, Any]
    content: Content
    for_good: bool = True


@dataclass(frozen=True)
class Share:
    """A worker's share in an epoch: what it made, and its state behind it with `facts`."""

    made: Made
    facts: Mapping[str, Any]
    data: bytes


class Worker(Protocol[Content]):
    """What a pipeline makes of its messages."""

    def begin(self, loop: EpochLoop[Content], state: State | None) -> None:
        """Make ready to work, behind a state if one is kept.

        LakeError for a state that it cannot go on from.
        """

    def repeated(self) -> None:
        """What was written down has been worked on again; what comes now is new."""

    def read(self, messages: Sequence[Message]) -> Content:
        """What messages say."""

    def due(self, leaving: bool) -> bool:
        """Whether there is something to work on now; `leaving`: nothing shall wait any more."""

    def idle(self) -> None:
        """Nothing is to be worked on now: time for what would be in the way then."""

    def take(self) -> Next[Content] | None:
        """The next intent; None when what was taken needs none."""

    def work(self, intent: Intent, content: Content) -> None:
        """Steps 2 and 3: advance, and publish what others wait for."""

    def cut(self, e: int) -> Share:
        """What was made since the last epoch."""

    def close(self, kept: bool) -> None:
        """Let go of everything; `kept`: what was made is committed."""


class EpochLoop(Generic[Content]):
    """One pipeline of a root, from its lease to its last commit.

    `commit_s`: seconds between epochs. `quiet_s`: `run` returns when so long nothing came (None:
    never). `owner` tags what this process writes. `anew`: the command that begins without the old
    log. `now` gives ns UTC.
    """

    intake: Intake
    committer: Committer
    log: EpochLog
    start: Start

    def __init__(
        self,
        lake: Lake,
        bus: Bus,
        pipeline: Pipeline,
        owner: str,
        now: Callable[[], int],
        *,
        anew: str,
        commit_s: float,
        quiet_s: float | None,
    ) -> None:
        self.state = ""  #: starting, replaying, live, draining
        self.first: int | None = None  #: the first intent that is in no epoch yet
        self.done: dict[int, int] = {}  #: of each partition the offset behind what was worked on
        self.ends: dict[int, int] = {}  #: where the topic ended when it was looked at last
        self._lake, self._bus, self._pipeline, self._now = lake, bus, pipeline, now
        self._owner, self._anew = owner, anew
        self._commit_s, self._quiet_s = commit_s, quiet_s
        self._last = self._e = 0

    @property
    def folder(self) -> Path:
        """Where log and states lie."""
        local = self._lake.place.local
        if local is None:
            raise LakeError(
                f"{self._lake.root}: the pipeline {self._pipeline.group} keeps its log on a local "
                "disk. Use a folder as root."
            )
        return local / "lake/checkpoints" / self._pipeline.group

    @property
    def running(self) -> bool:
        """It has made everything ready: there is something to tell of it."""
        return self.state not in ("", "starting")

    @property
    def behind(self) -> int:
        """Messages that the topic has and that were not worked on."""
        return sum(max(0, o - self.done.get(p, 0)) for p, o in self.ends.items())

    def lease(self) -> Lease:
        """To be held by whoever changes what this pipeline keeps."""
        return Lease(self._lake.place, self._owner, self._now, self._pipeline.group)

    def run(self, worker: Worker[Content], stop: Event, drain: Event) -> None:
        """Work until `stop` is set, or nothing comes for `quiet_s`; then commit what was done.

        When `drain` is set it ends as soon as all that is there was worked on.
        """
        self._lake.check_writable()
        with self.lease() as lease, ExitStack() as stack:
            self.start = Start.of(self.folder)  # under the lease: --fresh writes it under its own
            self.state = "starting"
            if lease.unfinished:
                alone = not others_at_work(self._lake.place, self._pipeline.group)
                sweep(self._lake, lease.unfinished, self._pipeline.tables, loose=alone)
                lease.swept()
            self.log = EpochLog(self.start.folder(self.folder), lease.check)
            stack.callback(self.log.close)
            self._begin(worker)
            stack.callback(self.intake.close)
            try:
                self._work_on(worker, stop, drain)
                self.state = "draining"
                self._cut(worker)
                self.committer.wait()
                self._look()
            except BaseException:
                self.committer.stop()
                worker.close(kept=False)
                raise
            worker.close(kept=True)

    def _begin(self, worker: Worker[Content]) -> None:
        mine, state = self._pipeline, self.log.state
        self._bus.create(mine.topic, mine.partitions)
        for table in mine.tables:
            self._lake.create(table)
        under = replace(mine, app=self.start.app(mine.group))
        self.committer = Committer(self._lake, self._bus, self.log, self._now, under)
        self.first, self._last, self._e = None, 0, 0
        worker.begin(self, state)
        if state is None:
            offsets = self.start.within(self._bus.begins(mine.topic), self._bus.ends(mine.topic))
        else:
            self._e, self._last = state.e, state.intent
            offsets = {int(p): int(o) for p, o in state.facts["offsets"].items()}
            check_offsets(self._bus, mine.topic, offsets, str(self.folder), self._anew)
        # What lies behind is worked on again if this process ends: the bus must keep it until then.
        self._bus.report(mine.group, mine.topic, offsets)
        self.intake = Intake(self._bus, mine.topic, offsets, self._anew)
        self.done, self.ends = dict(offsets), dict(offsets)
        self._cut_at = self._looked_at = time.monotonic()

    # Working

    def _work_on(self, worker: Worker[Content], stop: Event, drain: Event) -> None:
        try:
            self.state = "replaying"
            self._replay(worker)
            worker.repeated()
            self.state = "live"
            self._loop(worker, stop, drain)
        except Stopped:
            log.info("%s: ends while it waits; the next start goes on", self._pipeline.group)

    def _replay(self, worker: Worker[Content]) -> None:
        """Repeat what was written down behind the state: epochs, then loose intents."""
        for epoch, intents in self.log.replay():
            for intent in intents:
                self._work(worker, intent, worker.read(self.intake.again(intent)))
            if epoch is not None:
                self._cut(worker, epoch.e)
                self.committer.wait()

    def _loop(self, worker: Worker[Content], stop: Event, drain: Event) -> None:
        last = time.monotonic()
        while not stop.is_set():
            leaving = drain.is_set()
            self.intake.fill(_POLL)
            while worker.due(leaving) and not stop.is_set():
                self._next(worker)
                self._maybe_cut(worker)
                last = time.monotonic()
            worker.idle()
            self._maybe_cut(worker)
            if time.monotonic() - self._looked_at >= 1:
                self._look()
            if leaving and not self.intake.waiting and self.intake.at_end:
                return
            silent = time.monotonic() - last
            if self._quiet_s is not None and silent > self._quiet_s and self.intake.at_end:
                return

    def _next(self, worker: Worker[Content]) -> None:
        coming = worker.take()
        if coming is not None:
            intent = self.log.intent(coming.ranges, coming.facts, for_good=coming.for_good)
            self._work(worker, intent, coming.content)
        self.done = dict(self.intake.offsets)

    def _work(self, worker: Worker[Content], intent: Intent, content: Content) -> None:
        worker.work(intent, content)
        if self.first is None:
            self.first = intent.n
        self._last = intent.n
        self.done = dict(self.intake.offsets)

    def _look(self) -> None:
        """How far the topic is, each second: what `status` calls behind."""
        self.ends, self._looked_at = self._bus.ends(self._pipeline.topic), time.monotonic()

    # Epochs

    def _maybe_cut(self, worker: Worker[Content]) -> None:
        due = time.monotonic() - self._cut_at >= self._commit_s
        if due and self.first is not None and not self.committer.busy:
            self._cut(worker)

    def _cut(self, worker: Worker[Content], e: int | None = None) -> None:
        """Step 4 and 5, handed to the committer: an epoch of the intents since the last one."""
        self._cut_at = time.monotonic()
        if self.first is None:
            return
        self._e = self._e + 1 if e is None else e
        share = worker.cut(self._e)
        facts = {"offsets": {str(p): o for p, o in self.done.items()}, **share.facts}
        state = State(self._e, self._last, facts, share.data)
        cut = Cut(self._e, self.first, self._last, share.made, state, dict(self.done))
        self.committer.submit(cut)
        self.first = None
