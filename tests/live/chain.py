"""What the tests of the whole live way share: settings for a gateway and a bus, an empty broker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from spymaster.engines.stream.features import TOPIC as FEATURES
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from spymaster.settings import Settings
from tests.bus.broker import Broker

KEY = "db-0123456789abcdefghijklmnopqrs"


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
