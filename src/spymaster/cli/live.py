"""The stream engine from the command line: what it says while it runs, and how it is stopped."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from threading import Event
from types import FrameType

from spymaster.bus import open_bus
from spymaster.cli.console import errors, tell
from spymaster.engines.stream.live import LiveEngine
from spymaster.engines.stream.report import StatusFile
from spymaster.engines.warm import warm_up
from spymaster.feed.ingest.status import Health
from spymaster.settings import Settings


def run_live(
    settings: Settings,
    *,
    quiet_s: float | None,
    commit_s: float,
    intent_records: int,
    health: int | None,
    fresh: bool,
) -> None:
    """Run until a signal, or until nothing comes; say what was done."""
    stop = Event()

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
            if fresh:
                engine.begin_anew()
            status = stack.enter_context(
                StatusFile(settings.root, "live", engine.status, lambda: engine.holds_lease)
            )
            if health is not None:
                probe = stack.enter_context(Health("127.0.0.1", health, lambda: [status.told()]))
                tell(f"health: http://127.0.0.1:{probe.port}/healthz and /readyz")
            tell(f"live: {settings.bus.kind} bus, {settings.root}; Ctrl-C drains and ends")
            counters = engine.run(stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    seconds = time.perf_counter() - started
    tell(
        f"live: {counters.records:,} records in {counters.intents:,} intents, {seconds:.1f} s; "
        f"{engine.vectors:,} vectors published"
    )
    for name in counters.sessions_ended:
        tell(f"      {name} ended; its certificate: spymaster parity --session {name.split()[1]}")
