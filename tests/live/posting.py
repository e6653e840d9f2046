"""Files onto the topic by the ingestor's own publisher, without a gateway between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from spymaster.bus import Bus
from spymaster.engines.local import LocalEngine
from spymaster.feed import topic
from spymaster.feed.dbn import Chunk, DbnReader
from spymaster.feed.ingest.publisher import Publisher
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN


def post(
    bus: Bus,
    settings: Settings,
    files: Iterable[Path],
    batch_records: int = 1_000,
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
    for path in paths:
        if "definition" in path.name:
            continue
        if land:
            LocalEngine(settings).land([path])
        rows = Lake(settings.root).scan("bronze.definitions").to_pylist()
        known = Instruments(Instrument.from_row(r) for r in rows)
        with DbnReader(path) as reader:
            venue = str(reader.metadata.dataset)
            stage = BronzeProcessDBN(venue, known, settings.underlier)
            publisher = Publisher(bus, venue, settings.bus, lambda: 1)
            publisher.begin(path.name)
            for chunk in reader.chunks(batch_records):
                part = _within(chunk, since, until)
                done = stage.advance(part.records)
                end = chunk.first + chunk.count - 1
                publisher.records(part, done, stage.contracts, end)
                if stage.last_mark is not None:
                    publisher.mark(stage.last_mark, end)
                sent += len(done.events)
            publisher.flush()
            publisher.close()
    return sent


def _within(chunk: Chunk, since: int, until: int) -> Chunk:
    """The same chunk without the records of other times."""
    ts = chunk.records["ts_recv"]
    mine = np.flatnonzero((ts >= since) & (ts <= until))
    numbers = mine + chunk.first if chunk.numbers is None else chunk.numbers[mine]
    return replace(chunk, records=chunk.records[mine], numbers=numbers)
