"""Vectors, outcomes, series, books and levels to the topic `features_gold`, as soon as made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson

from spymaster.bus import Bus, partition_of
from spymaster.contracts import TABLES
from spymaster.contracts.column import INT_NULL
from spymaster.stages.rows import Coded, Rows

TOPIC = "features_gold"
#: What somebody waits for: a score is asked for with it. It can be read before the rest is encoded.
PROMPT = ("gold.setup_vectors", "gold.labels")
#: Table -> kind of message.
KINDS = {
    "gold.setup_vectors": "vector",
    "gold.labels": "outcome",
    "gold.feature_series": "series",
    "silver.orderbook_state": "book",
    "silver.session_levels": "level",
}


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
        for row in _plain(r, told):
            yield KINDS[r.table], row["contract_id"], orjson.dumps(row)


def _plain(r: Rows, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows as Python values, in the contract's order.

    Not by Arrow: a bar's few rows must be on their way within a ms. NaN is left to the encoder,
    which writes null, a date in its ISO form, a float as the shortest text that reads back.
    """
    table, n = TABLES[r.table], len(r)
    fields = () if r.records is None else (r.records.dtype.names or ())
    columns = {}
    for column in table.columns:
        name = column.name
        if r.records is not None and name in fields:
            values = r.records[name].tolist()
            if column.type in ("int64", "int32") and column.null:
                values = [None if v == INT_NULL else v for v in values]
        else:
            given = told[name] if name in told else r.columns[name]
            values = _per_row(column.type, given, n)
        columns[name] = values
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _per_row(type_: str, given: Any, n: int) -> list[Any]:
    if isinstance(given, Coded):
        return [given.words[code] for code in given.codes.tolist()]
    if isinstance(given, np.ndarray):
        return list(given.tolist())
    if isinstance(given, list) and (not type_.startswith("list") or _nested(given)):
        return given
    return [given] * n


def _nested(given: list[Any]) -> bool:
    return bool(given) and isinstance(given[0], list | tuple | np.ndarray)


class Features:
    """Publishes; a message may come twice after a restart, with the same identity."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._producer = bus.producer(name)
        self._partitions = bus.partitions(TOPIC)
        self._later: list[tuple[list[Rows], dt.date, str, str, str]] = []
        self._waiting = 0
        self.vectors = 0

    def add(
        self, rows: Iterable[Rows], date: dt.date, underlier: str, kind: str, data_version: str
    ) -> None:
        """Take the rows that travel, of one session and kind of contract."""
        prompt: list[Rows] = []
        later: list[Rows] = []
        for r in rows:
            (prompt if r.table in PROMPT else later).append(r)
        if prompt:
            self._publish(prompt, date, underlier, kind, data_version)
        if later:
            self._later.append((later, date, underlier, kind, data_version))

    def _publish(
        self, rows: Iterable[Rows], date: dt.date, underlier: str, kind: str, data_version: str
    ) -> None:
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
        """All that was added can be read when this returns; vectors and outcomes before it."""
        self._flush()
        for rows in self._later:
            self._publish(*rows)
        self._later.clear()
        self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._producer.flush()
            self._waiting = 0

    def close(self) -> None:
        """Let go of the bus."""
        self._producer.close()
