"""One contract's rows of bronze.stream, in the order in which the feed told them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spymaster.market.identify import Instrument
from spymaster.stages.envelope import EVENT_COLUMNS, events_of

#: What a handler needs of bronze.stream.
COLUMNS = [*EVENT_COLUMNS, "is_snapshot", "batch_id", "topic_partition", "topic_offset"]
VERSION = "version"
#: Of one message: what a contract is, then what is missing, then records; marks close a commit.
INSTRUMENT, GAP, RECORD, MARK = range(4)
_RANKS = {"instrument": INSTRUMENT, "gap": GAP, "mark": MARK}
_WORDS = ("contract_id", "action", "side", "payload")
_IMPOSSIBLE = -(2**62)


class Control(NamedTuple):
    """A row that is no record: its place among the rows, its kind, what it says, its time."""

    place: int
    rank: int
    told: Mapping[str, Any]
    ts_recv: int


class StreamRows:
    """Rows of one contract, sorted: commit by commit, message by message, the mark last.

    Columns: `COLUMNS`, and the commit's `VERSION`. `repeated` rows were dropped: they lie at or
    before what came last of their partition of the topic.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.repeated = 0

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @classmethod
    def empty(cls) -> StreamRows:
        """No rows."""
        return cls(pa.table({}))

    @classmethod
    def read(cls, chunks: Iterable[tuple[int, pa.RecordBatch]]) -> StreamRows:
        """Rows of several files, each with its commit's version; in any order."""
        found = [
            pa.Table.from_batches([b]).append_column(
                VERSION, pa.array(np.full(b.num_rows, v, np.int64))
            )
            for v, b in chunks
            if b.num_rows
        ]
        if not found:
            return cls.empty()
        made = cls(pa.concat_tables(found).combine_chunks())
        ranks = made.ranks
        order = np.lexsort(
            (
                made.column("event_index"),
                ~made.flag("is_snapshot"),
                np.where(ranks == RECORD, made.column("ts_recv"), 0),
                ranks,
                made.column("topic_offset"),
                made.column("topic_partition"),
                ranks == MARK,
                made.column(VERSION),
            )
        )
        return cls(made.table.take(pa.array(order)))

    @classmethod
    def joined(cls, first: StreamRows, then: StreamRows) -> StreamRows:
        """Rows behind rows."""
        if not len(first) or not len(then):
            return first if len(first) else then
        return cls(pa.concat_tables([first.table, then.table]).combine_chunks())

    def since(self, place: int) -> StreamRows:
        """The rows from a place on."""
        return StreamRows(self.table.slice(place)) if place < len(self) else StreamRows.empty()

    def column(self, name: str) -> NDArray[np.int64]:
        """Numbers; what is missing is below every number that can be."""
        column = self.table[name].combine_chunks().cast(pa.int64())
        found: NDArray[np.int64] = column.fill_null(_IMPOSSIBLE).to_numpy()
        return found

    def flag(self, name: str) -> NDArray[np.bool_]:
        """Yes or no."""
        column = self.table[name].combine_chunks().fill_null(False)
        found: NDArray[np.bool_] = column.to_numpy(zero_copy_only=False)
        return found

    def words(self, name: str) -> list[str]:
        """Words; what is missing is the empty one."""
        found: list[str] = self.table[name].combine_chunks().fill_null("").to_pylist()
        return found

    @property
    def ranks(self) -> NDArray[np.int64]:
        """What each row is: INSTRUMENT, GAP, RECORD, MARK."""
        ranks = np.full(len(self), RECORD, np.int64)
        for control in self.controls():
            ranks[control.place] = control.rank
        return ranks

    def controls(self) -> Iterator[Control]:
        """The rows that are no records."""
        if not len(self):
            return
        places = np.flatnonzero(self.table["action"].combine_chunks().is_null().to_numpy(False))
        few = self.table.select(["payload", "ts_recv"]).take(pa.array(places)).to_pylist()
        for place, row in zip(places.tolist(), few, strict=True):
            told = json.loads(row["payload"] or '{"kind":"mark"}')
            yield Control(place, _RANKS[told["kind"]], told, row["ts_recv"] or 0)

    def without_repeated(self, seen: int, at: dict[int, int]) -> StreamRows:
        """Rows behind what came before.

        `seen`: the last version that was; `at`: of each partition of the topic the last offset
        that brought a record, moved on here.
        """
        if not len(self):
            return self
        version, offset = self.column(VERSION), self.column("topic_offset")
        partition, records = self.column("topic_partition"), self.ranks == RECORD
        keep = version > seen
        for v in np.unique(version[keep]).tolist():
            for p in np.unique(partition[records & (version == v)]).tolist():
                here = records & (version == v) & (partition == p)
                known = at.get(p, -1)
                keep &= ~(here & (offset <= known))
                at[p] = max(known, int(offset[here].max()))
        if keep.all():
            return self
        kept = StreamRows(self.table.filter(pa.array(keep)))
        kept.repeated = int((~keep & records).sum())
        return kept

    def times(self) -> NDArray[np.int64]:
        """When each row lies, ns UTC: of a gap its end; of other rows than records and gaps -1."""
        times = np.where(self.ranks == RECORD, self.column("ts_recv"), -1) if len(self) else _NONE
        for control in self.controls():
            if control.rank == GAP:
                times[control.place] = control.told["to_ts"]
        return times

    def events(self, first: int, behind: int, instrument: Instrument) -> NDArray[Any]:
        """The kernel's events (`EVENT`) of rows that are records of one contract."""
        part = self.table.select(EVENT_COLUMNS).slice(first, behind - first).combine_chunks()
        (rows,) = part.to_batches()
        coded = [rows[n].dictionary_encode() if n in _WORDS else rows[n] for n in rows.schema.names]
        name = str(instrument.contract_id)
        batch = pa.RecordBatch.from_arrays(coded, rows.schema.names)
        return events_of(batch, [name], {name: int(instrument.price_step or 1)})

    def to_bytes(self) -> bytes:
        """As a state keeps them."""
        if not len(self):
            return b""
        out = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(out, self.table.schema, options=options) as stream:
            stream.write_table(self.table)
        return bytes(out.getvalue().to_pybytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> StreamRows:
        """Back from `to_bytes`."""
        if not data:
            return cls.empty()
        with pa.ipc.open_stream(pa.py_buffer(data)) as stream:
            return cls(stream.read_all())


_NONE = np.zeros(0, np.int64)
