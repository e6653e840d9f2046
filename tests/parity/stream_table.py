"""bronze.stream as `rt__mbo_raw_to_bronze` commits it, made of a topic's messages without Spark."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from spymaster.bus import Bus, Message, partition_of
from spymaster.contracts import TABLES
from spymaster.contracts.arrow import to_arrow
from spymaster.engines.stream.feed import Broken, Taken, TopicFeed
from spymaster.engines.stream.rows import STREAM
from spymaster.feed.topic import TOPIC, Batch, Content, Gap, Mark
from spymaster.kernel.state import unpack
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.sessions import session_date_of
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import partitions
from spymaster.stages.envelope import topic_rows

GROUP = "rt__mbo_raw_to_bronze"


def messages_of(bus: Bus) -> list[Message]:
    """All messages of the topic, partition by partition."""
    begins, ends = bus.begins(TOPIC), bus.ends(TOPIC)
    found: list[Message] = []
    at = dict(begins)
    with bus.reader(TOPIC, begins) as reader:
        while any(at[p] < ends[p] for p in at):
            for m in reader.poll(timeout=5.0):
                found.append(m)
                at[m.partition] = m.offset + 1
    return found


@dataclass
class Piece:
    """What a commit holds: rows by partition of the table, and its word about itself."""

    rows: list[tuple[dict[str, Any], pa.RecordBatch]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)


class BronzeCommits:
    """Makes commits of messages, in their order."""

    def __init__(self, settings: Settings, lake: Lake, topic_partitions: int) -> None:
        self.settings, self.lake = settings, lake
        self.epoch = 0
        self.version = -1  #: of the last commit
        self._n = topic_partitions
        self._feed = TopicFeed(topic_partitions, self._find, settings.underlier)
        self._written: set[str] = set()
        self._offsets = dict.fromkeys(range(topic_partitions), 0)

    @property
    def feed(self) -> dict[str, Any]:
        """What was learnt from the topic so far."""
        return self._feed.to_json()

    @property
    def offsets(self) -> dict[str, int]:
        """Of each partition the message behind the last commit."""
        return {str(p): o for p, o in self._offsets.items()}

    def go_on(self, feed: dict[str, Any], offsets: dict[int, int]) -> None:
        """Go on where another engine stood."""
        self._feed.restore(feed)
        self._offsets = dict(offsets)

    def _find(self, contract_id: str) -> Instrument | None:
        rows = self.lake.scan("bronze.definitions", missing_ok=True).to_pylist()
        found = {r["contract_id"]: Instrument.from_row(r) for r in rows}
        return found.get(contract_id)

    def commit(self, messages: Sequence[Message]) -> int:
        """One commit of these messages; the table's version."""
        made = self.piece(messages)
        writer = self.lake.writer(STREAM)
        for partition, rows in made.rows:
            writer.write(rows, partition)
        done = self.lake.append(
            STREAM,
            writer.close(),
            app=(f"{GROUP}/{STREAM}", self.epoch),
            info={"userMetadata": json.dumps(made.told)},
        )
        self.version = done.version
        return done.version

    def piece(self, messages: Sequence[Message]) -> Piece:
        """What the next commit would be of these messages."""
        self.epoch += 1
        contents = TopicFeed.read(messages)
        begins = dict(self._offsets)
        taken = self._feed.take(contents)
        for m in messages:
            self._offsets[m.partition] = m.offset + 1
        made = Piece()
        self._records(made, taken)
        self._controls(made, contents, taken)
        made.told = {
            "group": GROUP,
            "epoch": self.epoch,
            "offsets": self._offsets.copy(),
            "begins": begins,
            "venues": self._venues(contents, taken),
            "gaps": [
                {**vars(c), "partition": m.partition} for m, c in contents if isinstance(c, Gap)
            ],
            "contracts": sorted(self._new),
        }
        return made

    def _records(self, made: Piece, taken: Taken) -> None:
        feed = self._feed
        for message, batch, events in taken.batches:
            told = [(message.partition, message.offset, batch, len(events))]
            cut = partitions(feed.contracts, events, self.settings.underlier)
            for date, underlier, kind, at in cut:
                rows = topic_rows(told, events, at, feed.contracts, (date, underlier, kind))
                made.rows.append((_partition(date, underlier, kind), rows))

    def _controls(
        self, made: Piece, contents: list[tuple[Message, Content | Broken]], taken: Taken
    ) -> None:
        last = max(self._feed.last.values(), default=None)
        places: dict[str, tuple[int, int]] = {}
        for m, content in contents:
            names = []
            if isinstance(content, Instrument):
                names = [str(content.contract_id)]
            elif isinstance(content, Batch):
                names = [name for name, _ in content.contracts]
            for name in names:
                places.setdefault(name, (m.partition, m.offset))
        self._new = {n for n in places if n not in self._written}
        known = {str(i.contract_id): i for i in self._feed.contracts}
        for name, place in places.items():
            if name in self._new:
                told = {"kind": "instrument", "row": known[name].to_row()}
                self._control(made, known[name], place, last or known[name].ts_recv, told)
        self._written |= self._new
        for m, content in contents:
            if not isinstance(content, Gap):
                continue
            for name in sorted(self._written):
                if known[name].venue == content.venue:
                    told = {
                        "kind": "gap",
                        "from_ts": content.from_ts,
                        "to_ts": content.to_ts,
                        "reason": content.reason,
                        "touched": partition_of(name, self._n) == m.partition,
                    }
                    place = (m.partition, m.offset)
                    self._control(made, known[name], place, content.to_ts, told)
        for venue, mark in taken.marks.items():
            for name in sorted(self._written):
                if known[name].venue == venue:
                    p = partition_of(name, self._n)
                    place = (p, self._offsets[p] - 1)
                    self._control(made, known[name], place, mark, {"kind": "mark"})

    def _control(
        self, made: Piece, i: Instrument, place: tuple[int, int], ts: int, told: dict[str, Any]
    ) -> None:
        table = TABLES[STREAM]
        name, kind = str(i.underlier), str(i.instrument_type)
        where = _partition(session_date_of(self.settings.of(name), ts), name, kind)
        columns: dict[str, Any] = dict.fromkeys(table.names)
        columns |= {
            **where,
            "venue": i.venue,
            "contract_id": str(i.contract_id),
            "ts_recv": [ts],
            "is_snapshot": False,
            "payload": json.dumps(told),
            "topic_partition": place[0],
            "topic_offset": place[1],
        }
        made.rows.append((where, to_arrow(table, None, columns)))

    def _venues(
        self, contents: list[tuple[Message, Content | Broken]], taken: Taken
    ) -> dict[str, Any]:
        spans: dict[str, list[int]] = {}
        for _, c in contents:
            if isinstance(c, Batch) and len(c.columns.ts_recv):
                ts = c.columns.ts_recv
                spans.setdefault(c.venue, []).extend((int(ts[0]), int(ts[-1])))
            elif isinstance(c, Gap):
                spans.setdefault(c.venue, []).append(c.to_ts)
        return {
            venue: {
                "low": min(spans[venue]) if venue in spans else None,
                "high": max(spans[venue]) if venue in spans else None,
                "since": self._feed.since.get(venue),
                "with_book": self._feed.with_book.get(venue, False),
                "mark": taken.marks.get(venue),
            }
            for venue in {*spans, *taken.marks}
        }


def _partition(date: dt.date, underlier: str, kind: str) -> dict[str, Any]:
    return {"session_date": date, "underlier": underlier, "instrument_type": kind}


def pieces(messages: Sequence[Message], cuts: Iterable[int]) -> Iterator[Sequence[Message]]:
    """Messages cut before these places."""
    edges = [0, *sorted({c for c in cuts if 0 < c < len(messages)}), len(messages)]
    for first, behind in itertools.pairwise(edges):
        yield messages[first:behind]


def by_time(bus: Bus) -> list[Message]:
    """The topic's messages as one connection would have brought them: files side by side."""
    return sorted(messages_of(bus), key=time_of)


def time_of(m: Message) -> tuple[int, int]:
    """When a message could be sent: its records' first ts_recv, and a mark behind them."""
    content = TopicFeed.read([m])[0][1]
    if isinstance(content, Batch):
        return int(content.columns.ts_recv[0]), 1
    if isinstance(content, Gap):
        return content.to_ts, 0
    return (content.ts_recv, 2) if isinstance(content, Mark) else (0, 0)


def publish(bus: Bus, messages: Iterable[Message]) -> None:
    """The same messages into another topic, each into its partition."""
    with bus.producer("test") as producer:
        for m in messages:
            producer.publish(TOPIC, m.value, partition=m.partition, headers=m.headers)


def feed_of(data: bytes) -> dict[str, Any]:
    """What the local engine had learnt from the topic, out of its state."""
    head = unpack(data, "LIVE", 1)[1][0].tobytes()
    found: dict[str, Any] = json.loads(head)["feed"]
    return found
