"""After a restart: what was captured and not published goes out before anything new comes in."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spymaster.bus import Bus
from spymaster.contracts.event import ACTION_CLEAR, F_SNAPSHOT
from spymaster.errors import BusError, SourceError
from spymaster.feed.capture_name import captured_batch
from spymaster.feed.dbn import DbnReader
from spymaster.feed.ingest.capture import mend, unfinished
from spymaster.feed.ingest.flow import Flow
from spymaster.feed.ingest.publisher import COMPLETE
from spymaster.feed.ingest.tail import Tail
from spymaster.feed.topic import TOPIC
from spymaster.lake.manifest import Manifest
from spymaster.lake.tables import Lake
from spymaster.market.clock import DAY_NS

log = logging.getLogger(__name__)

Place = tuple[str, int]  # batch_id, upto


@dataclass
class Noted:
    """How far the topic was when this was written down: a place from which to look on.

    offsets: partition -> the offset that came next; places: what had been said up to there.
    `arrived`: when the feed's last record came, ns UTC of this machine.
    """

    offsets: dict[int, int] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    arrived: int = 0


class Notes:
    """The file that keeps `Noted`; without it the topic is read from its oldest message."""

    def __init__(self, lake: Lake, dataset: str) -> None:
        assert lake.place.local is not None
        folder = f"lake/checkpoints/ingest/{dataset}"
        lake.place.make_folder(folder)
        self._path = lake.place.local / folder / "topic.json"

    def read(self) -> Noted:
        try:
            told = json.loads(self._path.read_text())
            return Noted(
                {int(p): int(o) for p, o in told["offsets"].items()},
                {int(p): (str(b), int(u)) for p, (b, u) in told["places"].items()},
                int(told["arrived"]),
            )
        except FileNotFoundError:
            return Noted()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: not readable (%s); the topic is read anew", self._path, error)
            return Noted()

    def write(self, noted: Noted) -> None:
        replace_json(self._path, vars(noted))


def replace_json(path: Path, told: Mapping[str, Any]) -> None:
    """Put a small file in the place of another: readers see the one or the other, whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(told))
    part.replace(path)


def places(bus: Bus, venue: str, noted: Noted) -> dict[int, Place]:
    """Per partition the last record of this venue that the topic has: capture and number."""
    found = dict(noted.places)
    ends, begins = bus.ends(TOPIC), bus.begins(TOPIC)
    start = {}
    for partition, end in ends.items():
        begin = max(noted.offsets.get(partition, 0), begins[partition])
        if begin > end:  # another topic of this name, made anew
            begin = begins[partition]
            found.pop(partition, None)
        if begin < end:
            start[partition] = begin
    if not start:
        return found
    with bus.reader(TOPIC, start) as reader:
        waiting = set(start)
        while waiting:
            messages = reader.poll(timeout=5.0)
            if not messages:
                raise BusError(
                    f"bus: {TOPIC} gives no message before its end, partitions "
                    f"{sorted(waiting)}. Look whether the bus is reachable, and start again."
                )
            for m in messages:
                if m.headers.get("venue") == venue and "upto" in m.headers:
                    found[m.partition] = (m.headers["batch_id"], int(m.headers["upto"]))
                if m.offset + 1 >= ends[m.partition]:
                    waiting.discard(m.partition)
    return found


def recover(flow: Flow, bus: Bus, venue: str, partitions: int, noted: Noted) -> int:
    """Publish and land the captures of before; how many there were."""
    paths = unfinished(flow.folder)
    batches = [str(captured_batch(path)) for path in paths]
    known = places(bus, venue, noted) if paths else {}
    done = 0
    for n, (path, batch) in enumerate(zip(paths, batches, strict=True)):
        if not mend(path):
            log.info("%s: held no record, removed", path)
            continue
        later = _landed_after(flow.lake, path)
        after = {p: _after(known.get(p), batches, n, later) for p in range(partitions)}
        log.info("%s: published up to %s, the rest follows", path.name, after)
        flow.again(path, batch, after)
        done += 1
    return done


def _after(place: Place | None, batches: list[str], n: int, landed: set[str]) -> int:
    """Up to which record of the n-th capture a partition is complete.

    `landed`: captures that came behind this one and could land, as this one could not.
    """
    if place is not None and place[0] in landed:
        return COMPLETE
    if place is None or place[0] not in batches:
        return -1
    at = batches.index(place[0])
    return COMPLETE if at > n else place[1] if at == n else -1


def _landed_after(lake: Lake, path: Path) -> set[str]:
    with DbnReader(path) as reader:
        start = int(reader.metadata.start)
    rows = Manifest(lake).rows().values()
    return {str(captured_batch(r["path"])) for r in rows if int(r["start"]) > start}


def landed_book(lake: Lake, dataset: str) -> int:
    """The UTC day (since 1970) of the last landed capture, if its day's captures begin a book."""
    captures = [
        r
        for r in Manifest(lake).rows().values()
        if r["dataset"] == dataset and captured_batch(r["path"])
    ]
    if not captures or lake.place.local is None:
        return 0
    day = max(int(r["start"]) for r in captures) // DAY_NS
    for row in captures:
        if int(row["start"]) // DAY_NS == day and begins_book(lake.place.local / row["path"]):
            return day
    return 0


def begins_book(path: Path) -> bool:
    """Does a file hold a market snapshot or an R? False where it cannot be read."""
    try:
        with DbnReader(path) as reader:
            for chunk in reader.chunks():
                records = chunk.records
                if (
                    (records["flags"] & F_SNAPSHOT != 0) | (records["action"] == ACTION_CLEAR)
                ).any():
                    return True
    except SourceError as error:
        log.warning("%s: cannot be read again: %s", path.name, error)
    return False


def landed_tail(lake: Lake, dataset: str) -> tuple[Tail, int]:
    """The end of the last capture that has landed, and its start; nothing where none has."""
    captures = [
        r
        for r in Manifest(lake).rows().values()
        if r["dataset"] == dataset and captured_batch(r["path"])
    ]
    tail, start = Tail(), 0
    if captures and lake.place.local is not None:
        row = max(captures, key=lambda r: int(r["start"]))
        start = int(row["start"])
        try:
            with DbnReader(lake.place.local / row["path"]) as reader:
                for chunk in reader.chunks():
                    tail.update(chunk.records)
        except SourceError as error:
            log.warning("%s: cannot be read again: %s", row["path"], error)
    return tail, start
