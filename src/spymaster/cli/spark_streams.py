"""The streaming jobs on Spark, as commands of the wheel: here, and as tasks on Databricks.

Each ends at SIGTERM or Ctrl-C behind a whole micro-batch, and goes on where it was when it is
started again, whatever ended it.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from threading import Event
from types import FrameType
from typing import Annotated

import typer

from spymaster.cli.app import Config, Root
from spymaster.cli.console import tell
from spymaster.cli.spark import Gold, Tasks, run_job
from spymaster.errors import SpymasterError
from spymaster.settings import Settings

Trigger = Annotated[
    str, typer.Option("--trigger", help="Time between two micro-batches.", metavar="TIME")
]
AvailableNow = Annotated[
    bool, typer.Option("--available-now", help="End when what is there now has been committed.")
]


class StateInterface(StrEnum):
    """How a job's states lie in Spark's store."""

    transform = "transform"
    apply = "apply"


State = Annotated[
    StateInterface,
    typer.Option(
        "--state",
        help="transformWithStateInPandas, or applyInPandasWithState; stays what it began as.",
    ),
]


def _mbo_raw_to_bronze(
    trigger: Trigger = "1s",
    available_now: AvailableNow = False,
    messages: Annotated[
        int, typer.Option("--messages", min=1, help="Messages of a commit, at most.")
    ] = 2_000,
    config: Config = None,
    root: Root = None,
) -> None:
    """Read the topic mbo_raw into bronze.stream, a commit a trigger; each message once.

    Goes on where it was, whatever ended it. SIGTERM ends it behind a commit.

    Example: rt__mbo_raw_to_bronze --config spymaster.toml --trigger 1s
    """
    from spymaster.engines.spark.session import open_session
    from spymaster.engines.spark.stream.bronze_job import BronzeJob

    settings, seconds = Settings.load(config, root=root), seconds_of(trigger)
    job = BronzeJob(open_session(), settings, trigger_s=seconds, most=messages)
    with stopping() as stop:
        done = job.run(stop, available_now=available_now)
    tell(
        f"bronze.stream: {done.records:,} records of {done.messages:,} messages, "
        f"{done.refused:,} messages refused; epoch {done.epochs}"
    )


def _bronze_to_silver(
    gold: Gold = False,
    state: State = StateInterface.transform,
    trigger: Trigger = "1s",
    available_now: AvailableNow = False,
    tasks: Tasks = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Make book, bars, levels and episodes of what bronze.stream brings, as it comes.

    Example: rt__bronze_to_silver --root /lake --gold --trigger 1s
    """
    layers = ("silver", "gold") if gold else ("silver",)
    _stages(layers, state, trigger, available_now, tasks, Settings.load(config, root=root))


def _silver_to_gold(
    state: State = StateInterface.transform,
    trigger: Trigger = "1s",
    available_now: AvailableNow = False,
    tasks: Tasks = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Make vectors and labels of what bronze.stream brings, as it comes.

    Example: rt__silver_to_gold --root /lake --available-now
    """
    _stages(("gold",), state, trigger, available_now, tasks, Settings.load(config, root=root))


def _stages(
    layers: tuple[str, ...],
    state: StateInterface,
    trigger: str,
    available_now: bool,
    tasks: int | None,
    settings: Settings,
) -> None:
    from spymaster.engines.spark.session import open_session
    from spymaster.engines.spark.stream.silver_job import SilverJob

    seconds, spark = seconds_of(trigger), open_session()
    if tasks is not None:
        spark.conf.set("spark.sql.shuffle.partitions", tasks)
    job = SilverJob(spark, settings, layers, time.time_ns, state=state.value, trigger_s=seconds)
    with stopping() as stop:
        done = job.run(stop, available_now=available_now)
    tell(
        f"{job.name}: {done.epochs} epochs, {done.rows:,} rows, {done.repeated} records repeated, "
        f"{done.late} late, sessions ended: {', '.join(done.sessions_ended) or 'none'}"
    )


def seconds_of(text: str) -> float:
    """A time between triggers; SpymasterError for what is none.

    >>> [seconds_of(t) for t in ("1s", "500ms", "2m", "0s")]
    [1.0, 0.5, 120.0, 0.0]
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", text.strip())
    if found is None:
        raise SpymasterError(f"--trigger {text!r} is no time; allowed are such as 500ms, 1s, 2m.")
    return float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[found[2]]


@contextmanager
def stopping() -> Iterator[Event]:
    """An event that SIGTERM and Ctrl-C set, while a job runs."""
    stop = Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def mbo_raw_to_bronze() -> None:
    """`rt__mbo_raw_to_bronze`."""
    run_job(_mbo_raw_to_bronze)


def bronze_to_silver() -> None:
    """`rt__bronze_to_silver`."""
    run_job(_bronze_to_silver)


def silver_to_gold() -> None:
    """`rt__silver_to_gold`."""
    run_job(_silver_to_gold)
