"""What the lake knows of its sessions, read once per run and kept current as sessions are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spymaster.contracts.stream import SUFFIX
from spymaster.lake import Lake
from spymaster.lake import lineage as provenance
from spymaster.market.sessions import Session

Row = dict[str, Any]

SUMMARY, CONTRACT_DAY = "silver.session_summary", "silver.contract_day"


class Ledger:
    """Lineage, summaries and selected contracts of every session in the lake.

    Options are left out: no later session depends on one. `streamed`: also of the sessions that
    only a stream has made so far.
    """

    def __init__(self, lake: Lake, *, streamed: bool = False) -> None:
        self._lineage = provenance.latest(lake)
        self._rows: dict[str, dict[tuple[str, str], list[Row]]] = {}
        for table in (SUMMARY, CONTRACT_DAY):
            kept = self._rows[table] = _by_session(lake, table)
            if streamed:
                self._rows[table] = {**_by_session(lake, table + SUFFIX), **kept}

    def lineage(self, session: Session) -> Mapping[str, Any]:
        """The last lineage row of a session, empty if it was never begun."""
        return self._lineage.get(_key(session), {})

    def computed(self, underlier: str) -> set[str]:
        """The dates of the sessions that were ever begun."""
        return {date for date, name in self._lineage if name == underlier}

    def before(self, table: str, session: Session) -> list[Row]:
        """Rows of the sessions before this one, by session and contract."""
        date, name = _key(session)
        found = [
            row
            for (d, n), rows in self._rows[table].items()
            if n == name and d < date
            for row in rows
        ]
        return sorted(found, key=lambda r: (r["session_date"], r["contract_id"]))

    def rows(self, table: str, session: Session) -> list[Row]:
        """Rows of one session."""
        return self._rows[table].get(_key(session), [])

    def learn(self, date: str, underlier: str, tables: Mapping[str, Iterable[Row]]) -> None:
        """Rows of SUMMARY and CONTRACT_DAY of a session that the lake does not have yet."""
        for table, rows in tables.items():
            kept = [r for r in rows if r["instrument_type"] != "OPT"]
            self._rows[table].setdefault((date, underlier), kept)

    def note(
        self, session: Session, tables: Mapping[str, Iterable[Row]], lineage: Row | None = None
    ) -> None:
        """A session was made: its rows of SUMMARY and CONTRACT_DAY, and its lineage row."""
        for table, rows in tables.items():
            self._rows[table][_key(session)] = [r for r in rows if r["instrument_type"] != "OPT"]
        if lineage is not None:
            self._lineage[_key(session)] = lineage


def _by_session(lake: Lake, table: str) -> dict[tuple[str, str], list[Row]]:
    kept: dict[tuple[str, str], list[Row]] = {}
    for row in lake.scan(table, missing_ok=True).to_pylist():
        if row["instrument_type"] != "OPT":
            kept.setdefault((str(row["session_date"]), row["underlier"]), []).append(row)
    return kept


def _key(session: Session) -> tuple[str, str]:
    return session.session_date.isoformat(), session.underlier
