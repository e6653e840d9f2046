"""What the live tests share: settings, topics read back, and what should be in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spymaster.bus import open_bus
from spymaster.contracts.event import F_SNAPSHOT
from spymaster.feed.dbn_definitions import read_definitions
from spymaster.feed.topic import TOPIC, Batch, Gap, Mark, Single, decode
from spymaster.kernel.columns import COLUMN_TYPES
from spymaster.market.identify import Instrument, from_definition
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN
from spymaster.stages.envelope import wire_batch
from tests.e2e.scenes import records

KEY = "db-of-the-tests"
#: What of a record must come through the topic as it was.
FACTS = [name for name in COLUMN_TYPES if name not in ("contract", "is_snapshot")]
Row = tuple[Any, ...]


def live_settings(root: Path, settings: Settings, port: int, **feed: Any) -> Settings:
    """The settings of a scene, for a gateway on this machine; patience is short."""
    plain = settings.model_dump(mode="json")
    partitions = feed.pop("partitions", 1)
    quick = {
        "gateway": "127.0.0.1",
        "port": port,
        "heartbeat_s": 1,
        "first_record_s": 5.0,
        "definitions_s": 10.0,
        "backoff_first_s": 0.05,
        "backoff_longest_s": 0.2,
        **feed,
    }
    plain.update(root=str(root), feed=quick, bus={"partitions": partitions})
    return Settings.model_validate(plain)


@dataclass
class Read:
    """A topic read from its beginning. `rows`: contract -> its records, in order."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    dropped: int = 0
    marks: dict[int, list[Mark]] = field(default_factory=lambda: defaultdict(list))
    gaps: dict[int, list[Gap]] = field(default_factory=lambda: defaultdict(list))
    instruments: list[Instrument] = field(default_factory=list)
    singles: list[Single] = field(default_factory=list)
    batches: list[tuple[int, Batch]] = field(default_factory=list)
    order: list[tuple[int, str]] = field(default_factory=list)

    @property
    def records(self) -> int:
        return sum(map(len, self.rows.values()))


def read_topic(settings: Settings) -> Read:
    """All messages; of a contract's records those at or below what a batch before had are dropped.

    Also checks what every reader relies on: an instrument before its records, no record below a
    mark of its venue (within one batch_id), one partition per contract.
    """
    read = Read()
    known: dict[int, set[str]] = defaultdict(set)
    last: dict[Row, Row] = {}
    before: dict[Row, Row] = {}
    batch_of: dict[Row, str] = {}
    home: dict[str, int] = {}
    with open_bus(settings) as bus:
        ends = bus.ends(TOPIC)
        with bus.reader(TOPIC, dict.fromkeys(ends, 0)) as reader:
            left = sum(ends.values())
            while left:
                messages = reader.poll(timeout=5)
                assert messages
                left -= len(messages)
                for m in messages:
                    content = decode(m.value, m.headers, f"{m.partition}:{m.offset}")
                    read.order.append((m.partition, type(content).__name__))
                    if isinstance(content, Mark):
                        read.marks[m.partition].append(content)
                    elif isinstance(content, Gap):
                        read.gaps[m.partition].append(content)
                    elif isinstance(content, Single):
                        read.singles.append(content)
                    elif isinstance(content, Instrument):
                        read.instruments.append(content)
                        known[m.partition].add(str(content.contract_id))
                    else:
                        read.batches.append((m.partition, content))
                        place = (m.partition, content.venue)
                        if batch_of.get(place) != content.batch_id:
                            batch_of[place] = content.batch_id
                            before.update({k: v for k, v in last.items() if k[:2] == place})
                        for name, row in rows_of(content):
                            assert name in known[m.partition], f"{name} before its instrument"
                            assert home.setdefault(name, m.partition) == m.partition
                            who = (*place, name, row[-1])
                            key = (row[FACTS.index("ts_recv")], row[FACTS.index("event_index")])
                            if who in before and key <= before[who]:
                                read.dropped += 1
                                continue
                            last[who] = key
                            read.rows[name].append(row)
    return read


def rows_of(batch: Batch) -> Iterable[tuple[str, Row]]:
    """(contract, facts and whether it is of a market snapshot) of a batch's records."""
    columns = [getattr(batch.columns, name).tolist() for name in FACTS]
    snapshot = (batch.columns.flags & F_SNAPSHOT != 0).tolist()
    for i, place in enumerate(batch.columns.contract.tolist()):
        yield batch.contracts[place][0], (*(c[i] for c in columns), snapshot[i])


def expected(
    settings: Settings,
    venue: str,
    files: Iterable[Path],
    definitions: Iterable[Path] = (),
    mapped: Iterable[Instrument] = (),
) -> dict[str, list[Row]]:
    """The same from the files: each read by bronze's stage, one feed from end to end."""
    rows: dict[str, list[Row]] = defaultdict(list)
    defined = [
        from_definition(r, venue, settings.underlier)
        for path in definitions
        for r in read_definitions(path)
    ]
    stage = BronzeProcessDBN(venue, Instruments([*defined, *mapped]), settings.underlier)
    for path in files:
        found = records(path)
        done = stage.advance(found)
        if not len(done.events):
            continue
        batch = wire_batch(
            found,
            done,
            np.arange(len(done.events)),
            stage.contracts,
            venue=venue,
            batch_id="",
            upto=0,
            ingest_time=0,
        )
        for name, row in rows_of(batch):
            rows[name].append(row)
    return rows


def assert_same(read: Mapping[str, list[Row]], want: Mapping[str, list[Row]]) -> int:
    """The same records of every contract, in the same order; how many."""
    assert sorted(read) == sorted(want)
    for name in want:
        for i, (a, b) in enumerate(zip(read[name], want[name], strict=False)):
            assert a == b, f"{name} record {i}: {a} is not {b}"
        assert len(read[name]) == len(want[name]), name
    count = sum(map(len, want.values()))
    assert count > 1000
    return count


def config(path: Path, settings: Settings) -> Path:
    """The settings as a file, for a process of its own."""
    path.write_text(settings.to_toml())
    return path


def start(verb: str, *arguments: Any, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "spymaster", verb, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "DATABENTO_API_KEY": KEY, **environment},
    )


def status_of(settings: Settings, dataset: str) -> dict[str, Any]:
    path = Path(settings.root) / "run" / f"ingest-{dataset.lower().replace('.', '-')}.json"
    told: dict[str, Any] = json.loads(path.read_text())
    return told
