"""The way of records: into the capture, through bronze's stage, onto the topic."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import ACTION_CLEAR, F_SNAPSHOT, NOTE_BACKWARDS, NS
from spymaster.feed import dbn_records as dbn
from spymaster.feed.control import Control
from spymaster.feed.dbn import Chunk, DbnReader, cut
from spymaster.feed.ingest.boundary import next_boundary
from spymaster.feed.ingest.capture import FOLDER, Capture
from spymaster.feed.ingest.lander import MOST_REFUSED, Lander
from spymaster.feed.ingest.publisher import Publisher
from spymaster.feed.ingest.stream import KNOWN, cut_whole, offset_of
from spymaster.feed.ingest.tail import Tail
from spymaster.feed.topic import Gap
from spymaster.lake.tables import Lake
from spymaster.market.clock import DAY_NS
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN, Processed

log = logging.getLogger(__name__)

DEFINITIONS = "bronze.definitions"
_TELLING = (dbn.RTYPE_DEFINITION, dbn.RTYPE_SYMBOL_MAPPING)
_AT_ONCE = 65_536
_UNDEFINED = 2**63 - 1
#: A vendor's day begins with a market snapshot; a feed that plays one has sent it by then.
_PATIENCE_NS = 60 * NS


@dataclass
class Counts:
    """What a feed came to in this process."""

    records: int = 0
    published: int = 0
    backwards: int = 0
    refused: int = 0
    skipped: int = 0
    unidentified: int = 0
    captures: int = 0
    gaps: int = 0


@dataclass
class _Open:
    """The capture that is being written, or read again."""

    batch_id: str
    control: Control
    stage: BronzeProcessDBN
    tail: Tail = field(default_factory=Tail)
    refused: list[dict[str, Any]] = field(default_factory=list)


class Flow:
    """Takes one dataset's records, connection after connection.

    `tail`: how far the feed has come. `now` gives ns UTC. Raises LakeError and BusError where
    it cannot go on; what was taken before is in the capture.
    """

    def __init__(
        self,
        dataset: str,
        settings: Settings,
        lake: Lake,
        publisher: Publisher,
        lander: Lander,
        now: Callable[[], int],
    ) -> None:
        assert lake.place.local is not None
        self.counts, self.tail = Counts(), Tail()
        self.folder: Path = lake.place.local / FOLDER / dataset
        self.last_start = 0
        self._booked = 0  # the last UTC day in which a book began
        self.lake = lake
        self._dataset, self._settings, self._lake = dataset, settings, lake
        self._publisher, self._lander, self._now = publisher, lander, now
        self._underliers = {n: u for n, u in settings.underlier.items() if u.venue == dataset}
        lake.create(DEFINITIONS)
        rows = lake.scan(DEFINITIONS).to_pylist()
        held = [Instrument.from_row(r) for r in rows if r["venue"] == dataset]
        self._instruments = Instruments(held)
        self._noted = {replace(i, batch_id=None) for i in held}
        self._capture: Capture | None = None
        self._open: _Open | None = None
        self._begin(None)

    # A connection

    def connect(self, gap: str | None) -> None:
        """A new connection begins; why records before it are missing, if they are."""
        self._begin(gap)

    def _begin(self, gap: str | None) -> None:
        self._gap = gap
        self._before: list[dbn.Bytes] = []
        self._told: dict[tuple[int, int], bytes] = {}
        self._boundary = _UNDEFINED
        self._closing: int | None = None

    @property
    def without_book(self) -> bool:
        """This UTC day's captures hold no market snapshot or R, and it began a while ago.

        Who reads the day alone, as a session's history does, has no book then.
        """
        day = self.tail.ts_recv // DAY_NS
        return day > self._booked and self.tail.ts_recv - day * DAY_NS > _PATIENCE_NS

    def take(self, data: dbn.Bytes) -> None:
        """Whole records in the connection's order: on disk, on the topic, when it returns."""
        while len(data):
            first = 0 if self._capture is None else self._capture.records
            chunk, used = cut(data, first, dbn.WORDS, KNOWN, _AT_ONCE)
            self._part(data[:used], chunk)
            data = data[used:]

    def finish(self) -> None:
        """The connection has ended: its capture is closed and lands."""
        if self._capture is not None:
            self._close()
        self._begin(None)

    def _part(self, data: dbn.Bytes, chunk: Chunk) -> None:
        if self._capture is None:
            first = _first_time(chunk.records)
            if not first:
                self._before.append(data)
                return
            self._new_capture(first)
            data = np.concatenate([*self._before, data])
            self._before = []
            chunk = cut_whole(data, 0)
        cuts = self._cuts(chunk.records)
        if cuts is None:
            self._write(data, chunk)
            return
        old, new = (self._bytes_before(data, chunk, at) for at in cuts)
        self._write(data[:old], cut_whole(data[:old], chunk.first))
        self._roll(_first_time(chunk.records[cuts[1] :]) or self.tail.ts_recv)
        self.take(data[new:])

    def _remember(self, chunk: Chunk) -> None:
        for other in chunk.others:
            if other.rtype in _TELLING:
                number = int.from_bytes(other.raw[4:8], "little")
                self._told[other.rtype, number] = other.raw

    # Captures

    def _new_capture(self, ts_recv: int) -> None:
        """History reads a day's files by their start: so they begin in the order they came."""
        self.last_start = start = max(ts_recv, self.last_start + 1)
        batch_id = uuid.uuid4().hex[:16]
        self._capture = Capture(self.folder, self._dataset, start, batch_id)
        self.counts.captures += 1
        self._open = self._opened(batch_id, self._capture.metadata)
        self._boundary = next_boundary(self._underliers, start)
        self._publisher.begin(batch_id)
        if self._gap is not None:
            self._tell_gap(batch_id, ts_recv, self._gap)
            self._gap = None

    def _opened(self, batch_id: str, metadata: Any) -> _Open:
        control = Control(metadata, self._settings.underlier, batch_id)
        stage = BronzeProcessDBN(self._dataset, self._instruments, self._settings.underlier)
        return _Open(batch_id, control, stage)

    def _tell_gap(self, batch_id: str, to_ts: int, reason: str) -> None:
        gap = Gap(self._dataset, self.tail.ts_recv, to_ts, reason)
        rows = [{**vars(gap), "underlier": n, "batch_id": batch_id} for n in self._underliers]
        self._lake.append_rows("bronze.gaps", rows, (f"bronze.gaps/{batch_id}/before", 1))
        self._publisher.gap(gap)
        self.counts.gaps += 1
        log.warning("%s: a gap from %d to %d: %s", self._dataset, gap.from_ts, to_ts, reason)

    @staticmethod
    def _bytes_before(data: dbn.Bytes, chunk: Chunk, at: int) -> int:
        if at == len(chunk.records):
            return len(data)
        return offset_of(data, chunk.number(at) - chunk.first)

    def _cuts(self, records: NDArray[Any]) -> tuple[int, int] | None:
        """Where the old file ends and where the new one begins, among these records.

        At a session's end the old one ends after the first group at or past it: the mark that the
        session needs. At midnight it ends before that group, as the vendor's files of a day do.
        """
        assert self._open is not None
        times = records["ts_recv"]
        if not len(records) or (self._closing is None and int(times.max()) < self._boundary):
            return None
        times = np.where((times > 0) & (times < _UNDEFINED), times, 0)
        high = np.maximum.accumulate(np.maximum(times, self._open.tail.ts_recv))
        if self._closing is None:
            a = int(np.searchsorted(high, self._boundary))
            if a == len(high):
                return None
            if self._boundary % DAY_NS == 0:
                return a, a
            self._closing = int(high[a])
        b = int(np.searchsorted(high, self._closing, "right"))
        return (b, b) if b < len(records) else None

    def _roll(self, ts_recv: int) -> None:
        """The next file stands by itself: it begins with what is known of instruments."""
        told = np.frombuffer(bytearray().join(self._told.values()), np.uint8)
        self._close()
        self._closing = None
        self._new_capture(ts_recv)
        self._write(told, cut_whole(told, 0))

    def _close(self) -> None:
        assert self._capture is not None
        assert self._open is not None
        self._publisher.mark(self._open.tail.ts_recv, self._capture.records - 1, always=True)
        self._publisher.flush()
        self._capture.close()
        self._keep()
        self._lander.add(self._capture.path, self._open.refused)
        self._capture = None

    def _keep(self) -> None:
        """What this capture has taught goes on with the feed."""
        assert self._open is not None
        self._instruments = self._open.stage.instruments
        self.tail = self.tail.further(self._open.tail)

    # Records

    def _write(self, data: dbn.Bytes, chunk: Chunk) -> None:
        assert self._capture is not None
        if chunk.count:
            self._remember(chunk)
            self._capture.write(data, chunk.count)
            self._book(chunk.records)
            self._publish(chunk)

    def _publish(self, chunk: Chunk) -> None:
        assert self._open is not None
        now = self._open
        learnt = now.control.take(chunk)
        self._note([row for _, rows in learnt for row in rows])
        done = now.stage.advance(chunk.records, learnt)
        self._count(chunk, done)
        end = chunk.first + chunk.count - 1
        self._publisher.records(chunk, done, now.stage.contracts, end)
        now.tail.update(chunk.records)
        if now.tail.ts_recv:
            self._publisher.mark(now.tail.ts_recv, end)
        self._publisher.flush()
        if now.tail.ts_recv > self.tail.ts_recv:
            self.tail = replace(now.tail)

    def _book(self, records: NDArray[Any]) -> None:
        """The day that a market snapshot or an R begins a book in."""
        starts = (records["flags"] & F_SNAPSHOT != 0) | (records["action"] == ACTION_CLEAR)
        if starts.any():
            self._booked = max(self._booked, _first_time(records[starts]) // DAY_NS)

    def booked_before(self, day: int) -> None:
        """Captures that have landed hold a book's beginning of this UTC day (days since 1970)."""
        self._booked = max(self._booked, day)

    def _note(self, rows: list[Instrument]) -> None:
        """Contracts that nobody knows of yet are in bronze before their records are told of.

        What is skipped waits until the capture lands.
        """
        new = [
            row
            for row in dict.fromkeys(rows)
            if row.contract_id is not None and replace(row, batch_id=None) not in self._noted
        ]
        if new:
            self._lake.append_rows(DEFINITIONS, [row.to_row() for row in new])
            self._noted.update(replace(row, batch_id=None) for row in new)

    def _count(self, chunk: Chunk, done: Processed) -> None:
        assert self._open is not None
        counts = self.counts
        counts.records += len(chunk.records)
        counts.published += len(done.events)
        counts.backwards += int(np.count_nonzero(done.events["notes"] & NOTE_BACKWARDS))
        counts.skipped += done.skipped
        counts.refused += len(done.refused)
        for r in done.refused[: MOST_REFUSED + 1 - len(self._open.refused)]:
            record = chunk.records[r.index]
            self._open.refused.append(
                {
                    "source": "",
                    "offset": chunk.number(r.index),
                    "reason": r.reason,
                    "ts_recv": int(record["ts_recv"]),
                    "instrument_id": int(record["instrument_id"]),
                    "raw": record.tobytes().hex(),
                    "batch_id": self._open.batch_id,
                }
            )

    # After a restart

    def again(self, path: Path, batch_id: str, after: dict[int, int]) -> None:
        """Publish of a capture what the topic lacks, and let it land.

        after: partition -> the number of its last record there that the topic has.
        """
        with DbnReader(path) as reader:
            self.last_start = max(self.last_start, int(reader.metadata.start))
            self._open = self._opened(batch_id, reader.metadata)
            self._publisher.begin(batch_id, after)
            filters = {"batch_id": batch_id}
            for row in self._lake.scan("bronze.gaps", filters=filters, missing_ok=True).to_pylist():
                self._publisher.gap(Gap(row["venue"], row["from_ts"], row["to_ts"], row["reason"]))
            end = -1
            for chunk in reader.chunks(_AT_ONCE):
                self._book(chunk.records)
                self._publish(chunk)
                end = chunk.first + chunk.count - 1
        self._publisher.mark(self._open.tail.ts_recv, end, always=True)
        self._publisher.flush()
        self._keep()
        self._lander.add(path, self._open.refused)
        self._open = None


def _first_time(records: NDArray[Any]) -> int:
    """The first ts_recv that can be one, ns UTC; 0 where there is none."""
    times = records["ts_recv"]
    good = times[(times > 0) & (times < _UNDEFINED)]
    return int(good[0]) if len(good) else 0
