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


@dataclass
class Last:
    """The newest time of a subject, and what came of it: a stream that was killed tells again."""

    end: int
    identities: list[str]
    underlier: str = ""
    session_date: str = ""

    def is_new(self, r: Reading) -> bool:
        """Whether a reading has not come before; takes it if so."""
        if r.end < self.end or (r.end == self.end and r.identity in self.identities):
            return False
        if r.end > self.end:
            self.end, self.identities = r.end, []
            self.underlier, self.session_date = r.underlier, r.session_date
        self.identities.append(r.identity)
        return True


class Memory:
    """Readings in, alerts out; everything that they depend on."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = list(rules)
        self._last: dict[str, Last] = {}
        self._watches: dict[str, dict[str, Watch]] = {rule.name: {} for rule in self._rules}
        self._sessions: dict[str, list[str]] = {}

    def see(self, r: Reading) -> list[dict[str, Any]]:
        """The alerts of one more reading."""
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
                gone = (underlier, date)
                self._last = {
                    s: x for s, x in self._last.items() if (x.underlier, x.session_date) != gone
                }
        return over

    def to_json(self) -> dict[str, Any]:
        """The whole state."""
        return {
            "last": {
                s: [x.end, x.identities, x.underlier, x.session_date] for s, x in self._last.items()
            },
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
        self._last = {s: Last(end, list(seen), *of) for s, (end, seen, *of) in told["last"].items()}
        self._sessions = {u: list(dates) for u, dates in told["sessions"].items()}
        for rule in self._rules:
            kept = told["watches"].get(rule.name)
            if kept is not None and kept["hash"] == rule.hash:
                self._watches[rule.name] = {
                    s: Watch.restored(rule, w) for s, w in kept["of"].items()
                }
