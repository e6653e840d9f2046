"""What the scoring loop makes of its messages: each vector's score, and what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from spymaster.bus import Bus, Message
from spymaster.contracts.scores import ROLES, TABLES
from spymaster.contracts.silver import OUTCOMES
from spymaster.engines.epoch import Intent, State
from spymaster.engines.stream.epoch_loop import EpochLoop, Next, Share
from spymaster.engines.stream.feed import state_bytes
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.scoring.desk import Answer, Desk
from spymaster.scoring.line import Line
from spymaster.scoring.memory import SESSIONS, Memory
from spymaster.scoring.outlet import ScoreOutlet
from spymaster.scoring.vector import Outcome, Told, Vector, read
from spymaster.settings import Settings
from spymaster.stages.feature_contract import contract_of

NAMES = tuple(t.name for t in TABLES)
#: Seconds without a vector after which what was read besides is written down.
_REST_S = 300.0


@dataclass
class Counters:
    """What the loop has done since it began."""

    scored: int = 0
    given_up: int = 0
    repeated: int = 0
    outcomes: int = 0


class ScoringWork:
    """The worker of a line's loop.

    `every_s`: vectors wait so long for others. `anew`: the command that begins without the old
    log. `ends`: when one of these is set, vectors that would have to wait stay in the log.
    """

    ends: tuple[Event, Event]

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        bus: Bus,
        line: Line,
        now: Callable[[], int],
        counters: Counters,
        every_s: float,
        anew: str,
    ) -> None:
        self._settings, self._lake, self._bus, self._line = settings, lake, bus, line
        self._now, self._counters, self._every_s, self._anew = now, counters, every_s, anew
        contract = contract_of(settings, line.model_id)
        self._contract, self._columns = contract.hash, contract.names

    def begin(self, loop: EpochLoop[list[Told]], state: State | None) -> None:
        """Make desk, outlet and memory, as they were behind a state."""
        self._loop = loop
        self.desk = Desk(
            self._line.endpoint,
            self._columns,
            self._line.model_id,
            self._contract,
            self._settings.scoring,
            self.ends,
            self._now,
        )
        self._outlet = ScoreOutlet(self._lake, self._bus, self._settings.bus.partitions)
        self._memory = Memory()
        if state is not None:
            self._restore(state)
        elif loop.start.times:
            self._memory.know(*self._known())
        self._asked = self._worked_at = time.monotonic()
        self._due = False

    def _known(self) -> list[list[dict[str, Any]]]:
        """This line's scores, what it gave up and its outcomes, of the latest sessions."""
        mine = {"model_id": self._line.model_id, "role": self._line.role}
        dates = {p["session_date"] for name in NAMES for p in self._lake.partitions(name)}
        latest = sorted(dates)[-SESSIONS:]
        return [
            self._lake.scan(name, None, {**mine, "session_date": latest}).to_pylist()
            if latest
            else []
            for name in NAMES
        ]

    def _restore(self, state: State) -> None:
        if state.facts["contract"] != self._contract:
            raise LakeError(
                f"{self._loop.folder}: the state after epoch {state.e} is of vectors of the "
                f"feature contract {state.facts['contract']}, the settings make {self._contract}. "
                f"Go on with those settings, or begin anew: {self._anew}"
            )
        self._memory.restore(json.loads(state.data))

    def repeated(self) -> None:
        """A model that is not ours is refused."""
        self._rested = dict(self._loop.done)
        self.desk.pin()

    def read(self, messages: Sequence[Message]) -> list[Told]:
        """The vectors for this model, and outcomes."""
        return read(messages, self._line.model_id, self._contract)

    def due(self, leaving: bool) -> bool:
        """Messages have come, and have waited long enough for others."""
        if not self._loop.intake.waiting:
            self._due = False
            return self._rests()
        waited = time.monotonic() - self._asked
        self._due = self._due or leaving or waited >= self._every_s
        return self._due

    def idle(self) -> None:
        """Look which version is served."""
        self.desk.look()

    def take(self) -> Next[list[Told]] | None:
        """The vectors that have come, at most as many as are asked about together."""
        told: list[Told] = []

        def weigh(message: Message) -> int:
            found = self.read([message])
            told.extend(found)
            return len(found)

        ranges = self._loop.intake.take(self._settings.scoring.batch_rows, weigh)
        if told:
            vectors = any(isinstance(t, Vector) for t in told)
            version = self.desk.pin() if vectors else None
            # Scores are heard of when the answer is on disk, and the intent before it; where no
            # answer will come, the intent itself must be.
            asked = any(self._asks(t) for t in told)
            return Next(ranges, {"version": version}, told, for_good=not asked)
        self._asked = time.monotonic()
        if not self._rests():
            return None
        self._rested = dict(self._loop.intake.offsets)
        return Next({}, {"version": None}, [])

    def _asks(self, t: Told) -> bool:
        """Whether the endpoint will be asked about it."""
        return isinstance(t, Vector) and t.wrong is None and not self._memory.has(t.identity)

    def _rests(self) -> bool:
        """Long without a vector: an intent of nothing lets go of what was read besides."""
        long = time.monotonic() - self._worked_at > _REST_S
        return long and self._loop.first is None and self._loop.intake.offsets != self._rested

    def work(self, intent: Intent, content: list[Told]) -> None:
        """Ask, remember, publish."""
        vectors = [t for t in content if isinstance(t, Vector)]
        new: dict[str, Vector] = {}
        for v in vectors:
            if not self._memory.has(v.identity):
                new.setdefault(v.hash, v)
        answers = self._answers(intent, [v for v in new.values() if v.wrong is None])
        for v in new.values():
            self._take(v, answers.get(v.hash))
        for outcome in (t for t in content if isinstance(t, Outcome)):
            if (row := self._memory.outcome(outcome)) is not None:
                self._outlet.outcome(row)
                self._counters.outcomes += 1
        self._outlet.flush()
        self._counters.repeated += len(vectors) - len(new)
        self._asked = self._worked_at = time.monotonic()

    def _answers(self, intent: Intent, vectors: Sequence[Vector]) -> dict[str, Answer]:
        """What the endpoint said, by vector: asked now, or as it was written down.

        Nobody has heard of answers that were not, and nothing has changed until they are.
        """
        if not vectors:
            return {}
        log = self._loop.log
        told = log.came_to(intent.n)
        if told is None:
            found = self.desk.ask(vectors, intent.facts["version"])
            told = {v.hash: answer.to_json() for v, answer in zip(vectors, found, strict=True)}
            log.result(intent.n, told)
        return {name: Answer.from_json(values) for name, values in told.items()}

    def _take(self, v: Vector, answer: Answer | None) -> None:
        """A vector's score, or why it has none."""
        self._memory.take(v.identity)
        mine = {**v.identity, "role": self._line.role}
        url = self._line.endpoint.url
        if answer is None or answer.score is None:
            reason = v.wrong if answer is None else answer.reason
            attempts = 0 if answer is None else answer.attempts
            at = self._now() if answer is None else answer.at
            told = {"reason": reason, "failed_at": at, "attempts": attempts, "endpoint": url}
            self._outlet.error({**mine, **told})
            self._counters.given_up += 1
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
        self._counters.scored += 1

    def cut(self, e: int) -> Share:
        """The rows since the last epoch, and what is remembered."""
        over = self._memory.forget()
        # The tables are tidied by one of their writers.
        ended = over if self._line.role == ROLES[0] else []
        data = state_bytes(self._memory.to_json())
        return Share(self._outlet.cut(ended), {"contract": self._contract}, data)

    def close(self, kept: bool) -> None:
        """Let go of the bus; the rows lie nowhere yet that a commit does not name."""
        self._outlet.close()
