"""What a loop of alerts makes of its messages: readings, alerts, and word of them."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spymaster.alerts.memory import SESSIONS, Memory
from spymaster.alerts.owed import Owed
from spymaster.alerts.reading import Reading, read
from spymaster.alerts.rule import Rule, hash_of
from spymaster.alerts.silence import Silence
from spymaster.alerts.webhook import line
from spymaster.bus import Message
from spymaster.contracts.alerts import ALERT, SILENCE
from spymaster.engines.epoch import Intent, State
from spymaster.engines.stream.epoch_loop import EpochLoop, Next, Share
from spymaster.engines.stream.feed import state_bytes
from spymaster.errors import LakeError
from spymaster.lake import Lake, Part
from spymaster.settings import Settings
from spymaster.settings.alerts import LOG

log = logging.getLogger(__name__)

_MESSAGES = 5_000
#: Seconds between two looks whether a feed is silent.
_LOOK_S = 0.25
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


@dataclass
class Counters:
    """What the loop has done since it began."""

    readings: int = 0
    alerts: int = 0
    looks: int = 0  #: how often it was asked whether a feed is silent
    last: str = ""


@dataclass(frozen=True)
class Given:
    """An epoch's alerts, as the committer takes them; `ended`: sessions that are over."""

    alerts: list[dict[str, Any]]
    ended: Sequence[Mapping[str, str]] = field(default_factory=list)

    def share(self, lake: Lake, app: str) -> None:
        """Nothing beside the one table."""

    def files(self) -> dict[str, list[Part]]:
        """None: the rows are few."""
        return {}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The alerts."""
        return self.alerts


class AlertWork:
    """The worker of one topic's loop. `tell` hears of each alert in a line; `now` gives ns UTC.

    `anew`: the command that begins without the old log.

    What the machine's clock decided, and what webhooks took, is in the facts of an intent: it was
    written down before anybody heard of it, and a repetition does not ask again.
    """

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        rules: Iterable[Rule],
        now: Callable[[], int],
        counters: Counters,
        tell: Callable[[str], object],
        anew: str,
    ) -> None:
        self._settings, self._lake, self._anew = settings, lake, anew
        self._rules = {rule.name: rule for rule in rules}
        self._hash = hash_of(self._rules.values())
        self._now, self._counters, self._tell = now, counters, tell

    def begin(self, loop: EpochLoop[list[Reading]], state: State | None) -> None:
        """Make memory and webhooks, as they were behind a state."""
        self._loop = loop
        silent = [r for r in self._rules.values() if r.settings.what in SILENCE]
        self._memory = Memory(r for r in self._rules.values() if r not in silent)
        self._silence = Silence(silent, self._settings, self._now())
        names = sorted({to for r in self._rules.values() for to in r.settings.to} - {LOG})
        self.owed = Owed(self._settings.alerts, names)
        self._known: dict[str, dict[str, int]] = {}
        if state is None and loop.start.times:
            self._known = self._stored()
        if state is not None:
            told = json.loads(state.data)
            self._memory.restore(told["memory"])
            self._silence.restore(told["silence"])
            self.owed.restore(told["owed"])
        self._given: list[dict[str, Any]] = []
        self._wall: list[dict[str, Any]] = []
        self._looked_at = 0.0
        self._left_at: float | None = None

    def _stored(self) -> dict[str, dict[str, int]]:
        """The newest alert of each rule and subject in the latest sessions of the table."""
        dates: dict[str, set[str]] = {}
        for p in self._lake.partitions(ALERT.name):
            dates.setdefault(p["underlier"], set()).add(p["session_date"])
        known: dict[str, dict[str, int]] = {}
        for underlier, found in dates.items():
            asked = {"underlier": underlier, "session_date": sorted(found)[-SESSIONS:]}
            for row in self._lake.scan(ALERT.name, ["rule", "subject", "at"], asked).to_pylist():
                of = known.setdefault(row["rule"], {})
                of[row["subject"]] = max(row["at"], of.get(row["subject"], row["at"]))
        return {name: of for name, of in known.items() if name in self._rules}

    def repeated(self) -> None:
        """From now on webhooks hear of what they are owed, and silence counts."""
        self.owed.start()

    def read(self, messages: Sequence[Message]) -> list[Reading]:
        """The readings of messages."""
        return read(messages)

    def due(self, leaving: bool) -> bool:
        """Messages have come, a webhook took something, or a feed is silent."""
        if self._loop.intake.waiting or self.owed.taken or self._wall:
            return True
        return leaving and self._waits()

    def idle(self) -> None:
        """Look whether a feed is silent: while messages come, none is."""
        if time.monotonic() - self._looked_at >= _LOOK_S:
            self._looked_at = time.monotonic()
            self._wall = self._silence.alerts(self._now())
            self._counters.looks += 1

    def _waits(self) -> bool:
        """At the end: some time for the webhooks to take what they are owed."""
        if self._left_at is None:
            self._left_at = time.monotonic()
        waits = time.monotonic() - self._left_at < self.owed.patience_s
        if waits and self.owed.waiting:
            time.sleep(0.02)
        return waits and bool(self.owed.waiting)

    def take(self) -> Next[list[Reading]] | None:
        """What has come."""
        found: list[Message] = []

        def weigh(message: Message) -> int:
            found.append(message)
            return 1

        ranges = self._loop.intake.take(_MESSAGES, weigh)
        if ranges:
            self._left_at = None
        facts: dict[str, Any] = {"wall": self._wall, "taken": self.owed.told()}
        self._wall = []
        facts = {name: told for name, told in facts.items() if told}
        if not ranges and not facts:
            return None
        if self._known:  # of the table as it was then: a repetition may find its own rows there
            facts["known"] = self._known
        return Next(ranges, {**facts, "rules": self._hash}, self.read(found))

    def work(self, intent: Intent, content: list[Reading]) -> None:
        """See each reading; give the alerts. LakeError for an intent of other rules."""
        if intent.facts.get("rules", self._hash) != self._hash:
            raise LakeError(
                f"{self._loop.folder}: intent {intent.n} was written down under other rules and is "
                "not finished; other alerts of it may have been told. Finish it with the rules of "
                f"before (spymaster alerts --once), or begin anew: {self._anew}"
            )
        known, self._known = intent.facts.get("known", {}), {}
        self._memory.know(known)
        self._silence.know(known)
        self.owed.settle(intent.facts.get("taken", ()))
        for row in intent.facts.get("wall", ()):  # what was silent before these messages came
            self._silence.given(row)
            self._give(row)
        now = self._now()
        for reading in content:
            self._silence.hear(reading, now)
            for row in self._memory.see(reading):
                self._give(row)
        self._counters.readings += len(content)

    def _give(self, row: dict[str, Any]) -> None:
        date = dt.date.fromisoformat(row["session_date"])
        stored = {**row, "session_date": date, "given_at": self._now()}
        self._given.append({name: stored[name] for name in ALERT.names})
        self._counters.alerts += 1
        self._counters.last = line(row)
        rule = self._rules.get(row["rule"])
        for to in rule.settings.to if rule else ():
            if to == LOG:
                log.log(_LEVELS[row["severity"]], "%s", self._counters.last)
                self._tell(self._counters.last)
            else:
                self.owed.add(to, row)

    def cut(self, e: int) -> Share:
        """The alerts since the last epoch, and what is remembered."""
        over = self._memory.forget()
        given, self._given = self._given, []
        told = {
            "memory": self._memory.to_json(),
            "silence": self._silence.to_json(),
            "owed": self.owed.to_json(),
        }
        return Share(Given(given, over), {}, state_bytes(told))

    def close(self, kept: bool) -> None:
        """Let the webhooks end; what they did not take is in the state."""
        self.owed.close()
