"""What the scoring loop remembers: what has been scored, and scores that wait for their outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spymaster.contracts.scores import SCORE, SCORE_OUTCOME
from spymaster.scoring.vector import Outcome

Row = dict[str, Any]
_TOLD = tuple(c.name for c in SCORE_OUTCOME.columns)
_TRACES = tuple(c.name for c in SCORE.columns if c.kind == "trace")
#: Sessions of an underlier whose vectors may still come a second time.
SESSIONS = 2


class Memory:
    """The vectors taken, per underlier and session, and the scores without an outcome.

    A stream that was killed publishes its last vectors again; they are scored once.
    """

    def __init__(self) -> None:
        self._taken: dict[str, dict[str, set[str]]] = {}  # underlier -> session -> hashes
        self._waiting: dict[str, Row] = {}

    def has(self, identity: Mapping[str, Any]) -> bool:
        """Whether a vector was taken before."""
        sessions = self._taken.get(identity["underlier"], {})
        return identity["feature_hash"] in sessions.get(identity["session_date"], ())

    def take(self, identity: Mapping[str, Any]) -> None:
        """A vector has its score, or was given up."""
        sessions = self._taken.setdefault(identity["underlier"], {})
        sessions.setdefault(identity["session_date"], set()).add(identity["feature_hash"])

    def scored(self, row: Row) -> None:
        """A score waits for its outcome."""
        self._waiting[row["feature_hash"]] = row

    def outcome(self, outcome: Outcome) -> Row | None:
        """The score beside what came of it; None for a vector without one, or told before."""
        row = self._waiting.pop(outcome.hash, None)
        if row is None:
            return None
        told = {**row, "label": outcome.label, "known_at": outcome.known_at}
        return {name: told[name] for name in _TOLD}

    def forget(self) -> list[dict[str, str]]:
        """Let go of sessions before the last ones; those over since, as partitions."""
        over = []
        for underlier, sessions in self._taken.items():
            for date in sorted(sessions)[:-SESSIONS]:
                del sessions[date]
                over.append({"session_date": date, "underlier": underlier})
        for partition in over:
            self._waiting = {
                h: row
                for h, row in self._waiting.items()
                if any(str(row[name]) != value for name, value in partition.items())
            }
        return over

    def to_json(self) -> dict[str, Any]:
        """The whole state."""
        taken = {u: {d: sorted(h) for d, h in s.items()} for u, s in self._taken.items()}
        return {"taken": taken, "waiting": list(self._waiting.values())}

    def restore(self, told: Mapping[str, Any]) -> None:
        """Go on where `to_json` left off."""
        self._taken = {u: {d: set(h) for d, h in s.items()} for u, s in told["taken"].items()}
        self._waiting = {row["feature_hash"]: row for row in told["waiting"]}

    def know(self, scores: Iterable[Row], errors: Iterable[Row], outcomes: Iterable[Row]) -> None:
        """Rows that the tables have already."""
        told = {row["feature_hash"] for row in outcomes}
        for row in scores:
            plain = {n: v for n, v in row.items() if n not in _TRACES}
            plain["session_date"] = str(row["session_date"])
            self.take(plain)
            if row["feature_hash"] not in told:
                self.scored(plain)
        for row in errors:
            self.take({**row, "session_date": str(row["session_date"])})
