"""A simulated morning on a broker's topic, with what goes wrong there; what Spark made of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq

from spymaster.bus import Bus, Message, open_bus
from spymaster.engines.stream.live import LiveEngine
from spymaster.feed.topic import TOPIC, Batch, Gap, decode, encode
from spymaster.lake import Lake
from spymaster.settings import Settings
from tests.e2e.scenes import NS, SHORT, market, short
from tests.live.posting import post
from tests.users_event import EVENT

CME = "GLBX.MDP3"
BROKEN = b"\x00not a batch"
APP = "rt__mbo_raw_to_bronze/bronze.stream"


@dataclass(frozen=True)
class Sent:
    """What went onto the topic: records of the feed, records that came again, single events."""

    records: int
    again: int
    singles: int


def files(folder: Path) -> list[Path]:
    """Two sessions of two futures and four options."""
    return market(folder, 2, 2_000, SHORT, options=4, option_events_per_session=500)


def publish(settings: Settings, market: list[Path]) -> Sent:
    """The files, a connection each; in their middle what goes wrong with a topic."""
    with open_bus(settings) as bus:
        middle = len(market) // 2
        records = post(bus, settings, market[:middle], 100)
        again = _again(bus)
        with bus.producer("somebody") as producer:
            last = bus.partitions(TOPIC) - 1
            producer.publish(TOPIC, BROKEN, partition=last, headers={"kind": "batch", "venue": CME})
            producer.publish(TOPIC, b"no json", partition=0)
            at = 1_704_800_000 * NS
            value, headers = encode(Gap(CME, at, at + NS, "a gap of the test"))
            producer.publish(TOPIC, value, partition=last, headers=headers)
            for _ in range(2):
                producer.publish(TOPIC, json.dumps(EVENT).encode(), partition=0)
        records += post(bus, settings, market[middle:], 100)
    return Sent(records, again, 2)


def _again(bus: Bus) -> int:
    """Publish the last two batches of the topic's first partition once more; their records."""
    found = [m for m in messages(bus, 0) if m.headers.get("kind") == "batch"][-2:]
    with bus.producer("again") as producer:
        for m in found:
            producer.publish(TOPIC, m.value, partition=0, headers=m.headers)
    batches = [decode(m.value, m.headers, "") for m in found]
    return sum(len(b.columns.ts_recv) for b in batches if isinstance(b, Batch))


def messages(bus: Bus, partition: int) -> list[Message]:
    """All of a partition."""
    end, found = bus.ends(TOPIC)[partition], list[Message]()
    with bus.reader(TOPIC, {partition: bus.begins(TOPIC)[partition]}) as reader:
        while len(found) < end:
            found += reader.poll()
    return found


def local(settings: Settings) -> int:
    """The same topic by the local engine; how many records it took."""
    with open_bus(settings) as bus:
        return LiveEngine(settings, bus, quiet_s=0.5).run().records


def at(settings: Settings, root: Path) -> Settings:
    """The same settings for another root."""
    return settings.model_copy(update={"root": str(root)})


@dataclass(frozen=True)
class Commit:
    """One commit of bronze.stream by Spark. `rows`: contract -> file -> its rows, as they lie."""

    epoch: int
    told: dict[str, Any]
    rows: dict[str, dict[str, list[dict[str, Any]]]]


def commits(root: Path) -> Iterator[Commit]:
    """What lies in the table's log and in its files, commit by commit."""
    folder = Path(Lake(root).uri("bronze.stream"))
    for path in sorted((folder / "_delta_log").glob("*.json")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        txns = [x["txn"] for x in lines if "txn" in x]
        if not txns:
            continue
        (txn,) = txns
        assert txn["appId"] == APP
        (info,) = (x["commitInfo"] for x in lines if "commitInfo" in x)
        rows: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for add in (x["add"] for x in lines if "add" in x):
            for row in pq.ParquetFile(folder / unquote(add["path"])).read().to_pylist():
                rows[row["contract_id"]][add["path"]].append({**row, **add["partitionValues"]})
        yield Commit(txn["version"], json.loads(info["userMetadata"]), rows)


def prepared(root: Path) -> Settings:
    """The settings of a root, before they are put on a broker."""
    return short(root)
