"""A task's work on the topic's messages: decoded, told apart, ready for their contract's file.

Spark reads a partition of the topic in one task, in its order. The task works as the local engine's
`TopicFeed` does, on from what the driver knew; the driver hears small facts, never a record.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spymaster.bus import Message, partition_of
from spymaster.bus.interface import NO_HEADERS
from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.engines.spark.staged import POSITION, Piece, as_batch, packed, told
from spymaster.engines.stream.feed import Broken, Missing, TopicFeed
from spymaster.feed.topic import TOPIC, Batch, Content, Gap
from spymaster.market.identify import Instrument
from spymaster.settings import UnderlierSettings
from spymaster.stages.bronze_process_dbn import partitions
from spymaster.stages.envelope import topic_rows

STREAM, QUARANTINE = "bronze.stream", "bronze.quarantine"
#: What a task tells the driver when it has read all of its messages.
READ = "read"
#: The columns of the source that a task needs.
COLUMNS = ("partition", "offset", "value", "headers")
#: Ranks of a message's rows in a contract's order: what it is, what it lacks, what happened.
INSTRUMENT, GAP, RECORDS, MARK = (rank << 40 for rank in range(4))
#: Records that are laid together in one piece.
_ENOUGH = 1 << 16

Run = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def messages_task(
    state: Callable[[], Mapping[str, Any]],
    offsets: Mapping[int, int],
    underliers: Mapping[str, UnderlierSettings],
    found: Mapping[str, Mapping[str, Any]],
) -> Run:
    """The function that Spark calls for the messages of a partition of the topic.

    state: gives `TopicFeed.to_json` of all messages before; offsets: of each partition the first
    that is new, those before it are left out; found: contracts that no message has told.
    """

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        reading: Reading | None = None
        place = 0
        for batch in batches:
            if reading is None:
                reading = Reading(state(), len(offsets), underliers, found)
            messages = [m for m in _messages(batch) if m.offset >= offsets[m.partition]]
            for pieces in reading.take(messages):
                yield _with_buckets(place, pieces)
                place += len(pieces)
        if reading is not None and reading.messages:
            yield _with_buckets(place, reading.end())

    return run


def _with_buckets(place: int, pieces: Sequence[tuple[int, Piece]]) -> pa.RecordBatch:
    """Pieces with the number of the file that they go to, in the column `task`."""
    batch = as_batch("", 0, place, [p for _, p in pieces])
    buckets = pa.array([bucket for bucket, _ in pieces], pa.int32())
    return batch.set_column(batch.schema.get_field_index("task"), "task", buckets)


def _messages(batch: pa.RecordBatch) -> Iterator[Message]:
    columns = [batch[name].to_pylist() for name in COLUMNS]
    for partition, offset, value, headers in zip(*columns, strict=True):
        words = NO_HEADERS
        if headers:
            words = {
                h["key"]: (h["value"] or b"").decode(errors="backslashreplace") for h in headers
            }
        yield Message(TOPIC, partition, offset, None, value or b"", words, 0)


class Reading:
    """What a task learns from its messages, and the rows that they come to.

    A contract's rows go to the file (bucket) of its number, whoever posted them where.
    """

    def __init__(
        self,
        state: Mapping[str, Any],
        count: int,
        underliers: Mapping[str, UnderlierSettings],
        found: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._count, self._underliers = count, underliers
        self._found = {name: Instrument.from_row(row) for name, row in found.items()}
        self._feed = TopicFeed(count, self._look_up, list(underliers))
        self._feed.restore(state)
        self._first = len(self._feed.contracts)
        self._before = self._feed.to_json(self._first)
        self._unknown: dict[str, str] = {}
        self._next: dict[int, int] = {}
        self.messages = self._records = 0  #: taken
        self._told: list[tuple[int, int, dict[str, Any]]] = []
        self._gaps: list[tuple[int, int, dict[str, Any]]] = []
        self._spans: dict[str, tuple[int, int]] = {}
        self._seen: dict[str, list[Any]] = {}
        self._refused: list[dict[str, Any]] = []
        self._counted = 0
        self._waiting: list[tuple[Message, Batch, NDArray[Any]]] = []
        self._count_waiting = 0

    def _look_up(self, name: str) -> Instrument:
        """A contract that no message told; one that nobody knows has no underlier: no rows."""
        if name in self._found:
            return self._found[name]
        self._unknown[name] = self._where
        return Instrument("", 0, 0, "", None, name, name, "", "", price_step=1)

    def take(self, messages: Sequence[Message]) -> Iterator[list[tuple[int, Piece]]]:
        """Take messages, of a partition in its order; pieces come when there is enough."""
        for message, content in TopicFeed.read(messages):
            self._where = f"{message.topic}[{message.partition}] at {message.offset}"
            self._next[message.partition] = message.offset + 1
            self.messages += 1
            self._one(message, content)
            if self._count_waiting >= _ENOUGH:
                yield self._flush()

    def _one(self, message: Message, content: Content | Broken) -> None:
        at = (message.partition, message.offset)
        taken = self._feed.take([(message, content)])
        self._waiting += taken.batches
        self._count_waiting += taken.records
        self._records += taken.records
        self._refused += taken.refused
        if isinstance(content, Instrument):
            self._told.append((*at, content.to_row()))
        for piece in taken.pieces:
            if isinstance(piece, Missing):
                self._gaps.append((*at, vars(piece.gap)))
        if isinstance(content, Batch) and taken.batches:
            ts = content.columns.ts_recv
            self._span(content.venue, int(ts[0]), int(ts[-1]))
        elif isinstance(content, Gap):
            self._span(content.venue, content.to_ts, content.to_ts)

    def _span(self, venue: str, first: int, last: int) -> None:
        low, high = self._spans.get(venue, (first, last))
        self._spans[venue] = min(low, first), max(high, last)

    def _flush(self) -> list[tuple[int, Piece]]:
        waiting, self._waiting, self._count_waiting = self._waiting, [], 0
        pieces: list[tuple[int, Piece]] = []
        if waiting:
            pieces = list(self._rows(waiting))
        if self._refused:
            rows = pa.RecordBatch.from_pylist(self._refused, arrow_schema(TABLES[QUARANTINE]))
            pieces.append((0, packed("", QUARANTINE, rows)))
            self._counted += len(self._refused)
            self._refused = []
        return pieces

    def _rows(
        self, waiting: Sequence[tuple[Message, Batch, NDArray[Any]]]
    ) -> Iterator[tuple[int, Piece]]:
        events = np.concatenate([e for *_, e in waiting])
        batches = [(m.partition, m.offset, b, len(e)) for m, b, e in waiting]
        contracts = self._feed.contracts
        buckets = np.array(
            [partition_of(str(c.contract_id), self._count) for c in contracts], np.int64
        )
        self._note(waiting)
        for date, underlier, kind, at in partitions(contracts, events, self._underliers):
            self._dates(events, at, date)
            files = buckets[events["contract"][at]]
            for bucket in np.unique(files):
                mine = at[files == bucket]
                rows = topic_rows(batches, events, mine, contracts, (date, underlier, kind))
                placed = rows.append_column(POSITION, pa.array(mine + RECORDS))
                yield int(bucket), packed(kind, STREAM, placed)

    def _note(self, waiting: Sequence[tuple[Message, Batch, NDArray[Any]]]) -> None:
        """Where each contract's first record lies."""
        for message, _, events in waiting:
            for place in np.unique(events["contract"]):
                name = str(self._feed.contracts[place].contract_id)
                self._seen.setdefault(name, [message.partition, message.offset, ""])

    def _dates(self, events: NDArray[Any], at: NDArray[np.int64], date: dt.date) -> None:
        """The session of each contract's last record."""
        for place in np.unique(events["contract"][at]):
            seen = self._seen[str(self._feed.contracts[place].contract_id)]
            seen[2] = max(seen[2], date.isoformat())

    def end(self) -> list[tuple[int, Piece]]:
        """The last pieces, and what the driver must know."""
        pieces = self._flush()
        after = self._feed.to_json(self._first)
        facts = {
            "next": self._next,
            "messages": self.messages,
            "records": self._records,
            "refused": self._counted,
            "unknown": self._unknown,
            "instruments": self._told,
            "gaps": self._gaps,
            "spans": self._spans,
            "seen": self._seen,
            "feed": _changed(self._before, after),
        }
        return [*pieces, (0, told("", READ, facts))]


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Of a feed's state what is not as it was; counts as what was added."""
    marks = {v: dict(m) for v, m in before["marks"]}
    return {
        "contracts": after["contracts"],
        "connection": [c for c in after["connection"] if c not in before["connection"]],
        "marks": [
            (v, [(p, ts) for p, ts in m if marks.get(v, {}).get(p) != ts])
            for v, m in after["marks"]
        ],
        "since": after["since"],
        "last": after["last"],
        "with_book": after["with_book"],
        "counts": [a - b for a, b in zip(after["counts"], before["counts"], strict=True)],
        "singles": {k: v for k, v in after["singles"].items() if before["singles"].get(k) != v},
    }
