"""The topic into bronze.stream by Spark: what the local engine makes of it, each message once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from spymaster.bus import partition_of
from spymaster.engines.spark.stream.bronze_job import BronzeJob, Done
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.bus.broker import Broker
from tests.bus.conftest import broker
from tests.live.chain import on_bus
from tests.parity import bronze_topic
from tests.parity.bronze_topic import CME, Sent, at, commits, files, local, prepared, publish

__all__ = ["broker"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]


@dataclass(frozen=True)
class Posted:
    """A topic on the broker, and the root where the local engine has read it."""

    settings: Settings
    sent: Sent
    records: int

    @property
    def root(self) -> Path:
        return Path(self.settings.root)


@pytest.fixture(scope="module", params=[1, 3])
def posted(
    request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Posted:
    folder = tmp_path_factory.mktemp("posted")
    settings = on_bus(prepared(folder / "local"), request.param, broker)
    sent = publish(settings, files(folder / "market"))
    return Posted(settings, sent, local(settings))


def job(spark: Any, settings: Settings, most: int = 40) -> Done:
    """All that the topic has."""
    return BronzeJob(spark, settings, most=most).run(Event(), available_now=True)


def same(a: Path, b: Path) -> None:
    for table in ("bronze.stream", "bronze.quarantine"):
        found = diff(a, b, table)
        print(found)
        assert found.equal, str(found)
        assert found.rows[table][1] > 0


def test_spark_makes_the_stream_of_the_local_engine(
    posted: Posted, spark: Any, tmp_path: Path
) -> None:
    done = job(spark, at(posted.settings, tmp_path))
    print(posted.sent, done)
    assert done.records == posted.records == posted.sent.records + posted.sent.singles
    assert done.refused == 2
    assert posted.sent.again > 50
    assert done.epochs > 5
    same(posted.root, tmp_path)
    assert job(spark, at(posted.settings, tmp_path)) == Done(0, 0, 0, done.epochs)
    same(posted.root, tmp_path)
