"""The Spark jobs, as commands of the wheel: here, and as python wheel tasks on Databricks.

Each works in the active SparkSession where there is one. A job that is done returns, one that
failed exits with 1: a cluster takes any SystemExit for a failure.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
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
Together = Annotated[
    int, typer.Option("--together", min=1, help="Sessions computed side by side, at most.")
]


def _engine(settings: Settings, tasks: int | None = None, together: int = 32) -> SparkEngine:
    from spymaster.engines.spark.engine import SparkEngine
    from spymaster.engines.spark.session import open_session

    return SparkEngine(open_session(), settings, tasks=tasks, sessions=together)


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
    together: Together = 32,
    config: Config = None,
    root: Root = None,
) -> None:
    """Make book, bars, levels and episodes from bronze, a contract a task.

    Example: hist__bronze_to_silver --root /lake --from 2024-01-08 --to 2024-02-02
    """
    layers = ("silver", "gold") if gold else ("silver",)
    _sessions(layers, session, first, last, force, tasks, together, config, root)


def _silver_to_gold(
    session: SessionDate = None,
    first: FromDate = None,
    last: ToDate = None,
    force: Force = False,
    tasks: Tasks = None,
    together: Together = 32,
    config: Config = None,
    root: Root = None,
) -> None:
    """Make vectors, labels and the training view of sessions whose silver is there.

    Example: hist__silver_to_gold --root /lake --from 2024-01-08 --to 2024-02-02
    """
    _sessions(("gold",), session, first, last, force, tasks, together, config, root)


def _sessions(
    layers: tuple[str, ...],
    session: str | None,
    first: str | None,
    last: str | None,
    force: bool,
    tasks: int | None,
    together: int,
    config: Any,
    root: str | None,
) -> None:
    dates = dates_of(session, first, last)
    engine = _engine(Settings.load(config, root=root), tasks, together)
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


def run_job(command: Callable[..., None]) -> None:
    """One command as a program of its own; SystemExit only where it failed."""
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
    run_job(_dbn_to_bronze)


def bronze_to_silver() -> None:
    """`hist__bronze_to_silver`."""
    run_job(_bronze_to_silver)


def silver_to_gold() -> None:
    """`hist__silver_to_gold`."""
    run_job(_silver_to_gold)


def export_training_snapshot() -> None:
    """`hist__export_training_snapshot`."""
    run_job(_export_training_snapshot)
