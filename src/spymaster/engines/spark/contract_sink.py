"""Rows of one contract's session on their way out of a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import to_arrow
from spymaster.engines.sink import as_arrow, combine
from spymaster.engines.spark.staged import Piece, packed
from spymaster.lake.parquet import Part
from spymaster.stages.rows import Rows

ENOUGH = 1 << 15


class ContractSink:
    """Gathers rows by table; `take` gives those of which there are enough, `rest` all of them.

    `constants`: what all rows share, the partition's date and underlier among it.
    """

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self.rows: dict[str, int] = defaultdict(int)
        self._constants = constants
        self._waiting: dict[tuple[str, str], list[Rows]] = defaultdict(list)
        self._count: dict[tuple[str, str], int] = defaultdict(int)

    def add(self, rows: Iterable[Rows], instrument_type: str) -> None:
        """Take rows of a kind of contract."""
        for r in rows:
            if len(r):
                key = (r.table, instrument_type)
                self._waiting[key].append(r)
                self._count[key] += len(r)
                self.rows[r.table] += len(r)

    def take(self, enough: int = ENOUGH) -> list[Piece]:
        """The tables of which at least so many rows wait."""
        ready = [key for key, rows in self._count.items() if rows >= enough]
        return [self._packed(*key) for key in ready]

    def rest(self) -> list[Piece]:
        """All that waits."""
        return self.take(1)

    def _packed(self, name: str, kind: str) -> Piece:
        rows = self._waiting.pop((name, kind))
        del self._count[name, kind]
        table = TABLES[name]
        whole = combine(table, rows)
        columns = {column: as_arrow(value) for column, value in whole.columns.items()}
        given = {**self._constants, "instrument_type": kind, **columns}
        return packed(kind, name, to_arrow(table, whole.records, given, dictionary=True))

    def close(self) -> dict[str, list[Part]]:
        """Nothing goes to files here."""
        return {}

    def abandon(self) -> None:
        self._waiting.clear()
        self._count.clear()
