"""The verbs of learning: snapshot, split, sweep, backtest, promote, rollback, models."""

from __future__ import annotations

import datetime as dt
import time
from typing import Annotated, Any, Literal

import typer

from spymaster.cli.app import Config, Root, app, date_of
from spymaster.errors import ContractError
from spymaster.settings import Settings

ml = typer.Typer(
    no_args_is_help=True, help="Learning: frozen data, their split, and models made of them."
)
app.add_typer(ml, name="ml")

Model = Annotated[str, typer.Option("--model", "-m", help="Such as ES_MODEL.")]
RunDate = Annotated[
    str,
    typer.Option("--run-date", help="What was known before this day began (UTC).", metavar="DATE"),
]


def run_date_of(text: str) -> dt.date:
    """The day that --run-date names; ContractError for none."""
    found = date_of(text, "--run-date")
    if found is None:
        raise ContractError("--run-date is empty; allowed: YYYY-MM-DD.")
    return found


@ml.command()
def snapshot(model: Model, run_date: RunDate, config: Config = None, root: Root = None) -> None:
    """Freeze what a model may learn from on a day, under ml-artifacts/datasets/.

    The same content again does nothing; other content under the same run date is refused.

    Example: spymaster ml snapshot --model ES_MODEL --run-date 2024-06-03
    """
    from spymaster.cli.datasets import take_snapshot

    settings = Settings.load(config, root=root)
    take_snapshot(settings, model, run_date_of(run_date), time.time_ns())


@ml.command()
def split(model: Model, run_date: RunDate, config: Config = None, root: Root = None) -> None:
    """Share a snapshot's sessions out, in order: train, validation, test, an embargo between.

    Written beside the snapshot, once. Shares and least numbers: [ml.split] in the configuration.

    Example: spymaster ml split --model ES_MODEL --run-date 2024-06-03
    """
    from spymaster.cli.datasets import make_split

    make_split(Settings.load(config, root=root), model, run_date_of(run_date))


@ml.command()
def sweep(
    model: Model,
    run_date: RunDate,
    trials: Annotated[int, typer.Option("--trials", "-n", min=1, help="How many in all.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Same snapshot, seed and code: same best.")] = 1,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=4, help="Trials at a time, a process each.")
    ] = 1,
    config: Config = None,
    root: Root = None,
) -> None:
    """Search for the best model on a snapshot, fit and calibrate it, and save it with MLflow.

    Trials are judged inside train, the best is calibrated on validation; test is not looked at.
    Broken off, it goes on where it was; with more --trials too. Runs: [ml] tracking_uri.

    Example: spymaster ml sweep --model ES_MODEL --run-date 2024-06-03 --trials 40 --jobs 2
    """
    from spymaster.cli.sweeping import run_sweep

    settings = Settings.load(config, root=root)
    run_sweep(settings, model, run_date_of(run_date), trials, seed, jobs)


@ml.command()
def backtest(
    model: Model,
    version: Annotated[
        str | None,
        typer.Option(
            "--version", metavar="N", help="Registered already; else the model swept last."
        ),
    ] = None,
    alias: Annotated[
        str | None, typer.Option("--alias", help="In place of --version, such as champion.")
    ] = None,
    sessions: Annotated[
        Literal["test", "validation"],
        typer.Option(help="What is traded. Test sessions are a look; validation is free."),
    ] = "test",
    run_date: Annotated[
        str | None,
        typer.Option("--run-date", metavar="DATE", help="Trade a later snapshot's sessions."),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(
            "--latency-ms", help="From a vector or an outcome to the market; at least 250."
        ),
    ] = None,
    cost_ticks: Annotated[
        float | None,
        typer.Option("--cost-ticks", help="Fees in ticks per side, of all underliers."),
    ] = None,
    objective: Annotated[
        Literal["per_trade", "total"] | None,
        typer.Option(help="What the thresholds maximise on validation, in net ticks."),
    ] = None,
    min_trades: Annotated[
        int | None, typer.Option("--min-trades", help="On validation, for a rule to be chosen.")
    ] = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Trade a model's calls at the book's quotes, net of spread, fees, latency; with a report.

    BREAK goes along with the approach, REJECT against it, where the probability reaches a threshold
    that validation sessions have chosen. Test sessions are a look: a row of gold.test_looks, and
    the next look (also the gate's) has less significance. The same backtest again costs nothing.
    Report, trades and summary: ml-artifacts/backtests/. Knobs: [ml.backtest]. See docs/backtest.md.

    Example: spymaster ml backtest --model ES_MODEL --alias champion --sessions validation
    """
    from spymaster.cli.backtesting import run_backtest

    given: dict[str, Any] = {
        "latency_ms": latency_ms,
        "cost_ticks": cost_ticks,
        "objective": objective,
        "min_trades": min_trades,
    }
    knobs = {name: value for name, value in given.items() if value is not None}
    settings = Settings.load(config, root=root, ml={"backtest": knobs} if knobs else None)
    if cost_ticks is not None:
        settings = with_cost(settings, cost_ticks)
    day = None if run_date is None else run_date_of(run_date)
    run_backtest(settings, model, version, alias, sessions, day)


def with_cost(settings: Settings, ticks: float) -> Settings:
    """The settings with the same fees for every underlier."""
    costs = dict.fromkeys(settings.ml.backtest.underlier_cost_ticks, ticks)
    how = settings.ml.backtest.model_copy(update={"underlier_cost_ticks": costs})
    return settings.model_copy(update={"ml": settings.ml.model_copy(update={"backtest": how})})


@ml.command()
def promote(
    model: Model,
    version: Annotated[
        str | None,
        typer.Option(
            "--version", metavar="N", help="Registered already; else the model swept last."
        ),
    ] = None,
    run_date: Annotated[
        str | None,
        typer.Option("--run-date", metavar="DATE", help="Judge by a later snapshot's sessions."),
    ] = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Make a challenger champion, if it passes every check of the gate. See docs/gate.md.

    It must beat champion, prior and baseline on test sessions that neither has seen. Each look at
    test sessions is written down in gold.test_looks and makes the next one stricter.

    Example: spymaster ml promote --model ES_MODEL
    """
    from spymaster.cli.promoting import run_promote

    day = None if run_date is None else run_date_of(run_date)
    run_promote(Settings.load(config, root=root), model, version, day)


@ml.command()
def rollback(
    model: Model,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept in gold.promotions.")],
    config: Config = None,
    root: Root = None,
) -> None:
    """Bring the champion before back. Again goes one further back.

    Example: spymaster ml rollback --model ES_MODEL --reason "calls every touch a BREAK since 10:00"
    """
    from spymaster.cli.promoting import run_rollback

    run_rollback(Settings.load(config, root=root), model, reason)


@ml.command()
def models(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="One of them; else all.")
    ] = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Show what is registered, who is champion, and every look at test sessions.

    Example: spymaster ml models
    """
    from spymaster.cli.promoting import show_models

    show_models(Settings.load(config, root=root), model)
