"""The scoring loop: vectors of the topic to their model, scores to the topic and into the lake.

By the epoch protocol, as the stream that makes the vectors: each intent names the messages and the
model's version before the endpoint is asked, so that a retry asks the same version for the same
vectors. The endpoint is called at least once, and the tables have each score exactly once.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from spymaster.bus import Bus, Message
from spymaster.contracts.scores import ROLES, TABLES
from spymaster.contracts.silver import OUTCOMES
from spymaster.engines.epoch import EpochLog, Intent, State
from spymaster.engines.lease import Lease
from spymaster.engines.stream.committer import Committer, Cut, Pipeline, committed_offsets
from spymaster.engines.stream.features import TOPIC
from spymaster.engines.stream.feed import state_bytes
from spymaster.engines.stream.intake import Intake, check_offsets
from spymaster.engines.stream.start import Start
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.lake.sweep import sweep
from spymaster.scoring.desk import Answer, Desk, Stopped
from spymaster.scoring.line import Line, contract_of
from spymaster.scoring.memory import SESSIONS, Memory
from spymaster.scoring.outlet import Scored, ScoreOutlet
from spymaster.scoring.vector import Outcome, Told, Vector, read
from spymaster.settings import Settings

log = logging.getLogger(__name__)

_POLL = 0.05
#: Seconds without a vector after which what was read besides is written down.
_REST_S = 300.0
_ANEW = "spymaster score --fresh"


@dataclass
class Counters:
    """What the loop has done since it began."""

    scored: int = 0
    given_up: int = 0
    repeated: int = 0
    outcomes: int = 0
    state: str = ""


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
        self.settings, self.line, self.now = settings, line, now
        self.counters = Counters()
        self._bus = bus
        self._every_s = settings.scoring.every_s if every_s is None else every_s
        self._commit_s, self._quiet_s = commit_s, quiet_s
        self._run_id = uuid.uuid4().hex
        self.contract, self._columns = contract_of(settings, line.model_id)
        self.lake = Lake(settings.root, tag=self._run_id)

    @property
    def folder(self) -> Path:
        """Where log and states lie."""
        local = self.lake.place.local
        if local is None:
            raise LakeError(
                f"{self.lake.root}: the scoring loop keeps its log on a local disk. Use a folder "
                "as root."
            )
        return local / "lake/checkpoints" / self.line.name

    @property
    def holds_lease(self) -> bool:
        """It is, or was, the one loop of its line."""
        return bool(self.counters.state)

    def status(self) -> dict[str, Any]:
        """How it is, for `spymaster status`."""
        c = self.counters
        if c.state in ("", "starting"):
            return {"state": "starting"}
        behind = sum(max(0, o - self._done.get(p, 0)) for p, o in self._ends.items())
        desk = self._desk
        return {
            "state": "waiting" if desk.waits and c.state == "live" else c.state,
            "scored": c.scored,
            "given_up": c.given_up,
            "repeated": c.repeated,
            "outcomes": c.outcomes,
            "behind_messages": behind,
            "model_version": desk.version,
            "endpoint": self.line.endpoint.url,
            "breaker": desk.breaker,
            "retries": desk.retries,
            "last_error": desk.waits or None,
            "epoch": self._committer.committed,
            "detail": f"{c.scored:,} scores by version {desk.version or '?'}, {c.given_up} given "
            f"up, {behind} messages behind" + (f"; waits: {desk.waits}" if desk.waits else ""),
        }

    def begin_anew(self) -> None:
        """Leave the old state and begin anew where it stood."""
        with Lease(self.lake.place, self._run_id, self.now, self.line.name):
            # A table may lack the epoch that another has; what comes again is known by its hash.
            name = self.line.name
            found = [committed_offsets(self.lake, t.name, name) for t in TABLES]
            committed = {p: min(f.get(p, 0) for f in found) for f in found for p in f}
            Start.anew(self.folder, {}, committed)

    def run(self, stop: Event | None = None, drain: Event | None = None) -> Counters:
        """Work until `stop` is set, or nothing comes for `quiet_s`; then commit what was done.

        When `drain` is set it ends as soon as all that is there has its score, or must wait.
        """
        stop, drain = stop or Event(), drain or Event()
        start = Start.of(self.folder)
        self.lake.check_writable()
        with Lease(self.lake.place, self._run_id, self.now, self.line.name) as lease:
            self.counters.state = "starting"
            if lease.unfinished:
                sweep(self.lake, lease.unfinished, [t.name for t in TABLES])
                lease.swept()
            self._begin(EpochLog(start.folder(self.folder), lease.check), start, (stop, drain))
            try:
                self._work_on(stop, drain)
                self.counters.state = "draining"
                self._cut()
                self._committer.wait()
            except BaseException:
                self._committer.stop()
                raise
            finally:
                self._intake.close()
                self._outlet.close()
                self._epochs.close()
        return self.counters

    def _begin(self, epochs: EpochLog, start: Start, ends: tuple[Event, Event]) -> None:
        self._epochs = epochs
        self._bus.create(TOPIC, self.settings.bus.partitions)
        for table in TABLES:
            self.lake.create(table.name)
        name = self.line.name
        pipeline = Pipeline(start.app(name), name, TOPIC, [t.name for t in TABLES])
        self._committer = Committer(self.lake, self._bus, epochs, self.now, pipeline)
        self._desk = Desk(
            self.line.endpoint,
            self._columns,
            self.line.model_id,
            self.contract,
            self.settings.scoring,
            ends,
            self.now,
        )
        self._outlet = ScoreOutlet(self.lake, self._bus, self.settings.bus.partitions)
        self._memory = Memory()
        self._first: int | None = None
        self._last = self._e = 0
        offsets = start.within(self._bus.begins(TOPIC), self._bus.ends(TOPIC))
        if epochs.state is not None:
            offsets = self._restore(epochs.state)
            check_offsets(self._bus, TOPIC, offsets, str(self.folder), _ANEW)
        elif start.times:
            self._memory.know(*self._known())
        self._intake = Intake(self._bus, TOPIC, offsets, _ANEW)
        self._done, self._ends = dict(offsets), dict(offsets)
        self._reported = dict(offsets)
        self._bus.report(name, TOPIC, offsets)  # what is not scored yet is kept from now on
        self._cut_at = self._worked_at = self._looked_at = time.monotonic()

    def _known(self) -> list[list[dict[str, Any]]]:
        """This line's scores, what it gave up and its outcomes, of the latest sessions."""
        mine = {"model_id": self.line.model_id, "role": self.line.role}
        dates = {p["session_date"] for t in TABLES for p in self.lake.partitions(t.name)}
        latest = sorted(dates)[-SESSIONS:]
        return [
            self.lake.scan(t.name, None, {**mine, "session_date": latest}).to_pylist()
            if latest
            else []
            for t in TABLES
        ]

    def _restore(self, state: State) -> dict[int, int]:
        """Take up a state; the offsets that are read next."""
        if state.facts["contract"] != self.contract:
            raise LakeError(
                f"{self.folder}: the state after epoch {state.e} is of vectors of the feature "
                f"contract {state.facts['contract']}, the settings make {self.contract}. Go on "
                f"with those settings, or begin anew: {_ANEW}"
            )
        self._e, self._last = state.e, state.intent
        self._memory.restore(json.loads(state.data))
        return {int(p): int(o) for p, o in state.facts["offsets"].items()}

    # Working

    def _work_on(self, stop: Event, drain: Event) -> None:
        """Until a reason to stop; an intent that has no answers then stays in the log."""
        try:
            self.counters.state = "replaying"
            self._replay()
            self._desk.pin()
            self.counters.state = "live"
            self._loop(stop, drain)
        except Stopped:
            log.info("%s: vectors wait for their score; the next start asks again", self.line.name)

    def _replay(self) -> None:
        """Repeat what was written down behind the state, with the versions of then."""
        for epoch, intents in self._epochs.replay():
            for intent in intents:
                self._work(intent, self._read(self._intake.again(intent)))
            if epoch is not None:
                self._cut(epoch.e)
                self._committer.wait()

    def _loop(self, stop: Event, drain: Event) -> None:
        last = asked = time.monotonic()
        while not stop.is_set():
            leaving = drain.is_set()
            self._intake.fill(_POLL)
            due = leaving or time.monotonic() - asked >= self._every_s
            while self._intake.waiting and due and not stop.is_set():
                self._next()
                self._maybe_cut()
                last = asked = time.monotonic()
                due = self._every_s == 0 or self._intake.waiting
            self._rest()
            self._maybe_cut()
            self._look()
            if leaving and not self._intake.waiting and self._intake.at_end:
                return
            silent = time.monotonic() - last
            if self._quiet_s is not None and silent > self._quiet_s and self._intake.at_end:
                return

    def _read(self, messages: Sequence[Message]) -> list[Told]:
        return read(messages, self.line.model_id, self.contract)

    def _next(self) -> None:
        """One more intent: the vectors that have come, at most as many as are asked together."""
        told: list[Told] = []

        def weigh(message: Message) -> int:
            found = self._read([message])
            told.extend(found)
            return len(found)

        ranges = self._intake.take(self.settings.scoring.batch_rows, weigh)
        if told:
            vectors = any(isinstance(t, Vector) for t in told)
            facts = {"version": self._desk.pin() if vectors else None}
            self._work(self._epochs.intent(ranges, facts), told)
            self._worked_at = time.monotonic()
        self._done = dict(self._intake.offsets)

    def _rest(self) -> None:
        """Long without a vector: an intent of nothing, so that the topic need not be kept."""
        if time.monotonic() - self._worked_at > _REST_S and self._first is None:
            self._worked_at = time.monotonic()
            if self._done != self._reported:
                self._work(self._epochs.intent({}, {"version": None}), ())
                self._reported = dict(self._done)

    def _look(self) -> None:
        """How far the topic is, each second: what `status` calls behind."""
        if time.monotonic() - self._looked_at >= 1:
            self._ends, self._looked_at = self._bus.ends(TOPIC), time.monotonic()

    def _work(self, intent: Intent, told: Sequence[Told]) -> None:
        """Ask, remember, publish."""
        vectors = [t for t in told if isinstance(t, Vector)]
        new: dict[str, Vector] = {}
        for v in vectors:
            if not self._memory.has(v.identity):
                new.setdefault(v.hash, v)
        answers = self._answers(intent, [v for v in new.values() if v.wrong is None])
        for v in new.values():
            self._take(v, answers.get(v.hash))
        for outcome in (t for t in told if isinstance(t, Outcome)):
            if (row := self._memory.outcome(outcome)) is not None:
                self._outlet.outcome(row)
                self.counters.outcomes += 1
        self._outlet.flush()
        self.counters.repeated += len(vectors) - len(new)
        if self._first is None:
            self._first = intent.n
        self._last = intent.n
        self._done = dict(self._intake.offsets)

    def _answers(self, intent: Intent, vectors: Sequence[Vector]) -> dict[str, Answer]:
        """What the endpoint said, by vector: asked now, or as it was written down.

        Nobody has heard of answers that were not, and nothing has changed until they are.
        """
        if not vectors:
            return {}
        told = self._epochs.came_to(intent.n)
        if told is None:
            found = self._desk.ask(vectors, intent.facts["version"])
            told = {v.hash: answer.to_json() for v, answer in zip(vectors, found, strict=True)}
            self._epochs.result(intent.n, told)
        return {name: Answer.from_json(values) for name, values in told.items()}

    def _take(self, v: Vector, answer: Answer | None) -> None:
        """A vector's score, or why it has none."""
        self._memory.take(v.identity)
        mine = {**v.identity, "role": self.line.role}
        url = self.line.endpoint.url
        if answer is None or answer.score is None:
            reason = v.wrong if answer is None else answer.reason
            attempts = 0 if answer is None else answer.attempts
            at = self.now() if answer is None else answer.at
            told = {"reason": reason, "failed_at": at, "attempts": attempts, "endpoint": url}
            self._outlet.error({**mine, **told})
            self.counters.given_up += 1
            return
        score = answer.score
        row = {
            **mine,
            "model_version": answer.version,
            **{f"p_{o.lower()}": getattr(score, f"p_{o.lower()}") for o in OUTCOMES},
            "prediction": score.prediction,
        }
        self._memory.scored(row)
        traces = {"scored_at": answer.at, "latency_ms": answer.latency_ms, "endpoint": url}
        self._outlet.score({**row, **traces})
        self.counters.scored += 1

    # Epochs

    def _maybe_cut(self) -> None:
        due = time.monotonic() - self._cut_at >= self._commit_s
        if due and self._first is not None and not self._committer.busy:
            self._cut()

    def _cut(self, e: int | None = None) -> None:
        """An epoch of the intents since the last one, handed to the committer."""
        self._cut_at = time.monotonic()
        if self._first is None:
            return
        self._e = self._e + 1 if e is None else e
        over = self._memory.forget()
        # The tables are tidied by one of their writers.
        ended = over if self.line.role == ROLES[0] else []
        facts = {
            "offsets": {str(p): o for p, o in self._done.items()},
            "contract": self.contract,
        }
        state = State(self._e, self._last, facts, state_bytes(self._memory.to_json()))
        made: Scored = self._outlet.cut(ended)
        self._committer.submit(Cut(self._e, self._first, self._last, made, state, dict(self._done)))
        self._first = None
