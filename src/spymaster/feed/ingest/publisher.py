"""Records, marks, gaps and instruments onto the topic, each in its partition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.bus import Bus, partition_of
from spymaster.contracts.event import BAR_NS, LATENESS_NS
from spymaster.feed.dbn import Chunk
from spymaster.feed.topic import TOPIC, Content, Gap, Mark, encode
from spymaster.market.identify import Instrument
from spymaster.settings import BusSettings
from spymaster.stages.bronze_process_dbn import Processed
from spymaster.stages.envelope import wire_batch

_SECOND = 1_000_000_000
#: Bytes of a message that are not its records', and of a record before it is packed.
_HEAD, _RECORD = 20_000, 90
#: In place of a record's number: a partition has all of the capture, and of a later one.
COMPLETE = 2**62


class Publisher:
    """Puts one venue's feed onto the topic, capture after capture.

    Every message tells in its headers the venue, the capture (`batch_id`) and the number in it
    of the last record of its partition that the topic has (`upto`). `now` stamps, ns UTC.
    """

    def __init__(self, bus: Bus, venue: str, settings: BusSettings, now: Callable[[], int]) -> None:
        bus.create(TOPIC, settings.partitions)
        self.partitions = bus.partitions(TOPIC)
        self._venue, self._now, self._limit = venue, now, settings.max_message_bytes
        self._most = max(1, (self._limit - _HEAD) // _RECORD)
        self._producer = bus.producer(f"ingest-{venue}")
        self._batch_id = ""
        self._after: Mapping[int, int] = {}
        self._lanes: list[int] = []
        self._mark = (0, 0)
        #: Partition -> the capture and number that its last message tells.
        self.places: dict[int, tuple[str, int]] = {}

    def begin(self, batch_id: str, after: Mapping[int, int] | None = None) -> None:
        """Another capture. after: partition -> its last record there that the topic has."""
        self._batch_id, self._after, self._lanes = batch_id, after or {}, []

    def records(self, chunk: Chunk, done: Processed, contracts: list[Instrument], end: int) -> None:
        """Publish a chunk of the capture after bronze's stage; `end`: its last record's number."""
        for instrument in contracts[len(self._lanes) :]:
            self._instrument(instrument, chunk.first - 1)
        if not len(done.events):
            return
        numbers = (
            done.sources + chunk.first if chunk.numbers is None else chunk.numbers[done.sources]
        )
        lanes = None
        if self.partitions > 1:
            lanes = np.array(self._lanes, np.int64)[done.events["contract"]]
        for partition in range(self.partitions):
            mine = np.arange(len(numbers)) if lanes is None else np.flatnonzero(lanes == partition)
            if (after := self._after.get(partition, -1)) >= chunk.first:
                mine = mine[numbers[mine] > after]
            for a in range(0, len(mine), self._most):
                which = mine[a : a + self._most]
                last = a + self._most >= len(mine)
                upto = end if last else int(numbers[which[-1]])
                self._batch(chunk, done, which, contracts, partition, upto, numbers)

    def mark(self, ts_recv: int, upto: int, *, always: bool = False) -> None:
        """Tell every partition the feed's time, where a second or a bar has ended since."""
        passed = (ts_recv // _SECOND, (ts_recv - LATENESS_NS) // BAR_NS)
        if passed == self._mark and not always:
            return
        self._mark = passed
        for partition in range(self.partitions):
            if upto >= self._after.get(partition, -1):
                self._send(Mark(self._venue, ts_recv), partition, upto, None)

    def gap(self, gap: Gap) -> None:
        """Tell every partition what is missing before the capture's first record."""
        for partition in range(self.partitions):
            if self._after.get(partition, -1) < 0:
                self._send(gap, partition, -1, None)

    def flush(self) -> None:
        """What was published can be read, and survives."""
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()

    def _instrument(self, instrument: Instrument, upto: int) -> None:
        contract = str(instrument.contract_id)
        lane = partition_of(contract, self.partitions)
        self._lanes.append(lane)
        if self._after.get(lane, -1) >= COMPLETE:
            return
        self._send(instrument, lane, max(upto, self._after.get(lane, -1)), contract)

    def _batch(
        self,
        chunk: Chunk,
        done: Processed,
        which: NDArray[np.int64],
        contracts: list[Instrument],
        partition: int,
        upto: int,
        numbers: NDArray[np.int64],
    ) -> None:
        batch = wire_batch(
            chunk.records,
            done,
            which,
            contracts,
            venue=self._venue,
            batch_id=self._batch_id,
            upto=upto,
            ingest_time=self._now(),
        )
        value, headers = encode(batch)
        if len(value) > self._limit - 1_000 and len(which) > 1:
            middle = len(which) // 2
            before = int(numbers[which[middle - 1]])
            self._batch(chunk, done, which[:middle], contracts, partition, before, numbers)
            self._batch(chunk, done, which[middle:], contracts, partition, upto, numbers)
            return
        key = batch.contracts[0][0] if len(batch.contracts) == 1 else None
        self._producer.publish(TOPIC, value, partition=partition, key=key, headers=headers)
        self.places[partition] = (self._batch_id, upto)

    def _send(self, content: Content, partition: int, upto: int, key: str | None) -> None:
        value, headers = encode(content)
        told: dict[str, Any] = {
            **headers,
            "venue": self._venue,
            "batch_id": self._batch_id,
            "upto": str(upto),
        }
        self._producer.publish(TOPIC, value, partition=partition, key=key, headers=told)
        self.places[partition] = (self._batch_id, upto)
