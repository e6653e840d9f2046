"""The verbs, in the order of the way: files in, history, the live feed, what is there."""

from __future__ import annotations

import datetime as dt
import logging
import shlex
from pathlib import Path
from typing import Annotated

import typer

import spymaster
from spymaster.cli.console import engine, errors, summary, tell, tell_table
from spymaster.engines.local import Report
from spymaster.engines.plan import Dates
from spymaster.errors import ContractError
from spymaster.masked import masked
from spymaster.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From an exchange's market-by-order feed to book features, vectors and predictions: "
    "the same numbers from a file, from a live feed, or on Spark.",
)
hist = typer.Typer(no_args_is_help=True, help="History: bronze, silver and gold from DBN files.")
app.add_typer(hist, name="hist")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="spymaster.toml; also SPYMASTER_CONFIG.", metavar="FILE"),
]
Root = Annotated[
    str | None, typer.Option("--root", "-r", help="Where the lake lies; overrides the settings.")
]
Files = Annotated[list[Path], typer.Argument(help=".dbn or .dbn.zst files", metavar="FILE...")]
SomeFiles = Annotated[
    list[Path] | None,
    typer.Argument(help=".dbn or .dbn.zst files to land first", metavar="[FILE...]"),
]
SessionDate = Annotated[
    str | None, typer.Option("--session", help="Only this session, YYYY-MM-DD.", metavar="DATE")
]
FromDate = Annotated[
    str | None, typer.Option("--from", help="Sessions from this one on.", metavar="DATE")
]
ToDate = Annotated[
    str | None, typer.Option("--to", help="Sessions up to this one, included.", metavar="DATE")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read every stored page against its checksum first.")
]


def _version(value: bool) -> None:
    if value:
        tell(f"spymaster {spymaster.__version__}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s")


def date_of(text: str | None, option: str = "--session") -> dt.date | None:
    """A date as an option gives it; ContractError for what is none."""
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        raise ContractError(f"{option} {text!r}: not a date; allowed: YYYY-MM-DD.") from None


def dates_of(session: str | None, first: str | None, last: str | None) -> Dates | None:
    one, a, b = date_of(session), date_of(first, "--from"), date_of(last, "--to")
    if one is not None and (a is not None or b is not None):
        raise ContractError("--session names one session; leave it out to use --from and --to.")
    if a is not None and b is not None and b < a:
        raise ContractError(f"--from {a} is after --to {b}; allowed: --from on or before --to.")
    if one is not None:
        return Dates(one, one)
    return None if a is None and b is None else Dates(a, b)


def finish(report: Report, config: Path | None, root: str | None) -> None:
    given = {"--config": config, "--root": root}
    same = "".join(f" {k} {shlex.quote(str(v))}" for k, v in given.items() if v is not None)
    for line in report.damaged:
        _error(
            f"{line}. What was readable before it is in bronze, the rest is a row of "
            "bronze.gaps. Download the file again and land it under another name."
        )
    for failed in report.failed:
        text = str(failed.error) or type(failed.error).__name__
        _error(f"{failed.name} failed: {text.rstrip('.')}. To do it again: {failed.again}{same}")
    if report.damaged or report.failed:
        raise typer.Exit(1)


def _error(text: str) -> None:
    errors.print(f"error: {text}", style="red", markup=False)


@app.command()
def land(files: Files, config: Config = None, root: Root = None) -> None:
    """Copy DBN files under the root, once, and write down what they are.

    Example: spymaster land glbx-mdp3-20231225.mbo.dbn.zst definitions.dbn.zst
    """
    settings = Settings.load(config, root=root)
    with engine(settings) as run:
        rows = run.land(files)
    for row in rows:
        tell(f"{row['path']}  {row['bytes']:,} bytes  {row['schema']}  {row['status']}")
    summary(run.report, ())


@hist.command("bronze")
def hist_bronze(files: SomeFiles = None, config: Config = None, root: Root = None) -> None:
    """Decode landed files into bronze.mbo; each file once.

    Example: spymaster hist bronze glbx-mdp3-20231225.mbo.dbn.zst
    """
    with engine(Settings.load(config, root=root)) as run:
        run.bronze(files or [])
    summary(run.report, ("bronze",))
    finish(run.report, config, root)


@hist.command("silver")
def hist_silver(session: SessionDate = None, config: Config = None, root: Root = None) -> None:
    """Rebuild book, bars, levels and episodes from bronze: the same rows as `hist run`.

    Example: spymaster hist silver --session 2023-12-26
    """
    with engine(Settings.load(config, root=root)) as run:
        run.run((), date_of(session), ("silver",), from_bronze=True, force=True)
    summary(run.report, ("silver",))
    finish(run.report, config, root)


@hist.command("gold")
def hist_gold(session: SessionDate = None, config: Config = None, root: Root = None) -> None:
    """Rebuild vectors, labels and the training view: the same rows as `hist run`.

    Example: spymaster hist gold --session 2023-12-26
    """
    with engine(Settings.load(config, root=root)) as run:
        run.run((), date_of(session), ("gold",), from_bronze=True, force=True)
    summary(run.report, ("gold",))
    finish(run.report, config, root)


@hist.command("run")
def hist_run(
    files: SomeFiles = None,
    session: SessionDate = None,
    first: FromDate = None,
    last: ToDate = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Sessions at a time, a process each.")
    ] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Also sessions that are current: to equal rows.")
    ] = False,
    verify: Verify = False,
    config: Config = None,
    root: Root = None,
) -> None:
    """Land files and compute what they touch, bronze to gold, decoding each file once.

    A session that is already made from the same files, code and settings is skipped; sessions
    after it are made anew where what they knew of it has changed. `spymaster plan` tells first.

    Example: spymaster hist run --config spymaster.toml glbx-mdp3-202312*.mbo.dbn.zst

    Example: spymaster hist run --from 2024-01-08 --to 2024-02-02 --jobs 2
    """
    dates = dates_of(session, first, last)
    with engine(Settings.load(config, root=root)) as run:
        run.run(files or [], dates=dates, force=force, verify=verify, jobs=jobs)
    summary(run.report, ("bronze", "silver", "gold"))
    finish(run.report, config, root)


@app.command()
def plan(
    session: SessionDate = None,
    first: FromDate = None,
    last: ToDate = None,
    verify: Verify = False,
    config: Config = None,
    root: Root = None,
) -> None:
    """Tell what `hist run` would make, and why. Changes nothing.

    Example: spymaster plan --from 2024-01-08
    """
    from spymaster.cli.plan import show_plan

    show_plan(Settings.load(config, root=root), dates_of(session, first, last), verify)


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="a root, or a table's folder")],
    b: Annotated[str, typer.Argument(help="another")],
    table: Annotated[str | None, typer.Option("--table", help="Only this table.")] = None,
) -> None:
    """Compare two lakes by their facts, floats by their bits; exit code 1 when they differ.

    Example: spymaster diff ./spymaster-data ./rebuilt --table silver.bar_5s
    """
    from spymaster.lake.diff import diff as compare

    found = compare(a, b, table)
    for line in found.lines():
        tell(line)
    if not found.equal:
        raise typer.Exit(1)


@app.command()
def tables(config: Config = None, root: Root = None) -> None:
    """List every table: its rows here, and what it is.

    Example: spymaster tables
    """
    from rich.table import Table

    from spymaster.lake import Lake

    lake = Lake(Settings.load(config, root=root).root)
    lake.check_exists()
    listing = Table(box=None, header_style="bold")
    for heading in ("table", "rows", "meaning"):
        listing.add_column(heading, justify="right" if heading == "rows" else "left")
    for name, contract in lake.tables.items():
        rows = f"{lake.open(name).count():,}" if lake.exists(name) else "-"
        listing.add_row(name, rows, contract.meaning)
    tell_table(listing)
    tell(f"under {lake.root}")


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="such as silver.bar_5s")],
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many rows.")] = 10,
    columns: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    session: SessionDate = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Show rows of a table.

    Example: spymaster show silver.level_approach_2m --session 2023-12-26
    """
    from spymaster.cli.rows import show_rows

    wanted = [c.strip() for c in columns.split(",")] if columns else None
    show_rows(Settings.load(config, root=root).root, table, rows, wanted, date_of(session))


@app.command()
def settings(config: Config = None) -> None:
    """Print the effective settings as TOML: defaults, then file, then environment.

    Passwords in addresses are shown as ***. Example: spymaster settings --config spymaster.toml
    """
    tell(masked(Settings.load(config).to_toml()))


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="folder for the DBN files")],
    sessions: Annotated[int, typer.Option(help="Trading sessions.")] = 3,
    first: Annotated[str, typer.Option(help="First session, YYYY-MM-DD.")] = "2024-01-08",
    events: Annotated[int, typer.Option(help="Records per session.")] = 150_000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    signal: Annotated[bool, typer.Option(help="Order flow foretells the outcome.")] = True,
    strength: Annotated[float, typer.Option(help="How surely, 0 to 1.")] = 1.0,
    underlier: Annotated[str, typer.Option(help="ES (CME) or TSLA (NASDAQ).")] = "ES",
    contracts: Annotated[int, typer.Option(help="ES futures, 1 to 3.")] = 2,
    options: Annotated[
        int, typer.Option(help="ES options, up to 5000, in files of their own.", metavar="N")
    ] = 0,
    option_events: Annotated[
        int, typer.Option(help="Records of the options per session; 0: as many as --events.")
    ] = 0,
    gaps: Annotated[float, typer.Option(help="Jumps past a level per session, on average.")] = 0.5,
    dbn_version: Annotated[int, typer.Option(help="DBN version 1, 2 or 3.")] = 3,
    config: Config = None,
) -> None:
    """Write a market of one's own, order by order, as real DBN files.

    The settings' windows are where it is busy: with short ones (bars = "09:25-10:30") many
    sessions of a few 10,000 records take seconds.

    Example: spymaster simulate ./market --sessions 5 --seed 1

    Example: spymaster simulate ./tsla --underlier TSLA

    Example: spymaster simulate ./busy --sessions 1 --events 20000000

    Example: spymaster simulate ./chain --options 2000 --option-events 1000000

    Example: spymaster simulate ./school --sessions 40 --events 30000 --config short.toml
    """
    from spymaster.cli.market import simulate_market

    made = simulate_market(
        folder,
        Settings.load(config),
        underlier,
        first_session=date_of(first, "--first") or dt.date(2024, 1, 8),
        sessions=sessions,
        seed=seed,
        events_per_session=events,
        contracts=contracts,
        signal=signal,
        strength=strength,
        options=options,
        option_events_per_session=option_events,
        gaps_per_session=gaps,
        dbn_version=dbn_version,
    )
    for path in made.files:
        tell(path)
    tell(f"{made.records:,} records in {len(made.files)} files; {made.truth} tells the outcomes")


def _faults(value: bool) -> None:
    if value:
        from spymaster.cli.replay import show_faults

        show_faults()
        raise typer.Exit


@app.command()
def replay(
    files: Files,
    speed: Annotated[
        str, typer.Option(help="1x as the market was, 60x faster, max: as fast as clients read.")
    ] = "1x",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0: one that the system chooses.")
    ] = 13000,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    begin: Annotated[
        str | None,
        typer.Option("--from", help="Where the feed's clock starts, UTC.", metavar="TIME"),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="SPYMASTER_GATEWAY_KEY", help="The only key let in; else any.", metavar="KEY"
        ),
    ] = None,
    at_end: Annotated[
        str, typer.Option(help="heartbeat: the feed falls silent; close: it ends.")
    ] = "heartbeat",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="What goes wrong: KIND:N:K@CONNECTION; --faults lists them.", metavar="FAULT"
        ),
    ] = None,
    faults: Annotated[
        bool,
        typer.Option("--faults", callback=_faults, is_eager=True, help="List the faults."),
    ] = False,
    replay_hours: Annotated[
        float | None,
        typer.Option(min=0, help="How far back `start` may reach; else to the beginning."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when the first connection has closed.")
    ] = False,
) -> None:
    """Play DBN files as a live feed: a server to which Databento's own client connects.

    docs/replay.md tells what it plays and what it does not.

    Example: spymaster replay ./market/*.dbn.zst --speed 60x

    Example: spymaster replay day.mbo.dbn.zst --from 2023-12-25T23:00 --speed max --port 0

    Example: spymaster replay day.mbo.dbn.zst --fault reset:5000 --fault gap:250:20@2
    """
    from spymaster.cli.replay import replay_files

    replay_files(
        files,
        speed,
        begin,
        fault or [],
        host=host,
        port=port,
        key=key,
        at_end=at_end,
        replay_hours=replay_hours,
        once=once,
    )


@app.command()
def ingest(
    dataset: Annotated[
        str | None,
        typer.Option(help="Only this one; else every configured underlier's venue."),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(help="In place of Databento's: HOST:PORT.", metavar="HOST:PORT"),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when the gateway closes in order.")
    ] = False,
    health: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve /healthz and /readyz here; 0: a free port."),
    ] = None,
    health_host: Annotated[str, typer.Option(help="The address for --health.")] = "127.0.0.1",
    config: Config = None,
    root: Root = None,
) -> None:
    """Bring the live feed onto the topic mbo_raw, and every connection into a DBN file.

    The key is in DATABENTO_API_KEY, or where [feed] says. Ctrl-C ends it in order; what was
    interrupted otherwise is taken up by the next start. docs/live.md tells the rest.

    Example: spymaster ingest --dataset GLBX.MDP3 --health 8080

    Example: spymaster ingest --gateway 127.0.0.1:13000 --once
    """
    from spymaster.cli.ingest import run_ingest

    run_ingest(
        Settings.load(config, root=root),
        dataset,
        gateway,
        once=once,
        health=health,
        health_host=health_host,
    )


@app.command("send-test-event")
def send_test_event(
    file: Annotated[
        str | None,
        typer.Argument(help="a file with one JSON event, - for standard input", metavar="[FILE|-]"),
    ] = None,
    price: Annotated[float | None, typer.Option(help="In currency units.")] = None,
    size: Annotated[int | None, typer.Option(help="Contracts or shares.")] = None,
    side: Annotated[str | None, typer.Option(help="B, A or N.")] = None,
    action: Annotated[str | None, typer.Option(help="A, C, M, R, T, F or N.")] = None,
    contract: Annotated[str | None, typer.Option(help="Its contract_id.")] = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Put one event as JSON onto the topic mbo_raw; without a file an example.

    Example: spymaster send-test-event --price 5000.25

    Example: echo '{"event_time": 1, ...}' | spymaster send-test-event -
    """
    from spymaster.cli.send_event import send_event

    changes = {
        "price": price,
        "size": size,
        "side": side,
        "action": action,
        "contract_id": contract,
    }
    send_event(Settings.load(config, root=root), file, changes)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="folder, made anew")] = Path("demo"),
) -> None:
    """The whole way on a simulated market: files in, vectors and a picture out.

    Example: spymaster demo
    """
    from spymaster.cli.demo import run_demo

    run_demo(folder)
