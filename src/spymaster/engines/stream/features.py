"""Vectors and feature series to the topic `features_gold`, as soon as they are made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import orjson

from spymaster.bus import Bus, partition_of
from spymaster.contracts import TABLES
from spymaster.contracts.arrow import to_arrow
from spymaster.engines.sink import as_arrow
from spymaster.stages.rows import Rows

TOPIC = "features_gold"
#: Table -> kind of message.
KINDS = {"gold.setup_vectors": "vector", "gold.feature_series": "series"}


def messages(
    rows: Iterable[Rows], session_date: dt.date, underlier: str, kind: str, data_version: str
) -> Iterable[tuple[str, str, bytes]]:
    """(kind of message, contract, JSON) of the rows that travel; NaN and null as null."""
    for r in rows:
        if r.table not in KINDS or not len(r):
            continue
        told = {
            "data_version": data_version,
            "session_date": session_date,
            "underlier": underlier,
            "instrument_type": kind,
        }
        columns = {name: as_arrow(value) for name, value in r.columns.items()}
        for row in to_arrow(TABLES[r.table], r.records, {**told, **columns}).to_pylist():
            # NaN becomes null, a date its ISO form, a float the shortest text that reads back.
            yield KINDS[r.table], row["contract_id"], orjson.dumps(row)


class Features:
    """Publishes; a message may come twice after a restart, with the same identity."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._producer = bus.producer(name)
        self._partitions = bus.partitions(TOPIC)
        self._waiting = 0
        self.vectors = 0

    def add(
        self, rows: Iterable[Rows], date: dt.date, underlier: str, kind: str, data_version: str
    ) -> None:
        """Take the rows that travel, of one session and kind of contract."""
        for told, contract, value in messages(rows, date, underlier, kind, data_version):
            self._producer.publish(
                TOPIC,
                value,
                partition=partition_of(contract, self._partitions),
                key=contract,
                headers={"kind": told},
            )
            self._waiting += 1
            self.vectors += told == "vector"

    def flush(self) -> None:
        """All that was added can be read when this returns."""
        if self._waiting:
            self._producer.flush()
            self._waiting = 0

    def close(self) -> None:
        """Let go of the bus."""
        self._producer.close()
