"""The verb that shows a session as it happens."""

from __future__ import annotations

import logging
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
    config: Config = None,
    root: Root = None,
) -> None:
    """Show prices, features, scores and anomalies in a browser, as they happen; and the past.

    Answers to this machine only; with --host elsewhere, to those who have the token in
    SPYMASTER_DASHBOARD_TOKEN, or the one it prints. Ctrl-C ends it.

    Example: spymaster dashboard --root ./spymaster-data
    """
    settings = Settings.load(config, root=root)
    given: dict[str, Any] = {"host": host, "port": port}
    values = settings.dashboard.model_dump()
    values |= {name: value for name, value in given.items() if value is not None}
    settings = settings.model_copy(update={"dashboard": DashboardSettings.model_validate(values)})
    try:
        from spymaster.dashboard.server import serve
    except ModuleNotFoundError as error:
        raise ContractError(
            f"dashboard needs {error.name}: install spymaster with its extra [dashboard]."
        ) from None
    if not quiet:
        logging.getLogger("spymaster.dashboard").setLevel(logging.WARNING)
    serve(settings, tell)
