"""A rule of the settings, and the alert that it gives."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import blake2b
from typing import Any

from spymaster.alerts.reading import Reading
from spymaster.settings import RuleSettings


@dataclass(frozen=True)
class Rule:
    """A rule by its name."""

    name: str
    settings: RuleSettings

    @cached_property
    def condition(self) -> str:
        """What is asked of the figure, in a word or two."""
        s = self.settings
        if s.condition != "anomaly":
            return f"{s.condition} {s.value:g}"
        season = f", seasonality {s.seasonality}" if s.seasonality else ""
        way = "" if s.direction == "both" else f" {s.direction}"
        far = f", {s.value:g} away" if s.value > 0 else ""
        return f"anomaly{way} beyond {s.threshold:g} in {s.window} bars, {s.trend}{season}{far}"

    @cached_property
    def hash(self) -> str:
        """Of all that decides whether it gives an alert: what is remembered belongs to it."""
        told = self.settings.model_dump(mode="json", exclude={"severity", "to", "enabled"})
        return blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()

    def is_for(self, reading: Reading) -> bool:
        """Is the subject one of those that it watches?"""
        s = self.settings
        return (
            s.underlier in ("", reading.underlier)
            and reading.instrument_type in s.instrument_types
            and (not s.contract or fnmatchcase(reading.contract_id, s.contract))
        )


@dataclass(frozen=True)
class Seen:
    """What a rule saw when its condition had held for long enough."""

    began_at: int
    value: float | None
    score: float | None
    baseline: float | None
    times: int


def alert_id(rule: str, subject: str, at: int) -> str:
    """The same for the same alert, whoever gives it again."""
    return blake2b(f"{rule}\0{subject}\0{at}".encode(), digest_size=16).hexdigest()


def alert(rule: Rule, r: Reading, seen: Seen, clock: str = "feed") -> dict[str, Any]:
    """A row of gold.alerts_stream but for `given_at`, its date as text."""
    return {
        "rule": rule.name,
        "subject": r.subject,
        "at": r.end,
        "began_at": seen.began_at,
        "clock": clock,
        "contract_id": r.contract_id or None,
        "what": rule.settings.what,
        "condition": rule.condition,
        "value": seen.value,
        "score": seen.score,
        "baseline": seen.baseline,
        "times": seen.times,
        "severity": rule.settings.severity,
        "session_date": r.session_date,
        "underlier": r.underlier,
        "instrument_type": r.instrument_type,
        "alert_id": alert_id(rule.name, r.subject, r.end),
    }


def hash_of(rules: Iterable[Rule]) -> str:
    """Of all that decides which alerts these rules give."""
    told = sorted((rule.name, rule.hash) for rule in rules)
    return blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()


def rules_of(rules: Mapping[str, RuleSettings], figures: Mapping[str, str]) -> list[Rule]:
    """The rules that are enabled and watch one of these figures."""
    return [Rule(n, s) for n, s in rules.items() if s.enabled and s.what in figures]
