"""The replay gateway from the command line: what it says when it listens, and while it plays."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from spymaster.cli.console import errors, tell
from spymaster.errors import ContractError
from spymaster.feed.gateway import KINDS, Gateway, parse_fault


def show_faults() -> None:
    """What may go wrong, one line each."""
    for name, kind in KINDS.items():
        tell(f"{':'.join([name, *kind.takes]):<14} {kind.meaning}")


def replay_files(
    files: Sequence[Path], speed: str, begin: str | None, faults: Sequence[str], **how: Any
) -> None:
    """Serve files until a signal, or with `once` until the first connection has closed."""
    gateway = Gateway(
        files,
        speed=speed_of(speed),
        begin=None if begin is None else moment(begin),
        faults=[parse_fault(text) for text in faults],
        tell=lambda line: errors.print(line, markup=False),
        **how,
    )
    ended = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        ended = True

    before = {s: signal.signal(s, end) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with gateway:
            tell(listening(gateway, bool(how.get("key"))))
            watch(gateway, lambda: ended)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    done = gateway.progress()
    tell(f"replay    {done.connections} connections, {done.records:,} records sent")


def watch(gateway: Gateway, ended: Any) -> None:
    """Show how far it is, until it ends."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("waiting for a client")
        while not ended() and not gateway.wait(0.25):
            now = gateway.progress()
            if now.connections:
                said = f"{text_of(now.now)}  {now.records:,} records  {now.open} connected"
                bar.update(task, description=said)


def listening(gateway: Gateway, has_key: bool) -> str:
    """One line: where, which feeds, and how to connect."""
    feeds = "; ".join(
        f"{name}: {len(feed.symbols):,} symbols, {text_of(feed.begin)} to {text_of(feed.end)}"
        for name, feed in gateway.feeds.items()
    )
    key = 'os.environ["SPYMASTER_GATEWAY_KEY"]' if has_key else '"db-replay"'
    connect = f'databento.Live(key={key}, gateway="{gateway.host}", port={gateway.port})'
    return f"listening on {gateway.host}:{gateway.port}   {feeds}   connect: {connect}"


def speed_of(text: str) -> float | None:
    """Times the market's own speed; None for as fast as clients read.

    >>> speed_of("60x"), speed_of("0.5"), speed_of("max")
    (60.0, 0.5, None)
    """
    if text == "max":
        return None
    try:
        return float(text.removesuffix("x"))
    except ValueError:
        raise ContractError(
            f"--speed {text!r}: allowed is a factor above 0, such as 1x or 60x, or max."
        ) from None


def moment(text: str) -> int:
    """A time as ns UTC; without an offset it is UTC.

    >>> moment("2023-12-25T23:00"), moment("2023-12-25T18:00-05:00")
    (1703545200000000000, 1703545200000000000)
    """
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ContractError(
            f"--from {text!r}: not a time; allowed: 2023-12-25T23:00 (UTC), or with an offset."
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=dt.UTC)
    since = found - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since // dt.timedelta(microseconds=1)) * 1000


def text_of(ns: int) -> str:
    """A time of the feed, to the second."""
    return f"{dt.datetime.fromtimestamp(ns // 10**9, dt.UTC):%Y-%m-%d %H:%M:%S}"
