"""The ingestor's process: every venue's feed on a thread of its own, until a signal."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from spymaster.engines.lease import Lease, others_at_work
from spymaster.errors import ContractError, SourceError
from spymaster.feed.ingest.key import api_key
from spymaster.feed.ingest.status import Health, Status, Told
from spymaster.feed.ingest.supervisor import Supervisor
from spymaster.feed.ingest.warm import warm_up
from spymaster.lake.sweep import SHARED, sweep
from spymaster.lake.tables import Lake
from spymaster.settings import Settings, SymbolSettings

_STEP_S = 0.1
_STATUS_S = 1.0
_CONNECTING_S = 2.0


def feeds(settings: Settings, dataset: str | None = None) -> dict[str, SymbolSettings]:
    """What to subscribe, per dataset: of one, or of every configured underlier's.

    Raises ContractError for a dataset that is no underlier's, one without symbols, and one with
    several underliers, whose records would lie in one capture.
    """
    found: dict[str, str] = {}
    for name, u in settings.underlier.items():
        if dataset not in (None, u.venue):
            continue
        if u.venue in found:
            raise ContractError(
                f"feed: {u.venue} is the venue of {found[u.venue]} and {name}; allowed is one "
                "underlier per venue and root, since a capture belongs to one. Give one of them a "
                "configuration and a root of its own."
            )
        found[u.venue] = name
    if not found:
        venues = sorted({u.venue for u in settings.underlier.values()})
        raise ContractError(
            f"--dataset {dataset}: no configured underlier's venue; allowed: {', '.join(venues)}. "
            "Add [underlier.NAME] to spymaster.toml."
        )
    empty = SymbolSettings()
    for venue, name in found.items():
        if settings.feed.symbols.get(name, empty) == empty:
            raise ContractError(
                f"feed: nothing says what to subscribe for {name}; allowed: parent, raw_symbol, "
                f"instrument_id. Add to spymaster.toml: [feed.symbols.{name}] and "
                f'raw_symbol = ["..."]; its venue is {venue}.'
            )
    return {venue: settings.feed.symbols[name] for venue, name in found.items()}


def ingest(
    settings: Settings,
    dataset: str | None = None,
    *,
    once: bool = False,
    health: int | None = None,
    health_host: str = "127.0.0.1",
    tell: Callable[[str], None] = lambda line: None,
    now: Callable[[], int] = time.time_ns,
) -> list[Told]:
    """Run until SIGTERM, Ctrl-C or, with `once`, until every gateway has closed in order.

    Returns what each feed came to. Raises what stopped one of them: SourceError (the key, the
    feed), LakeError (the disk), BusError (the topic). `now`: ns UTC.
    """
    wanted = feeds(settings, dataset)
    owner = uuid.uuid4().hex
    lake = Lake(settings.root, tag=owner)
    if lake.place.local is None:
        raise SourceError(
            f"{settings.root}: captures are written to a local disk; allowed is a folder as root. "
            "Run the ingestor with a folder, and copy raw-dbn from there."
        )
    lake.check_writable()
    key = api_key(settings.feed)
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(_signals(stop))
        for venue in wanted:
            pipeline = f"ingest/{venue}"
            lease = Lease(lake.place, owner, now, pipeline)
            stack.enter_context(lease)
            if lease.unfinished:
                alone = not others_at_work(lake.place, pipeline)
                sweep(lake, lease.unfinished, SHARED, loose=alone)
                lease.swept()
        warm_up(settings, now())
        supervisors = [
            Supervisor(venue, symbols, settings, lake, key, once=once, stop=stop, now=now)
            for venue, symbols in wanted.items()
        ]
        told = [s.told for s in supervisors]
        status = Status(lake.place.local, os.getpid(), told)
        if health is not None:
            page = Health(health_host, health, lambda: status.rows(now()))
            stack.enter_context(page)
            tell(f"health on http://{health_host}:{page.port}/healthz and /readyz")
        _watch(supervisors, stop, lambda: status.write(now()))
    for supervisor in supervisors:
        if supervisor.error is not None:
            raise supervisor.error
    return told


def _watch(supervisors: list[Supervisor], stop: threading.Event, write: Callable[[], None]) -> None:
    """Until all have ended; when one fails the others drain."""
    threads = [
        threading.Thread(target=s.run, name=f"ingest-{s.told.dataset}", daemon=True)
        for s in supervisors
    ]
    for thread in threads:
        thread.start()
    written = stopped = float("-inf")
    while any(thread.is_alive() for thread in threads):
        at = time.monotonic()
        if at - written >= _STATUS_S:
            write()
            written = at
        if any(s.error is not None for s in supervisors):
            stop.set()
        if stop.is_set():
            stopped = at if stopped < 0 else stopped
            # A client that is still connecting has brought nothing that could be lost.
            busy = [
                s
                for s, thread in zip(supervisors, threads, strict=True)
                if thread.is_alive() and s.told.state != "connecting"
            ]
            if not busy and at - stopped > _CONNECTING_S:
                break
        threads[0].join(_STEP_S)
        if not threads[0].is_alive():
            time.sleep(_STEP_S)
    write()


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C end it in order. Elsewhere than in the main thread nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {s: signal.signal(s, end) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
