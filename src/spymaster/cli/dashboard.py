"""The verb that shows a session as it happens."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from spymaster.cli.app import Config, Root, app
from spymaster.cli.console import tell
from spymaster.errors import ContractError
from spymaster.settings import DashboardSettings, Settings


@app.command()
def dashboard(
    host: Annotated[str | None, typer.Option("--host", help="Where to listen.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="0: the system chooses.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say the address, and nothing else.")
    ] = False,
    demo: Annotated[
        Path | None,
        typer.Option("--demo", help="Play a simulated day into this folder, and show it."),
    ] = None,
    learnt: Annotated[
        Path, typer.Option("--model-root", help="With --demo: where `make demo` left its model.")
    ] = Path("demo/learning-data"),
    speed: Annotated[str, typer.Option("--speed", help="With --demo: 1x, 20x, max.")] = "20x",
    kql: Annotated[
        Path | None, typer.Option("--kql", help="Write the tiles as KQL here, and end.")
    ] = None,
    config: Config = None,
    root: Root = None,
) -> None:
    """Show prices, features, scores and anomalies in a browser, as they happen; and the past.

    Answers to this machine only; with --host elsewhere, to those who have the token in
    SPYMASTER_DASHBOARD_TOKEN, or the one it prints. Ctrl-C ends it.

    Example: spymaster dashboard --root ./spymaster-data
    """
    if kql is not None:
        from spymaster.dashboard.tiles.paper import write_kql

        write_kql(kql)
        tell(f"the tiles as KQL: {kql}")
        return
    settings = Settings.load(config, root=root)
    given: dict[str, Any] = {"host": host, "port": port}
    values = settings.dashboard.model_dump()
    values |= {name: value for name, value in given.items() if value is not None}
    settings = settings.model_copy(update={"dashboard": DashboardSettings.model_validate(values)})
    try:
        from spymaster.dashboard.access import token_of
        from spymaster.dashboard.server import listen, serve
    except ModuleNotFoundError as error:
        raise ContractError(
            f"dashboard needs {error.name}: install spymaster with its extra [dashboard]."
        ) from None
    if not quiet:
        logging.getLogger("spymaster.dashboard").setLevel(logging.WARNING)
    if demo is not None:
        try:
            from spymaster.cli.dashboard_demo import run_dashboard_demo
        except ModuleNotFoundError as error:
            raise ContractError(
                f"dashboard --demo needs {error.name}: install spymaster with its extra [ml], too."
            ) from None
        limits = settings.dashboard
        token_of(limits)
        # Before anything is made anew: a port that is taken ends it here.
        with listen(limits.host, limits.port) as listening:
            run_dashboard_demo(demo, learnt, speed, limits, partial(serve, listening=listening))
    else:
        serve(settings, tell)
