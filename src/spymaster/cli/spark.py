"""The Spark jobs, as commands of the wheel: here, and as python wheel tasks on Databricks.

Each works in the active SparkSession where there is one. A job that is done returns, one that
failed exits with 1: a cluster takes any SystemExit for a failure.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spymaster.cli.app import (
    Config,
    FromDate,
    Root,
    SessionDate,
    SomeFiles,
    ToDate,
    dates_of,
    finish,
)
from spymaster.cli.console import errors, summary
from spymaster.cli.datasets import take_snapshot
from spymaster.cli.learning import Model, RunDate, run_date_of
from spymaster.errors import SpymasterError
from spymaster.settings import Settings

if TYPE_CHECKING:
    from spymaster.engines.spark.engine import SparkEngine

Force = Annotated[
    bool, typer.Option("--force", help="Also sessions that are current: to equal rows.")
]
Gold = Annotated[
    bool, typer.Option("--gold", help="Make gold in the same pass, as `spymaster hist run` does.")
]
Tasks = Annotated[
    int | None,
    typer.Option("--tasks", min=1, help="Tasks to spread contracts over; else Spark's setting."),
]


def _engine(settings: Settings, tasks: int | None = None) -> SparkEngine:
    from spymaster.engines.spark.engine import SparkEngine
    from spymaster.engines.spark.session import open_session

    return SparkEngine(open_session(), settings, tasks=tasks)


def _dbn_to_bronze(files: SomeFiles = None, config: Config = None, root: Root = None) -> None:
    """Decode landed files into bronze.mbo, a file a task; each file once.

    Example: hist__dbn_to_bronze --config spymaster.toml glbx-mdp3-202401*.mbo.dbn.zst
    """
    engine = _engine(Settings.load(config, root=root))
    engine.bronze(files or [])
    summary(engine.report, ("bronze",))
    finish(engine.report, config, root)


def _bronze_to_silver(
    session: SessionDate = None,
    first: FromDate = None,
    last: ToDate = None,
    force: Force = False,
    gold: Gold = False,
    tasks: Tasks = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Make book, bars, levels and episodes from bronze, a contract a task.

    Example: hist__bronze_to_silver --root /lake --from 2024-01-08 --to 2024-02-02
    """
    layers = ("silver", "gold") if gold else ("silver",)
    _sessions(layers, session, first, last, force, tasks, config, root)


def _silver_to_gold(
    session: SessionDate = None,
    first: FromDate = None,
    last: ToDate = None,
    force: Force = False,
    tasks: Tasks = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Make vectors, labels and the training view of sessions whose silver is there.

    Example: hist__silver_to_gold --root /lake --from 2024-01-08 --to 2024-02-02
    """
    _sessions(("gold",), session, first, last, force, tasks, config, root)


def _sessions(
    layers: tuple[str, ...],
    session: str | None,
    first: str | None,
    last: str | None,
    force: bool,
    tasks: int | None,
    config: Any,
    root: str | None,
) -> None:
    dates = dates_of(session, first, last)
    engine = _engine(Settings.load(config, root=root), tasks)
    engine.run((), layers=layers, from_bronze=True, dates=dates, force=force)
    summary(engine.report, layers)
    finish(engine.report, config, root)


def _export_training_snapshot(
    model: Model, run_date: RunDate, config: Config = None, root: Root = None
) -> None:
    """Freeze what a model may learn from on a day: the folder that `spymaster ml snapshot` makes.

    Example: hist__export_training_snapshot --model ES_MODEL --run-date 2024-06-03
    """
    settings = Settings.load(config, root=root)
    take_snapshot(settings, model, run_date_of(run_date), time.time_ns())


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
Trigger = Annotated[str, typer.Option("--trigger", help="Time between micro-batches, as 1s.")]
AvailableNow = Annotated[
    bool, typer.Option("--available-now", help="End when all that is there is committed.")
]


def _rt_bronze_to_silver(
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
    _stream(layers, state, trigger, available_now, tasks, Settings.load(config, root=root))


def _rt_silver_to_gold(
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
    _stream(("gold",), state, trigger, available_now, tasks, Settings.load(config, root=root))


def _stream(
    layers: tuple[str, ...],
    state: StateInterface,
    trigger: str,
    available_now: bool,
    tasks: int | None,
    settings: Settings,
) -> None:
    from spymaster.engines.spark.session import open_session
    from spymaster.engines.spark.stream.silver_job import SilverJob

    seconds = _seconds(trigger)
    spark = open_session()
    if tasks is not None:
        spark.conf.set("spark.sql.shuffle.partitions", tasks)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    job = SilverJob(spark, settings, layers, time.time_ns, state=state.value, trigger_s=seconds)
    done = job.run(stop, available_now=available_now)
    print(
        f"{job.name}: {done.epochs} epochs, {done.rows:,} rows, {done.repeated} records repeated, "
        f"{done.late} late, sessions ended: {', '.join(done.sessions_ended) or 'none'}"
    )


def _seconds(trigger: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m)?", trigger.strip())
    if found is None:
        raise SpymasterError(
            f"--trigger {trigger}: not a time. Allowed are a number and ms, s or m, as 500ms or 1s."
        )
    return float(found[1]) * {"ms": 0.001, "m": 60.0}.get(found[2] or "s", 1.0)


def _run(command: Callable[..., None]) -> None:
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except SystemExit as done:
        if done.code:
            raise
    except SpymasterError as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def dbn_to_bronze() -> None:
    """`hist__dbn_to_bronze`."""
    _run(_dbn_to_bronze)


def bronze_to_silver() -> None:
    """`hist__bronze_to_silver`."""
    _run(_bronze_to_silver)


def silver_to_gold() -> None:
    """`hist__silver_to_gold`."""
    _run(_silver_to_gold)


def export_training_snapshot() -> None:
    """`hist__export_training_snapshot`."""
    _run(_export_training_snapshot)


def rt_bronze_to_silver() -> None:
    """`rt__bronze_to_silver`."""
    _run(_rt_bronze_to_silver)


def rt_silver_to_gold() -> None:
    """`rt__silver_to_gold`."""
    _run(_rt_silver_to_gold)
