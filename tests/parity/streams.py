"""The stream engines that must agree: a topic's messages and settings in, a lake's twins out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any

from spymaster.bus import Message
from spymaster.engines.spark.stream.silver_job import Done, SilverJob
from spymaster.lake import Lake
from spymaster.settings import Settings
from tests.parity.stream_table import BronzeCommits, pieces
from tests.parity.topics import live

BOTH = ("silver", "gold")
Stream = Callable[[Settings, Sequence[Message], Any, int], list[Done]]


def local_stream(
    settings: Settings, messages: Sequence[Message], spark: Any, commits: int
) -> list[Done]:
    """The local engine, which reads the topic itself."""
    live(settings, messages)
    return []


def spark_stream(
    settings: Settings, messages: Sequence[Message], spark: Any, commits: int
) -> list[Done]:
    """The one job that makes silver and gold, while the commits come."""
    return [streamed(settings, messages, spark(), commits)]


def spark_two_jobs(
    settings: Settings, messages: Sequence[Message], spark: Any, commits: int
) -> list[Done]:
    """`rt__bronze_to_silver` and `rt__silver_to_gold`, each over all that is there."""
    bronze = BronzeCommits(settings, Lake(settings.root), settings.bus.partitions)
    for some in cut(messages, commits):
        bronze.commit(some)
    return [available(settings, spark(), (layer,)) for layer in BOTH]


def cut(messages: Sequence[Message], commits: int) -> list[Sequence[Message]]:
    """So many pieces of about the same length."""
    return list(pieces(messages, [len(messages) * i // commits for i in range(1, commits)]))


def available(settings: Settings, spark: Any, layers: Sequence[str] = BOTH, **how: Any) -> Done:
    """One run of a job over what bronze.stream holds."""
    return SilverJob(spark, settings, layers, time.time_ns, **how).run(Event(), available_now=True)


def streamed(
    settings: Settings, messages: Sequence[Message], spark: Any, commits: int, **how: Any
) -> Done:
    """A job at work while bronze.stream grows, a commit for each of its micro-batches."""
    lake, stop = Lake(settings.root), Event()
    bronze = BronzeCommits(settings, lake, settings.bus.partitions)
    todo = cut(messages, commits)
    bronze.commit(todo[0])
    job = SilverJob(spark, settings, BOTH, time.time_ns, trigger_s=0.0, **how)

    def feed() -> None:
        try:
            for some in todo[1:]:
                _until(lambda: job.reached >= bronze.version or stop.is_set())
                bronze.commit(some)
            _until(lambda: (job.idle and job.reached >= bronze.version) or stop.is_set())
        finally:
            stop.set()

    feeder = Thread(target=feed, daemon=True)
    feeder.start()
    try:
        return job.run(stop)
    finally:
        stop.set()
        feeder.join(60)


def _until(true: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("the job did not follow within five minutes")


#: Each makes the same twins.
STREAMS: dict[str, Stream] = {
    "local_stream": local_stream,
    "spark_stream": spark_stream,
    "spark_two_jobs": spark_two_jobs,
}
