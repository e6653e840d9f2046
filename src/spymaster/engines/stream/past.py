"""Sessions that the stream has ended: what later ones ask of them, before it is in the lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from spymaster.engines.ledger import Ledger, Row
from spymaster.market.sessions import Session

#: The range scale looks back five sessions, the levels one.
_KEPT = 8


class PastSessions:
    """The last sessions of each underlier, with their summaries and selected contracts."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, dict[str, list[Row]]]] = {}
        self._skipped: dict[str, str] = {}

    def skip(self, begun: Mapping[str, str]) -> None:
        """Sessions up to these are not to be made."""
        self._skipped = dict(begun)

    def has(self, underlier: str, date: str) -> bool:
        """Has this session ended, or a later one, or is it not to be made?"""
        ended = max(self._rows.get(underlier, {"": {}}))
        return date <= max(ended, self._skipped.get(underlier, ""))

    def add(self, session: Session, small: Mapping[str, list[Row]]) -> None:
        """A session ended; `small`: its rows of the tables that later sessions read."""
        kept = self._rows.setdefault(session.underlier, {})
        kept[session.session_date.isoformat()] = {t: list(rows) for t, rows in small.items()}
        for date in sorted(kept)[:-_KEPT]:
            del kept[date]

    def into(self, ledger: Ledger) -> None:
        """Tell a ledger of those that the lake does not have yet."""
        for underlier, sessions in self._rows.items():
            for date, tables in sessions.items():
                ledger.learn(date, underlier, tables)

    def to_json(self) -> dict[str, Any]:
        """The whole state."""
        return {
            name: {
                date: {t: [_plain(r) for r in rows] for t, rows in tables.items()}
                for date, tables in sessions.items()
            }
            for name, sessions in self._rows.items()
        }

    def restore(self, told: Mapping[str, Any]) -> None:
        """Go on where `to_json` left off."""
        self._rows = {
            name: {
                date: {t: [_dated(r) for r in rows] for t, rows in tables.items()}
                for date, tables in sessions.items()
            }
            for name, sessions in told.items()
        }


def _plain(row: Row) -> Row:
    return {**row, "session_date": row["session_date"].isoformat()}


def _dated(row: Row) -> Row:
    return {**row, "session_date": dt.date.fromisoformat(row["session_date"])}
