"""What a pipeline of alerts remembers: its watches, what came already, what webhooks are owed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spymaster.alerts.reading import Reading
from spymaster.alerts.rule import Rule, alert
from spymaster.alerts.watch import Watch

#: Sessions of an underlier that may still get rows.
SESSIONS = 2
#: A subject that was not heard of for so long is let go of; it is looked for once an hour.
_FORGOTTEN_NS, _HOUR_NS = 86_400 * 10**9, 3_600 * 10**9
#: A bar does not end so long after its message: one that says so is somebody's mistake.
_AHEAD_NS = _HOUR_NS


@dataclass
class Last:
    """The newest time of a subject, and what came of it: a stream that was killed tells again."""

    end: int
    identities: list[str]
    lane: str = ""

    def is_new(self, r: Reading) -> bool:
        """Whether a reading has not come before; takes it if so."""
        if r.end < self.end or (r.end == self.end and r.identity in self.identities):
            return False
        if r.end > self.end:
            self.end, self.identities = r.end, []
            self.lane = _lane(r)
        self.identities.append(r.identity)
        return True


class Memory:
    """Readings in, alerts out; everything that they depend on.

    A subject that was not heard of for a day is let go of. What a day is says the feed, of each
    underlier in each partition: there messages have one order, however a topic is read.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = list(rules)
        self._last: dict[str, Last] = {}
        self._watches: dict[str, dict[str, Watch]] = {rule.name: {} for rule in self._rules}
        self._sessions: dict[str, list[str]] = {}
        self._hours: dict[str, int] = {}  # lane -> the feed's hour

    def see(self, r: Reading) -> list[dict[str, Any]]:
        """The alerts of one more reading."""
        self._let_go(_lane(r), min(r.end, r.told_at + _AHEAD_NS))
        if not self._last.setdefault(r.subject, Last(r.end - 1, [])).is_new(r):
            return []
        sessions = self._sessions.setdefault(r.underlier, [])
        if r.session_date not in sessions:
            sessions.append(r.session_date)
        given = []
        for rule in self._rules:
            if rule.settings.what not in r.figures or not rule.is_for(r):
                continue
            watch = self._watches[rule.name].setdefault(r.subject, Watch(rule))
            seen = watch.see(r)
            if seen is not None:
                given.append(alert(rule, r, seen))
        return given

    def know(self, known: Mapping[str, Mapping[str, int]]) -> None:
        """Alerts that the table has: rule -> subject -> time of the newest, ns UTC."""
        for rule in self._rules:
            for subject, at in known.get(rule.name, {}).items():
                self._watches[rule.name].setdefault(subject, Watch(rule)).know(at)

    def forget(self) -> list[dict[str, str]]:
        """Let go of sessions before the last ones; those over since, as partitions."""
        over = []
        for underlier, dates in self._sessions.items():
            for date in sorted(dates)[:-SESSIONS]:
                dates.remove(date)
                over.append({"session_date": date, "underlier": underlier})
        return over

    def _let_go(self, lane: str, now: int) -> None:
        """Forget the subjects of a lane that are silent for a day at a time of the feed, ns UTC."""
        hour = now // _HOUR_NS
        if self._hours.get(lane) == hour:
            return
        self._hours[lane] = hour
        gone = [s for s, x in self._last.items() if x.lane == lane and now - x.end > _FORGOTTEN_NS]
        for subject in gone:
            del self._last[subject]
            for watches in self._watches.values():
                watches.pop(subject, None)

    def to_json(self) -> dict[str, Any]:
        """The whole state."""
        return {
            "last": {s: [x.end, x.identities, x.lane] for s, x in self._last.items()},
            "hours": self._hours,
            "sessions": self._sessions,
            "watches": {
                rule.name: {
                    "hash": rule.hash,
                    "of": {s: w.to_json() for s, w in self._watches[rule.name].items()},
                }
                for rule in self._rules
            },
        }

    def restore(self, told: Mapping[str, Any]) -> None:
        """Go on where `to_json` left off; a rule that was changed since begins with nothing."""
        self._last = {s: Last(end, list(seen), lane) for s, (end, seen, lane) in _last_of(told)}
        self._hours = dict(told.get("hours", {}))
        self._sessions = {u: list(dates) for u, dates in told["sessions"].items()}
        for rule in self._rules:
            kept = told["watches"].get(rule.name)
            if kept is not None and kept["hash"] == rule.hash:
                self._watches[rule.name] = {
                    s: Watch.restored(rule, w) for s, w in kept["of"].items()
                }


def _lane(r: Reading) -> str:
    return f"{r.partition} {r.underlier}"


def _last_of(told: Mapping[str, Any]) -> Iterable[tuple[str, list[Any]]]:
    """A state of before lanes were told has them learnt from each subject's next reading."""
    for subject, (end, seen, *of) in told["last"].items():
        yield subject, [end, seen, of[0] if len(of) == 1 else ""]
