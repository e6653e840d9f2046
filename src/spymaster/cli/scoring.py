"""The scoring loop from the command line."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from typing import Any

from spymaster.bus import open_bus
from spymaster.cli.console import errors, tell
from spymaster.engines.stream.anew import begin_anew
from spymaster.engines.stream.turns import short_turns
from spymaster.feed.ingest.status import Health
from spymaster.scoring.line import LineName
from spymaster.scoring.lines import Running, lines_of
from spymaster.scoring.retire import retire
from spymaster.settings import Settings


def run_score(
    settings: Settings,
    model: str | None,
    role: str | None,
    url: str | None,
    *,
    health: int | None,
    fresh: bool,
    **how: Any,
) -> None:
    """Run until a signal, or until nothing comes; say what was done."""
    started = time.perf_counter()
    short_turns()
    with ExitStack() as stack:
        running = stack.enter_context(
            Running(settings, lines_of(settings, model, role, url), **how)
        )

        if fresh:
            begin_anew(running.loops)

        def ask(*_: object) -> None:
            errors.print("draining: what was scored is committed, then it ends")
            running.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, ask))
        if health is not None:
            probe = stack.enter_context(Health("127.0.0.1", health, running.told))
            tell(f"health: http://127.0.0.1:{probe.port}/healthz and /readyz")
        for loop in running.loops:
            tell(f"score: {loop.line.model_id} {loop.line.role} by {loop.line.endpoint.url}")
        tell("Ctrl-C drains and ends")
        running.start()
        running.join()
    tell_scores(running, time.perf_counter() - started)


def run_retire(settings: Settings, line: str) -> None:
    """Retire a line; say what that means."""
    with open_bus(settings) as bus:
        done = retire(settings, bus, LineName.parse(line), time.time_ns)
    tell(
        f"score: {done.line.model_id} {done.line.role} is retired: features_gold is not kept for "
        f"it any more ({done.behind:,} messages that it had not worked on). Its scores stay."
    )
    if done.named:
        tell(
            f"[scoring.endpoint.{done.line}] is still in the settings: the next spymaster score "
            "begins it again."
        )


def tell_scores(running: Running, seconds: float) -> None:
    """A line for each loop."""
    for loop in running.loops:
        c = loop.counters
        tell(
            f"score: {loop.line.model_id} {loop.line.role}: {c.scored:,} scored, {c.given_up:,} "
            f"given up, {c.repeated:,} came again, {c.outcomes:,} outcomes, {seconds:.1f} s"
        )
