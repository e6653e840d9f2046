"""The verb that watches the topics and gives alerts."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from typing import Annotated

import typer

from spymaster.cli.app import Config, Root, app
from spymaster.cli.console import errors, tell, tell_table
from spymaster.settings import Settings


@app.command()
def alerts(
    once: Annotated[
        bool, typer.Option("--once", help="End when all that the topics have was seen.")
    ] = False,
    quiet: Annotated[
        float | None,
        typer.Option("--quiet", min=0.1, help="End when nothing came for so many seconds."),
    ] = None,
    commit: Annotated[
        float, typer.Option("--commit", min=0.1, help="Seconds between commits to the lake.")
    ] = 10.0,
    health: Annotated[
        int | None, typer.Option("--health", min=0, max=65535, help="Port for /healthz, /readyz.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what was seen and begin anew from here on.")
    ] = False,
    retire: Annotated[
        bool, typer.Option("--retire", help="Watch nothing; let go of the topics for good.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Show the rules and webhooks, and end.")
    ] = False,
    config: Config = None,
    root: Root = None,
) -> None:
    """Watch features_gold and the scores by the rules in [alerts]; alerts to log, webhooks, lake.

    Goes on where it was, whatever ended it. Ctrl-C commits what was seen. docs/alerts.md tells
    the rules.

    Example: spymaster alerts --list

    Example: spymaster alerts --root ./spymaster-data
    """
    settings = Settings.load(config, root=root)
    if list_:
        _show(settings)
    elif retire:
        _retire(settings)
    else:
        _run(settings, once=once, fresh=fresh, quiet_s=quiet, commit_s=commit, health=health)


def _show(settings: Settings) -> None:
    from rich.table import Table

    from spymaster.alerts.rule import Rule
    from spymaster.contracts.alerts import FIGURES

    listing = Table(box=None, header_style="bold")
    for heading in ("rule", "watches", "condition", "for", "then silent", "severity", "to", "only"):
        listing.add_column(heading)
    for name, s in settings.alerts.rule.items():
        where = [s.underlier, s.contract, *s.instrument_types]
        held = f"{s.bars} in a row" if s.bars > 1 else ""
        held += f" {s.holds_s:g} s" if s.holds_s else ""
        listing.add_row(
            name if s.enabled else f"{name} (off)",
            s.what,
            Rule(name, s).condition,
            held.strip() or "once",
            f"{s.cool_down_s:g} s",
            s.severity,
            ", ".join(s.to),
            " ".join(w for w in where if w),
        )
    tell_table(listing)
    for name, hook in settings.alerts.webhook.items():
        place = hook.url or f"the URL in {hook.url_variable}"
        token = f", token in {hook.secret_variable}" if hook.secret_variable else ""
        tell(f"webhook {name}: {place}{token}, each alert for {hook.give_up_s:g} s")
    for name, s in settings.alerts.rule.items():
        if s.enabled:
            tell(f"{name} watches {s.what}: {FIGURES[s.what]}")


def _retire(settings: Settings) -> None:
    from spymaster.alerts.retire import retire
    from spymaster.bus import open_bus

    with open_bus(settings) as bus:
        topics = retire(settings, bus, time.time_ns)
    tell(f"alerts: {', '.join(topics) or 'no topic'} kept for them no longer. Their rows stay.")


def _run(
    settings: Settings,
    *,
    once: bool,
    fresh: bool,
    quiet_s: float | None,
    commit_s: float,
    health: int | None,
) -> None:
    from spymaster.alerts.loop import Alerting
    from spymaster.feed.ingest.status import Health

    with ExitStack() as stack:
        running = stack.enter_context(
            Alerting(settings, fresh=fresh, quiet_s=quiet_s, commit_s=commit_s, tell=tell)
        )

        def ask(*_: object) -> None:
            errors.print("draining: what was seen is committed, then it ends")
            running.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, ask))
        if health is not None:
            probe = stack.enter_context(Health("127.0.0.1", health, running.told))
            tell(f"health: http://127.0.0.1:{probe.port}/healthz and /readyz")
        for loop in running.loops:
            tell(f"alerts: {loop.topic}: {', '.join(rule.name for rule in loop.rules)}")
        running.start()
        if once:
            running.drain()
        running.join()
    for loop in running.loops:
        c = loop.counters
        tell(f"alerts: {loop.topic}: {c.alerts:,} alerts of {c.readings:,} readings")
