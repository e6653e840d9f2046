"""The topic's messages as what the stages take: events, gaps, clock marks, in the topic's order."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spymaster.bus import Message, partition_of
from spymaster.contracts.event import EVENT, F_SNAPSHOT, NOTE_BACKWARDS
from spymaster.errors import SourceError
from spymaster.feed.topic import Batch, Content, Gap, Mark, Single, decode
from spymaster.kernel.columns import to_events
from spymaster.market.identify import Instrument
from spymaster.stages.single_event import SingleEvents

#: Kinds of message without which records, or the word that they are missing, are lost.
_WITH_RECORDS = ("batch", "gap")


@dataclass(frozen=True)
class Events:
    """Events (`EVENT`) in feed order; `contract` is a place in the feed's contracts."""

    events: NDArray[Any]


@dataclass(frozen=True)
class Begin:
    """Another connection follows: what it repeats of the ones before is a duplicate."""


@dataclass(frozen=True)
class Missing:
    """Records are missing; it touches the contracts of this partition of the topic."""

    gap: Gap
    partition: int


Piece: TypeAlias = Events | Begin | Missing


@dataclass(frozen=True)
class Broken:
    """A message that cannot be read; why. `venue`: records of it are lost with it ("": of any).

    None: somebody posted what is no event, and nothing else is lost.
    """

    reason: str
    venue: str | None = None


@dataclass
class Taken:
    """What some messages came to: pieces for the stages, and rows for bronze.stream.

    `marks`: per venue the clock mark that all partitions have passed, ns UTC.
    """

    pieces: list[Piece] = field(default_factory=list)
    batches: list[tuple[Message, Batch, NDArray[Any]]] = field(default_factory=list)
    told: list[tuple[Message, Mark]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    records: int = 0


class TopicFeed:
    """What was learnt from the topic so far: contracts, connections, marks.

    `find` looks up a contract that the topic does not tell any more (its message is older than
    what the topic keeps); None: unknown.
    """

    def __init__(
        self,
        partitions: int,
        find: Callable[[str], Instrument | None],
        underliers: Collection[str],
    ) -> None:
        self.contracts: list[Instrument] = []
        self.repeated = 0  #: records that the topic had brought before
        self.late = 0  #: records below a mark that was passed
        self.since: dict[str, int] = {}  #: per venue the first ts_recv, ns UTC
        self.last: dict[str, int] = {}  #: per venue the highest ts_recv, ns UTC
        self.with_book: dict[str, bool] = {}  #: per venue: it began with a market snapshot
        self._partitions, self._find = partitions, find
        self._place: dict[str, int] = {}
        self._connection: dict[int, tuple[str, int]] = {}
        self._marks: dict[str, dict[int, int]] = {}
        self._singles = SingleEvents(underliers)

    @staticmethod
    def read(messages: Iterable[Message]) -> list[tuple[Message, Content | Broken]]:
        """Messages with what they hold. Anyone may post, and a disk may fail: none ends the day."""
        found: list[tuple[Message, Content | Broken]] = []
        for m in messages:
            try:
                content: Content | Broken = decode(
                    m.value, m.headers, f"{m.topic}[{m.partition}] at {m.offset}"
                )
            except SourceError as error:
                records = m.headers.get("kind") in _WITH_RECORDS
                content = Broken(str(error), m.headers.get("venue", "") if records else None)
            found.append((m, content))
        return found

    def take(self, contents: Iterable[tuple[Message, Content | Broken]]) -> Taken:
        """Take messages, of each partition in its order."""
        taken = Taken()
        gathered: list[NDArray[Any]] = []

        def end() -> None:
            if gathered:
                taken.pieces.append(Events(np.concatenate(gathered)))
                gathered.clear()

        for message, content in contents:
            if isinstance(content, Batch):
                if self._connects(message, content):
                    end()
                    taken.pieces.append(Begin())
                events = self._batch(message, content)
                if len(events):
                    gathered.append(events)
                    taken.batches.append((message, content, events))
                    taken.records += len(events)
            elif isinstance(content, Instrument):
                self._learn(content)
            elif isinstance(content, Mark):
                by_partition = self._marks.setdefault(content.venue, {})
                mark = max(by_partition.get(message.partition, -1), content.ts_recv)
                by_partition[message.partition] = mark
                taken.told.append((message, content))
            elif isinstance(content, Gap):
                end()
                taken.pieces.append(Missing(content, message.partition))
            elif isinstance(content, Broken):
                taken.refused.append(_refused(message, content.reason))
                if content.venue is not None:
                    end()
                    taken.pieces += self._lost(content, message.partition)
            else:
                self._single(message, content, gathered, taken)
        end()
        for venue, marks in self._marks.items():
            if len(marks) == self._partitions:
                taken.marks[venue] = min(marks.values())
        return taken

    def _lost(self, broken: Broken, partition: int) -> list[Missing]:
        """Nobody knows what the message held: the partition's books wait for a market snapshot."""
        venues = [broken.venue] if broken.venue else list(self.last)
        times = {v: self.last[v] for v in venues if v in self.last}
        reason = "a message of the topic cannot be read"
        return [Missing(Gap(v, ts, ts, reason), partition) for v, ts in times.items()]

    def of_partition(self, partition: int) -> set[str]:
        """The contracts whose records come by a partition of the topic."""
        names = self._place
        return {name for name in names if partition_of(name, self._partitions) == partition}

    def _connects(self, message: Message, batch: Batch) -> bool:
        """Is this the first message of a connection in its partition?"""
        before = self._connection.get(message.partition)
        return before is not None and before[0] != batch.batch_id

    def _batch(self, message: Message, batch: Batch) -> NDArray[Any]:
        known = self._connection.get(message.partition)
        if known is not None and known[0] == batch.batch_id and batch.upto <= known[1]:
            self.repeated += len(batch.columns.ts_recv)
            return np.zeros(0, EVENT)
        self._connection[message.partition] = (batch.batch_id, batch.upto)
        places = [self._known(name, message) for name, _ in batch.contracts]
        steps = [int(self.contracts[p].price_step or 1) for p in places]
        events = to_events(batch.columns, np.array(places, np.int64), np.array(steps, np.int64))
        if batch.backwards:
            events["notes"][list(batch.backwards)] = NOTE_BACKWARDS
        if len(events):
            self._saw(batch.venue, events)
        return events

    def _saw(self, venue: str, events: NDArray[Any]) -> None:
        ts = events["ts_recv"]
        first, last = int(ts[0]), int(ts[-1])
        self.with_book.setdefault(venue, bool(events["flags"][0] & F_SNAPSHOT))
        self.since[venue] = min(self.since.get(venue, first), first)
        self.last[venue] = max(self.last.get(venue, last), last)
        marks = self._marks.get(venue, {})
        mark = min(marks.values()) if len(marks) == self._partitions else -1
        if first < mark:
            self.late += int(((ts < mark) & (events["flags"] & F_SNAPSHOT == 0)).sum())

    def _known(self, name: str, message: Message) -> int:
        if name not in self._place:
            found = self._find(name)
            if found is None:
                raise SourceError(
                    f"{message.topic}[{message.partition}] at {message.offset}: contract {name} "
                    "was never told, neither by the topic nor by bronze.definitions. Land its "
                    "definitions, or start where the topic tells it: spymaster live --fresh"
                )
            self._learn(found)
        return self._place[name]

    def _learn(self, instrument: Instrument) -> None:
        name = str(instrument.contract_id)
        if name not in self._place:
            self._place[name] = len(self.contracts)
            self.contracts.append(instrument)

    def _single(
        self, message: Message, content: Single, gathered: list[NDArray[Any]], taken: Taken
    ) -> None:
        place = self._place.get(str(content.event.get("contract_id")))
        known = None if place is None else self.contracts[place]
        try:
            instrument, batch = self._singles.take(content.event, message, known)
        except SourceError as error:
            taken.refused.append(_refused(message, str(error)))
            return
        self._learn(instrument)
        events = to_events(
            batch.columns,
            np.array([self._place[str(instrument.contract_id)]]),
            np.array([int(instrument.price_step or 1)]),
        )
        if batch.backwards:
            events["notes"] = NOTE_BACKWARDS
        self._saw(batch.venue, events)
        gathered.append(events)
        taken.batches.append((message, batch, events))
        taken.records += 1

    # State

    def to_json(self, first: int = 0) -> dict[str, Any]:
        """The whole state; of the contracts only those from the place `first` on."""
        return {
            "contracts": [i.to_row() for i in self.contracts[first:]],
            "connection": list(self._connection.items()),
            "marks": [(v, list(m.items())) for v, m in self._marks.items()],
            "since": self.since,
            "last": self.last,
            "with_book": self.with_book,
            "counts": [self.repeated, self.late],
            "singles": self._singles.to_json(),
        }

    def restore(self, told: Mapping[str, Any]) -> None:
        """Go on where `to_json` left off."""
        for row in told["contracts"]:
            self._learn(Instrument.from_row(row))
        self._connection = {int(p): (str(b), int(u)) for p, (b, u) in told["connection"]}
        self._marks = {v: {int(p): int(ts) for p, ts in m} for v, m in told["marks"]}
        self.since, self.last = dict(told["since"]), dict(told["last"])
        self.with_book = dict(told["with_book"])
        self.repeated, self.late = told["counts"]
        self._singles.restore(told["singles"])


def _refused(message: Message, reason: str) -> dict[str, Any]:
    """A row of bronze.quarantine."""
    return {
        "source": f"{message.topic}/{message.partition}",
        "offset": message.offset,
        "reason": reason,
        "ts_recv": None,
        "instrument_id": None,
        "raw": message.value.hex(),
        "batch_id": None,
    }


def begin_with_book(contents: Iterable[Content | Broken]) -> set[str]:
    """The venues whose first batch here begins with a market snapshot."""
    first: dict[str, bool] = {}
    for content in contents:
        if isinstance(content, Batch) and len(content.columns.flags):
            first.setdefault(content.venue, bool(content.columns.flags[0] & F_SNAPSHOT))
    return {venue for venue, book in first.items() if book}


def state_bytes(told: Mapping[str, Any]) -> bytes:
    """JSON as bytes, the same for the same state."""
    return json.dumps(told, separators=(",", ":"), sort_keys=True).encode()
