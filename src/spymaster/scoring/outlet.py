"""Where scores go: to their topics at once, and into the rows of an epoch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from spymaster.bus import Bus, partition_of
from spymaster.contracts.column import Table
from spymaster.contracts.scores import SCORE, SCORE_ERROR, SCORE_OUTCOME
from spymaster.lake import Lake, Part

SCORES, ERRORS = "inference_scores", "inference_errors"
Row = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """An epoch's rows, as the committer takes them; `ended`: sessions that are over."""

    by_table: Mapping[str, list[Row]]
    ended: Sequence[Mapping[str, str]] = field(default_factory=list)

    def share(self, lake: Lake, app: str) -> None:
        """Nothing beside the epoch's own tables."""

    def files(self) -> dict[str, list[Part]]:
        """None: the rows are few."""
        return {}

    def rows(self, table: str) -> list[Row]:
        """The rows of a table."""
        return self.by_table.get(table, [])


class ScoreOutlet:
    """Publishes; gathers the same rows for the lake."""

    def __init__(self, lake: Lake, bus: Bus, partitions: int) -> None:
        for topic in (SCORES, ERRORS):
            bus.create(topic, partitions)
        self._producer = bus.producer("score")
        self._partitions = partitions
        self._rows: dict[str, list[Row]] = {}
        self._waiting = 0

    def score(self, row: Row) -> None:
        """A vector has its score."""
        self._publish(SCORES, SCORE, row)

    def error(self, row: Row) -> None:
        """A vector is given up."""
        self._publish(ERRORS, SCORE_ERROR, row)

    def outcome(self, row: Row) -> None:
        """What came of a score."""
        self._add(SCORE_OUTCOME, row)

    def _publish(self, topic: str, table: Table, row: Row) -> None:
        contract = str(row["contract_id"])
        told = {name: row[name] for name in table.names}
        self._producer.publish(
            topic,
            orjson.dumps(told),
            partition=partition_of(contract, self._partitions),
            key=contract,
        )
        self._waiting += 1
        self._add(table, row)

    def _add(self, table: Table, row: Row) -> None:
        date = dt.date.fromisoformat(row["session_date"])
        self._rows.setdefault(table.name, []).append({**row, "session_date": date})

    def flush(self) -> None:
        """What was published can be read when this returns."""
        if self._waiting:
            self._producer.flush()
            self._waiting = 0

    def cut(self, ended: Sequence[Mapping[str, str]]) -> Scored:
        """The rows since the last time."""
        rows, self._rows = self._rows, {}
        return Scored(rows, ended)

    def close(self) -> None:
        """Let go of the bus."""
        self._producer.close()
