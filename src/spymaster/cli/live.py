"""The stream engine from the command line: what it says while it runs, and how it is stopped."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from threading import Event
from types import FrameType

from spymaster.bus import open_bus
from spymaster.cli.console import errors, tell
from spymaster.cli.scoring import tell_scores
from spymaster.engines.stream.anew import begin_anew
from spymaster.engines.stream.live import LiveEngine
from spymaster.engines.stream.report import StatusFile
from spymaster.engines.stream.turns import short_turns
from spymaster.engines.warm import warm_up
from spymaster.feed.ingest.status import Health
from spymaster.scoring.lines import Running, lines_of
from spymaster.settings import Settings


def run_live(
    settings: Settings,
    *,
    quiet_s: float | None,
    commit_s: float,
    intent_records: int,
    health: int | None,
    fresh: bool,
    score: bool,
) -> None:
    """Run until a signal, or until nothing comes; say what was done."""
    stop = Event()
    short_turns()

    def ask(number: int, frame: FrameType | None) -> None:
        errors.print("draining: what was read is committed, then it ends")
        stop.set()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        errors.print("compiling where this machine has not yet (about a minute, once)")
        warm_up()
        started = time.perf_counter()
        with ExitStack() as stack:
            bus = stack.enter_context(open_bus(settings))
            engine = LiveEngine(
                settings, bus, intent_records=intent_records, commit_s=commit_s, quiet_s=quiet_s
            )
            status = stack.enter_context(
                StatusFile(settings.root, "live", engine.status, lambda: engine.holds_lease)
            )
            lines = lines_of(settings) if score else []
            scoring = stack.enter_context(Running(settings, lines, commit_s=commit_s))
            if fresh:
                begin_anew([engine, *scoring.loops])
            if health is not None:
                probe = stack.enter_context(
                    Health("127.0.0.1", health, lambda: [status.told(), *scoring.told()])
                )
                tell(f"health: http://127.0.0.1:{probe.port}/healthz and /readyz")
            tell(f"live: {settings.bus.kind} bus, {settings.root}; Ctrl-C drains and ends")
            for loop in scoring.loops:
                tell(f"score: {loop.line.model_id} {loop.line.role} by {loop.line.endpoint.url}")
            scoring.start(lambda error: errors.print(f"error: {error}", style="red", markup=False))
            counters = engine.run(stop)
            scoring.drain()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    seconds = time.perf_counter() - started
    tell(
        f"live: {counters.records:,} records in {counters.intents:,} intents, {seconds:.1f} s; "
        f"{engine.vectors:,} vectors published"
    )
    tell_scores(scoring, seconds)
    for name in counters.sessions_ended:
        tell(f"      {name} ended; its certificate: spymaster parity --session {name.split()[1]}")
