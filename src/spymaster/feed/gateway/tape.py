"""A dataset's files as one feed: all their records by time, in bounded batches."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spymaster.errors import SourceError
from spymaster.feed.dbn import Chunk, DbnReader
from spymaster.feed.dbn_definitions import definitions
from spymaster.feed.dbn_records import MBO_RECORD, RTYPE_DEFINITION
from spymaster.feed.gateway.batch import NO_DEFINITIONS, Batch, merged
from spymaster.market.clock import DAY_NS

CHUNK_RECORDS = 65_536
_UNDEFINED = 2**63 - 1
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TapeFile:
    """One file and where it stands: `first_key`, its first record's time (ns UTC, -1: empty)."""

    path: Path
    schema: str | None
    dataset: str
    end: int
    first_key: int
    first_mbo: int | None

    @property
    def order(self) -> tuple[int, bool, str]:
        """Of records at one time definitions come first: they tell what the others mean."""
        return self.first_key, self.schema != "definition", str(self.path)


def tape_file(path: str | Path) -> TapeFile:
    """Look at a file's head. Raises SourceError for what is no MBO or definition DBN."""
    with DbnReader(path) as reader:
        meta = reader.metadata
        first = next(_parts(reader, 1024), None)
        end = int(meta.end) if meta.end is not None and int(meta.end) < _UNDEFINED else 0
        key = -1 if first is None else int(first.keys[0])
        mbo = None
        if first is not None and len(first.mbo):
            mbo = int(first.keys[~first.is_definition()][0])
        return TapeFile(
            Path(path),
            None if meta.schema is None else str(meta.schema),
            str(meta.dataset),
            max(end, key),
            key,
            mbo,
        )


class Tape:
    """Files of one dataset merged by `ts_recv`, raised to its running maximum within each file.

    Of equal times the order is that of the files, then that within the file: so a record's
    number in the feed is the same in every pass. Memory is bounded by a batch of each file
    that is open at one time. A damaged file ends where it is damaged, and is told in the log.
    """

    def __init__(self, files: Iterable[TapeFile], chunk_records: int = CHUNK_RECORDS) -> None:
        self.files: Sequence[TapeFile] = sorted(
            (f for f in files if f.first_key >= 0), key=lambda f: f.order
        )
        self._chunk = chunk_records

    def read(self) -> Iterator[Batch]:
        """All records; no batch spans two UTC days."""
        waiting = deque(enumerate(self.files))
        heads: list[_Head] = []
        first = 0
        try:
            while True:
                heads = [head for head in heads if head.more()]
                if not heads and not waiting:
                    return
                last = min((head.last for head in heads), default=None)
                if waiting and (last is None or (waiting[0][1].first_key, waiting[0][0]) < last):
                    rank, file = waiting.popleft()
                    heads.append(_Head(rank, file, self._chunk))
                    continue
                assert last is not None
                batch = merged(first, [part for h in heads if len(part := h.take(*last))])
                first += len(batch)
                yield from _days(batch)
        finally:
            for head in heads:
                head.close()


class _Head:
    """An open file and what of it is not given away yet."""

    def __init__(self, rank: int, file: TapeFile, chunk: int) -> None:
        self.rank = rank
        self._reader = DbnReader(file.path)
        self._parts = _parts(self._reader, chunk)
        self._part: Batch | None = None

    @property
    def last(self) -> tuple[int, int]:
        assert self._part is not None
        return int(self._part.keys[-1]), self.rank

    def more(self) -> bool:
        if self._part is None:
            self._part = next(self._parts, None)
        if self._part is None:
            if damage := self._reader.damage:
                path, at, why = self._reader.path, damage.record, damage.reason
                log.warning("%s: its feed ends at record %d: %s", path, at, why)
            self.close()
        return self._part is not None

    def take(self, key: int, rank: int) -> Batch:
        """What comes no later than another file's last known record."""
        assert self._part is not None
        side = "right" if self.rank <= rank else "left"
        n = int(np.searchsorted(self._part.keys, key, side))  # type: ignore[call-overload]
        taken, rest = self._part.cut(0, n), self._part.cut(n, len(self._part))
        self._part = rest if len(rest) else None
        return taken

    def close(self) -> None:
        self._reader.close()


def _parts(reader: DbnReader, chunk_records: int) -> Iterator[Batch]:
    highest = 0
    for chunk in reader.chunks(chunk_records):
        part = _part(reader, chunk, highest)
        if len(part):
            highest = int(part.keys[-1])
            yield part


def _part(reader: DbnReader, chunk: Chunk, highest: int) -> Batch:
    """A chunk's MBO records and definitions; what a gateway said of itself is left out."""
    mbo, others = chunk.records, [o for o in chunk.others if o.rtype == RTYPE_DEFINITION]
    if chunk.ts_out is not None:
        mbo["length"] = MBO_RECORD.itemsize // 4
    defined = definitions(reader.metadata, others) if others else NO_DEFINITIONS
    if len(defined) != len(others):
        raise SourceError(
            f"{reader.path} records {chunk.first} to {chunk.first + chunk.count}: "
            f"{len(others) - len(defined)} definitions cannot be brought to DBN version 3. "
            "Download the file again."
        )
    times, kinds = mbo["ts_recv"], None
    if len(others):
        numbers = np.array([o.number for o in others])
        order = np.argsort(np.concatenate([_numbers(chunk), numbers]), kind="stable")
        times = np.concatenate([times, defined["ts_recv"].astype(np.int64)])[order]
        kinds = (order >= len(mbo)) if len(mbo) else None
    times = np.where(times == _UNDEFINED, 0, times)
    keys = np.maximum.accumulate(np.maximum(times, highest)) if len(times) else times
    return Batch(chunk.first, keys, mbo, defined, kinds)


def _numbers(chunk: Chunk) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if chunk.numbers is not None:
        return chunk.numbers
    return np.arange(chunk.first, chunk.first + len(chunk.records))


def _days(batch: Batch) -> Iterator[Batch]:
    a = 0
    while a < len(batch):
        midnight = (int(batch.keys[a]) // DAY_NS + 1) * DAY_NS
        b = int(np.searchsorted(batch.keys, midnight))
        yield batch if (a, b) == (0, len(batch)) else batch.cut(a, b)
        a = b
