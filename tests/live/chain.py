"""What the tests of the whole live way share: settings for a gateway and a bus, an empty broker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from spymaster.engines.stream.features import TOPIC as FEATURES
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from spymaster.settings import Settings
from tests.bus.broker import Broker
from tests.e2e.scenes import configured, market, mbo, records, rewrite

KEY = "db-0123456789abcdefghijklmnopqrs"
#: A quarter of an hour after midnight UTC, where a day's file begins.
WINDOWS = {
    "bars": "19:01-19:15",
    "premarket": "19:01-19:05",
    "opening_range": "19:05-19:06",
    "focus": "19:01-19:15",
    "trigger": "19:05-19:15",
    "regular": "19:05-19:15",
}
NIGHT = date(2024, 1, 9)
BEGIN = 1_704_758_400 * 10**9  #: its midnight, ns UTC
UNTIL = BEGIN + 930 * 10**9  #: half a minute past the session's end


def night(root: Path) -> Settings:
    """A session of fourteen minutes."""
    return configured(root, WINDOWS, {"scale": "fixed", "barrier_ticks": 12, "approach_bars": 8})


def a_night(folder: Path) -> list[Path]:
    """One UTC day's definitions, and its records until the session has ended."""
    made = market(folder, 1, 9_000, WINDOWS, NIGHT)
    mine = [path for path in made if "20240109" in path.name]
    (path,) = mbo("mbo", mine)
    whole = records(path)
    kept = whole[whole["ts_recv"] < UNTIL]
    assert kept["ts_recv"].max() > UNTIL - 20 * 10**9
    rewrite(path, path, kept)
    return mine


def fed(settings: Settings, port: int, symbols: Mapping[str, Mapping[str, list[str]]]) -> Settings:
    """The same settings with a gateway on this machine, and these symbols."""
    told = settings.model_dump(mode="json")
    told["feed"] = {
        **told["feed"],
        "gateway": "127.0.0.1",
        "port": port,
        "symbols": {name: dict(kinds) for name, kinds in symbols.items()},
    }
    return Settings.model_validate(told)


def on_bus(settings: Settings, partitions: int, broker: Broker | None) -> Settings:
    """The same settings with so many partitions; on a broker the topics are removed first."""
    told = settings.model_dump(mode="json")
    if broker is not None:
        empty(broker)
        told["bus"] = broker.settings().model_dump(mode="json")["bus"]
    told["bus"]["partitions"] = partitions
    return Settings.model_validate(told)


def empty(broker: Broker) -> None:
    """Remove the topics of the stream from a broker that other tests used before."""
    admin = AdminClient({"bootstrap.servers": broker.plain})
    names = {TOPIC, FEATURES}
    there = names & set(admin.list_topics(timeout=30).topics)
    for done in admin.delete_topics(list(there)).values() if there else ():
        done.result(30)
    while names & set(admin.list_topics(timeout=30).topics):
        time.sleep(0.05)


def ended(root: Path) -> list[dict[str, Any]]:
    """The sessions that the stream has ended, and committed."""
    names = ["underlier", "session_date"]
    return Lake(root).scan("lineage_stream", names, missing_ok=True).to_pylist()
