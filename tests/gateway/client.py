"""Databento's own live client, unmodified, and what it heard from a gateway."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import databento
import numpy as np
from databento_dbn import DBNRecord, MBOMsg

from spymaster.feed.dbn import MBO_RECORD, DbnReader
from spymaster.feed.gateway import Gateway

DATASET = "GLBX.MDP3"
KEY = "db-0123456789abcdef"
PATIENCE_S = 60.0
ES = {"schema": "mbo", "symbols": ["ESH4"]}
ALL = {"schema": "mbo"}


class Wall:
    """A wall clock that goes when it is told to, ns."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@dataclass
class Heard:
    """What came, in its order. others: (MBO records before it, the message)."""

    raw: bytes = b""
    count: int = 0
    others: list[tuple[int, Any]] = field(default_factory=list)
    error: str | None = None

    @property
    def mbo(self) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "heard.dbn"
            path.write_bytes(self.raw)
            with DbnReader(path) as reader:
                parts = [chunk.records for chunk in reader.chunks()]
                assert reader.damage is None
        out = np.concatenate([np.empty(0, MBO_RECORD), *parts])
        out["length"] = MBO_RECORD.itemsize // 4
        return out

    def of(self, kind: str) -> list[tuple[int, Any]]:
        return [(n, m) for n, m in self.others if type(m).__name__ == kind]

    def system(self, code: str) -> list[tuple[int, str]]:
        return [(n, m.msg) for n, m in self.of("SystemMsg") if str(m.code) == code]

    def errors(self) -> list[tuple[int, str, str]]:
        return [(n, str(m.code), m.err) for n, m in self.of("ErrorMsg")]

    def symbols(self) -> dict[int, str]:
        return {m.instrument_id: m.stype_out_symbol for _, m in self.of("SymbolMappingMsg")}


def hear(
    gateway: Gateway,
    *subscriptions: dict[str, Any],
    until: Callable[[Heard], bool] | None = None,
    then: Callable[[databento.Live], None] | None = None,
    key: str = KEY,
    dataset: str = DATASET,
    **live: Any,
) -> Heard:
    """Connect, subscribe, and listen to the end, or until something has come.

    then: what to do on the connection once that has come; it goes on to the end after it.
    """
    heard, enough, stream = Heard(), threading.Event(), io.BytesIO()

    def take(record: DBNRecord) -> None:
        if isinstance(record, MBOMsg):
            heard.count += 1
        else:
            heard.others.append((heard.count, record))
        if until is not None and until(heard):
            enough.set()

    failures: list[Exception] = []
    client = databento.Live(key=key, gateway=gateway.host, port=gateway.port, **live)
    client.add_stream(stream, failures.append)
    client.add_callback(take, failures.append)
    try:
        for one in subscriptions or (ALL,):
            client.subscribe(dataset, **one)
        client.start()
        if until is not None:
            assert enough.wait(PATIENCE_S), f"only {heard.count} records and {heard.others[-3:]}"
        if until is not None and then is None:
            client.terminate()
        else:
            if then is not None:
                then(client)
            client.block_for_close(timeout=PATIENCE_S)
    except databento.BentoError as error:
        heard.error = str(error)
    assert failures == []
    heard.raw = stream.getvalue()
    return heard


def merge(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Records of several files as one feed, slowly: by ts_recv's running maximum, then file."""
    rows = []
    for rank, part in enumerate(parts):
        highest = 0
        for i, row in enumerate(part):
            highest = max(highest, int(row["ts_recv"]))
            rows.append((highest, rank, i))
    return np.array([parts[rank][i] for _, rank, i in sorted(rows)], MBO_RECORD)
