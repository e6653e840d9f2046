"""An exchange day from a Databento file: MBO records in bounded chunks, up to any damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from spymaster.feed import dbn_records as dbn
from spymaster.feed.dbn_header import file_day, open_source, read_metadata, schema_of
from spymaster.feed.dbn_records import MBO_RECORD

__all__ = ["MBO_RECORD", "Chunk", "Damage", "DbnReader", "Other", "cut", "file_day"]


@dataclass(frozen=True)
class Damage:
    """Where a file stops being readable.

    `record`: how many whole records stand before it; `offset`: the byte of the decompressed
    DBN stream (metadata included) at which the next record would begin.
    """

    record: int
    offset: int
    reason: str


@dataclass(frozen=True)
class Other:
    """A record that is not MBO: its number in the file, its type, its bytes as they came."""

    number: int
    rtype: int
    raw: bytes


@dataclass(frozen=True)
class Chunk:
    """The next records of a file, in its order.

    `first`: number in the file of the chunk's first record of any type, `count`: how many
    there are. `records`: the MBO ones (MBO_RECORD, contiguous, the chunk's own memory);
    `numbers`: their numbers, None where they are simply first, first + 1, ...
    `ts_out`: the gateway's send times, where the capture has them.
    """

    first: int
    count: int
    records: npt.NDArray[Any]
    others: list[Other] = field(default_factory=list)
    numbers: npt.NDArray[np.int64] | None = None
    ts_out: npt.NDArray[np.int64] | None = None

    def number(self, i: int) -> int:
        """The number in the file of the i-th MBO record."""
        return self.first + i if self.numbers is None else int(self.numbers[i])


def cut(
    data: dbn.Bytes, first: int, words: int, known: npt.NDArray[np.bool_], limit: int
) -> tuple[Chunk, int]:
    """The whole records at the start of `data`, at most `limit`, and how many bytes they take.

    first: the number of the first one. words: an MBO record's length in words of 4 bytes; known:
    the record types that may come. Ends early where no record can begin.
    """
    stride = words * 4
    count = dbn.leading_mbo(data, words, limit)
    if count and count == min(limit, data.size // stride):
        records, ts_out = _split(data[: count * stride].reshape(count, stride), words)
        return Chunk(first, count, records, ts_out=ts_out), count * stride
    return _mixed(data, first, words, known, limit)


def _mixed(
    data: dbn.Bytes, first: int, words: int, known: npt.NDArray[np.bool_], limit: int
) -> tuple[Chunk, int]:
    places = np.empty(min(limit, data.size // dbn.SHORTEST), np.int64)
    count, used = dbn.walk(data, known, words, places)
    places = places[:count]
    is_mbo = data[places + 1] == dbn.RTYPE_MBO
    rows = np.empty((int(is_mbo.sum()), words * 4), np.uint8)
    dbn.gather(data, places[is_mbo], rows)
    records, ts_out = _split(rows, words)
    others = []
    for i in np.flatnonzero(~is_mbo).tolist():
        at = int(places[i])
        raw = data[at : at + int(data[at]) * 4].tobytes()
        others.append(Other(first + i, raw[1], raw))
    numbers = first + np.flatnonzero(is_mbo) if others else None
    return Chunk(first, count, records, others, numbers, ts_out), used


def _split(
    rows: npt.NDArray[np.uint8], words: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64] | None]:
    if words == dbn.WORDS:
        return rows.reshape(-1).view(MBO_RECORD), None
    size = MBO_RECORD.itemsize
    records = np.ascontiguousarray(rows[:, :size]).reshape(-1).view(MBO_RECORD)
    return records, np.ascontiguousarray(rows[:, size:]).reshape(-1).view("<i8")


class DbnReader:
    """A DBN file (version 1, 2, 3; plain or zstd) as chunks of records.

    Memory is bounded by the chunk, whatever the file's length. What is not DBN, or has a
    schema that no table takes, raises SourceError here, before anything is read. Damage
    further on does not raise: all whole records before it come, then `damage` is set.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.damage: Damage | None = None
        self.records = 0
        self._source = open_source(self.path)
        try:
            self.metadata, self._offset = read_metadata(self.path, self._source)
            self._known = dbn.known_rtypes(schema_of(self.path, self.metadata))
        except BaseException:
            self._source.close()
            raise
        self._words = dbn.WORDS + dbn.TS_OUT_WORDS * bool(self.metadata.ts_out)
        self._carry = np.empty(0, np.uint8)

    def __enter__(self) -> DbnReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._source.close()

    def chunks(self, max_records: int = 250_000) -> Iterator[Chunk]:
        """The records from where the reader stands, at most `max_records` at a time.

        At the end `records` counts what was read and `damage` tells if the file was whole.
        """
        if max_records < 1:
            raise ValueError(f"max_records is {max_records}; a chunk has at least 1 record")
        capacity = max(max_records * self._words * 4, dbn.LONGEST)
        while True:
            data = self._fill(capacity)
            chunk, used = cut(data, self.records, self._words, self._known, max_records)
            self._carry = data[used:].copy()
            if not chunk.count:
                self.damage = self._ending(data)
                return
            self.records += chunk.count
            self._offset += used
            del data
            yield chunk
            del chunk

    def _fill(self, capacity: int) -> dbn.Bytes:
        data = np.empty(max(capacity, self._carry.size), np.uint8)
        kept = self._carry.size
        data[:kept] = self._carry
        return data[: kept + self._source.readinto(data[kept:].data)]

    def _ending(self, data: dbn.Bytes) -> Damage | None:
        reason = self._source.damage
        if data.size >= 2 and not dbn.possible(data, 0, self._known, self._words):
            reason = (
                f"no record begins with length {data[0]} x 4 bytes and rtype {data[1]:#04x} "
                f"in a file of schema {self.metadata.schema or 'mixed'}"
            )
        elif data.size and not reason:
            whole = f" of {int(data[0]) * 4}" if data.size >= 2 else ""
            reason = f"the file ends inside a record: {data.size}{whole} bytes are there"
        return Damage(self.records, self._offset, reason) if reason else None
