"""Files onto the topic, as the ingestor does it, without a gateway between."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spymaster.bus import Bus, partition_of
from spymaster.contracts.event import BAR_NS, LATENESS_NS
from spymaster.engines.local import LocalEngine
from spymaster.feed import topic
from spymaster.feed.dbn import DbnReader
from spymaster.feed.topic import Batch, Mark, encode
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN, Processed
from spymaster.stages.envelope import wire_batch

NS = 1_000_000_000


def post(
    bus: Bus,
    settings: Settings,
    files: Iterable[Path],
    batch_records: int = 1_000,
    marks: bool = True,
    *,
    land: bool = True,
    since: int = 0,
    until: int = 2**63 - 1,
) -> int:
    """Publish MBO files, each a connection of its own; returns how many records went.

    Definition files are landed, so that the engine knows what is known before a session, and MBO
    files for their symbol mappings, unless not to `land`. `since`, `until`: only records
    from then on, and up to then, ns UTC.
    """
    paths = list(files)
    LocalEngine(settings).land([p for p in paths if "definition" in p.name])
    bus.create(topic.TOPIC, settings.bus.partitions)
    sent = 0
    with bus.producer("test") as producer:
        for path in paths:
            if "definition" in path.name:
                continue
            if land:
                LocalEngine(settings).land([path])
            rows = Lake(settings.root).scan("bronze.definitions").to_pylist()
            known = Instruments(Instrument.from_row(r) for r in rows)
            with DbnReader(path) as reader:
                venue = str(reader.metadata.dataset)
                post_ = _Connection(producer, settings, venue, known, path.name, marks)
                for chunk in reader.chunks(batch_records):
                    sent += post_.records(chunk.records[_within(chunk.records, since, until)])
            producer.flush()
    return sent


def _within(records: np.ndarray, since: int, until: int) -> np.ndarray:
    ts = records["ts_recv"]
    return (ts >= since) & (ts <= until)


class _Connection:
    def __init__(self, producer, settings, venue, known, name, marks) -> None:  # type: ignore[no-untyped-def]
        self._producer, self._n = producer, settings.bus.partitions
        self._stage = BronzeProcessDBN(venue, known, settings.underlier)
        self._venue, self._name, self._marks = venue, name, marks
        self._told: set[str] = set()
        self._read = 0
        self._mark = -1

    def records(self, records: np.ndarray) -> int:
        done = self._stage.advance(records)
        self._read += len(records)
        self._instruments()
        names = [str(c.contract_id) for c in self._stage.contracts]
        partition = np.array([partition_of(n, self._n) for n in names] or [0])
        for p in range(self._n):
            which = np.flatnonzero(partition[done.events["contract"]] == p)
            if len(which):
                self._send(p, self._batch(records, done, which))
        mark = self._stage.last_mark
        if self._marks and mark is not None and self._passes(mark):
            self._mark = mark
            for p in range(self._n):
                self._send(p, Mark(self._venue, mark))
        return len(done.events)

    def _passes(self, mark: int) -> bool:
        """A whole second, or a bar's end and the time a record may be late."""
        late = (mark - LATENESS_NS) // BAR_NS != (self._mark - LATENESS_NS) // BAR_NS
        return mark // NS != self._mark // NS or late

    def _instruments(self) -> None:
        for contract in self._stage.contracts:
            name = str(contract.contract_id)
            if name not in self._told:
                self._told.add(name)
                self._send(partition_of(name, self._n), contract)

    def _batch(self, records: np.ndarray, done: Processed, which: np.ndarray) -> Batch:
        return wire_batch(
            records, done, which, self._stage.contracts,
            venue=self._venue, batch_id=self._name, upto=self._read - 1, ingest_time=1,
        )  # fmt: skip

    def _send(self, partition: int, content: topic.Content) -> None:
        value, headers = encode(content)
        self._producer.publish(topic.TOPIC, value, partition=partition, headers=headers)
