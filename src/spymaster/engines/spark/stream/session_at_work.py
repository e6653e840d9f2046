"""A session that is open on Spark: what the driver hears of its contracts, until all have ended."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass
class SessionAtWork:
    """Facts of its contracts, none of them a row of a book, a bar or a vector.

    `opened`: what it was begun with, as JSON. `begun`, `ended`: contracts. `small`: rows that
    later sessions ask for, by table. `rows`: how many were made, by table.
    """

    date: str
    opened: Mapping[str, Any]
    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    small: dict[str, list[Row]] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)

    def end(self, contract: str, told: Mapping[str, Any]) -> None:
        """A contract's part has ended."""
        self.ended.add(contract)
        for table, rows in told["small"].items():
            dated = [{**r, "session_date": _date(r["session_date"])} for r in rows]
            self.small.setdefault(table, []).extend(dated)
        counters = dict(told["counters"])
        missing = counters.pop("missing")
        if missing and missing not in self.missing:
            self.missing.append(missing)
        self.counters.update(counters)

    @property
    def whole(self) -> bool:
        """Every contract that has begun has ended."""
        return self.begun <= self.ended

    def to_json(self) -> Row:
        """The whole state."""
        return {
            "date": self.date,
            "opened": dict(self.opened),
            "begun": sorted(self.begun),
            "ended": sorted(self.ended),
            "small": {
                table: [{**r, "session_date": r["session_date"].isoformat()} for r in rows]
                for table, rows in self.small.items()
            },
            "rows": dict(self.rows),
            "counters": dict(self.counters),
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> SessionAtWork:
        """Back from `to_json`."""
        return cls(
            date=told["date"],
            opened=told["opened"],
            begun=set(told["begun"]),
            ended=set(told["ended"]),
            small={
                table: [{**r, "session_date": _date(r["session_date"])} for r in rows]
                for table, rows in told["small"].items()
            },
            rows=Counter(told["rows"]),
            counters=Counter(told["counters"]),
            missing=list(told["missing"]),
        )


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def reasons(missing: Sequence[str]) -> str | None:
    """What a session lacks, in one line."""
    return "; ".join(missing) or None
