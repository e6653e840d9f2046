"""The chain as it runs: a broker's topic, two jobs at work at once, tables that are history's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from spymaster.bus import open_bus
from spymaster.engines.spark.stream.bronze_job import BronzeJob
from spymaster.engines.spark.stream.silver_job import SilverJob
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from tests.bus.broker import Broker
from tests.bus.conftest import broker
from tests.live.chain import on_bus
from tests.parity.stream_table import publish
from tests.parity.streams import BOTH
from tests.parity.test_stream_parity import PARTITIONS, Scene, checked, scenes

__all__ = ["broker", "scenes"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
    pytest.mark.filterwarnings("ignore:Protobuf gencode version:UserWarning"),
]
_PATIENCE = 300.0


def test_two_jobs_at_work_on_a_brokers_topic_make_the_facts_of_history(
    scenes: Callable[[str], Scene], broker: Broker, spark: Any, tmp_path: Path
) -> None:
    scene = scenes("morning")
    settings = on_bus(scene.root(tmp_path / "root"), PARTITIONS, broker)
    with open_bus(settings) as bus:
        bus.create(TOPIC, PARTITIONS)
        publish(bus, scene.messages)
    stop = Event()
    bronze = BronzeJob(spark, settings, trigger_s=0.0, most=len(scene.messages) // 4)
    silver = SilverJob(spark, settings, BOTH, time.time_ns, trigger_s=0.0)
    failed: list[BaseException] = []

    def work(job: Any) -> None:
        try:
            job.run(stop)
        except BaseException as error:
            failed.append(error)

    began = time.monotonic()
    threads = [Thread(target=work, args=(job,), daemon=True) for job in (bronze, silver)]
    threads[0].start()
    while not Lake(settings.root).exists("bronze.stream") and not failed:
        time.sleep(0.2)
    threads[1].start()
    with open_bus(settings) as bus:
        ends = bus.ends(TOPIC)
        while not failed and time.monotonic() - began < _PATIENCE:
            version = Lake(settings.root).version("bronze.stream") or 0
            if bus.reported("rt__mbo_raw_to_bronze", TOPIC) == ends and silver.reached >= version:
                break
            time.sleep(0.2)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not failed, failed
    print(f"{time.monotonic() - began:.1f} s, {silver.done}")
    assert silver.done.epochs >= 2
    checked(tmp_path / "root", scene)
