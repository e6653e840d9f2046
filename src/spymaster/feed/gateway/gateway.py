"""A server that speaks Databento's live protocol and plays files: the official client connects."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from spymaster.errors import ContractError, SourceError
from spymaster.feed.gateway.clock import Clock, FreeClock, PacedClock
from spymaster.feed.gateway.faults import Fault
from spymaster.feed.gateway.feed import Feed, begin_of, look_at, open_feed
from spymaster.feed.gateway.session import Session
from spymaster.feed.gateway.tape import TapeFile
from spymaster.feed.gateway.wire import Stopping, Wire

log = logging.getLogger(__name__)
AT_END = ("heartbeat", "close")
_NS = 10**9


@dataclass(frozen=True)
class Progress:
    """How far the gateway is. now: of the session furthest on, ns UTC; 0 before the first."""

    connections: int
    open: int
    records: int
    now: int


class Gateway:
    """Plays DBN files of MBO and definition records to Databento's own live clients.

    speed: N plays N times as fast as the market was, None as fast as clients read. begin:
    where the feed's clock starts, ns UTC (None: at the first record). key: the only one that is
    let in; None: any. at_end: `heartbeat` or `close`. once: ends when its first connection has.
    slow_s: how far a client may fall behind, wall seconds. replay_hours: how far back `start` may
    reach; None: to the files' beginning. tell: takes a line for every connection, refusal, fault.

    A context manager: listens on `host`:`port` (0: the system chooses; `port` tells) and serves
    every connection on a thread of its own until `stop`. Raises SourceError for files that
    cannot be replayed or an address that is taken, ContractError for other bad arguments.
    """

    def __init__(
        self,
        files: Iterable[str | Path],
        *,
        speed: float | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        key: str | None = None,
        begin: int | None = None,
        at_end: str = "heartbeat",
        faults: Sequence[Fault] = (),
        once: bool = False,
        slow_s: float = 5.0,
        replay_hours: float | None = None,
        tell: Callable[[str], None] = log.info,
        wall: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        _check(speed, key, at_end, slow_s)
        self.host, self.port = host, port
        self._key, self._faults, self._once, self._tell = key, tuple(faults), once, tell
        self._ends, self._slow_ns = at_end == "close", int(slow_s * _NS)
        self._replay_ns = None if replay_hours is None else int(replay_hours * 3600 * _NS)
        self.feeds = _feeds(look_at(files), speed, begin, wall)
        self._sessions: list[Session] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Listen, and serve on threads of its own. SourceError when the address is taken."""
        try:
            self._listener = socket.create_server((self.host, self.port), backlog=64)
        except (OSError, OverflowError) as error:
            raise SourceError(
                f"--port {self.port}: cannot listen on {self.host} ({error}); allowed is a free "
                "port, or 0 for one that the system chooses."
            ) from error
        self.port = self._listener.getsockname()[1]
        self._woken, self._wake = os.pipe()
        self._accepting = threading.Thread(target=self._accept, name="replay-accept", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """End every session in order, and listen no more."""
        if self._listener is None:
            return
        self._ended.set()
        os.write(self._wake, b"x")
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self._listener = None
        for thread in self._threads:
            thread.join()
        os.close(self._wake)
        os.close(self._woken)

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Until it has ended (`once`, or `stop` from elsewhere); False if time ran out first."""
        return self._ended.wait(timeout)

    def progress(self) -> Progress:
        with self._lock:
            sessions = list(self._sessions)
            running = sum(thread.is_alive() for thread in self._threads)
        told = [session.told for session in sessions]
        return Progress(
            len(told), running, sum(t.records for t in told), max((t.now for t in told), default=0)
        )

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                sock, address = self._listener.accept()  # type: ignore[union-attr]
            except OSError:
                return
            with self._lock:
                number = len(self._sessions) + 1
                session = Session(
                    Wire(sock, self._woken),
                    number,
                    self.feeds,
                    self._key,
                    [f for f in self._faults if f.connection == number],
                    ends=self._ends,
                    slow_ns=self._slow_ns,
                    replay_ns=self._replay_ns,
                    tell=partial(self._told, number),
                )
                thread = threading.Thread(
                    target=self._serve, args=(session, number), name=f"replay-{number}", daemon=True
                )
                self._sessions.append(session)
                self._threads.append(thread)
                thread.start()
            self._told(number, f"from {address[0]}:{address[1]}")

    def _told(self, number: int, what: str) -> None:
        self._tell(f"connection {number}: {what}")

    def _serve(self, session: Session, number: int) -> None:
        try:
            how = session.run()
        except Stopping:
            session.finish()
            how = "the gateway stopped"
        except Exception as error:
            log.exception("connection %d", number)
            session.finish()
            how = f"failed: {error}"
        self._told(number, f"{how}, {session.told.records:,} records sent")
        if self._once and number == 1:
            self._ended.set()


def _check(speed: float | None, key: str | None, at_end: str, slow_s: float) -> None:
    if speed is not None and not 0 < speed < float("inf"):
        raise ContractError(
            f"--speed {speed}: allowed is a factor above 0, such as 1x or 60x, or max."
        )
    if key is not None and len(key) < 5:
        raise ContractError(
            "--key: shorter than 5 characters; allowed is any longer text, such as db-replay."
        )
    if at_end not in AT_END:
        raise ContractError(f"--at-end {at_end!r}: allowed are {', '.join(AT_END)}.")
    if slow_s <= 0:
        raise ContractError(f"slow_s {slow_s}: allowed are seconds above 0.")


def _feeds(
    files: dict[str, list[TapeFile]],
    speed: float | None,
    begin: int | None,
    wall: Callable[[], int],
) -> dict[str, Feed]:
    every = [file for some in files.values() for file in some]
    first, last = begin_of(every), max(f.end for f in every)
    if begin is not None and begin > last:
        raise ContractError(f"--from {begin}: after the files' end, {last} (ns UTC).")
    skip = begin is not None
    start = first if begin is None else begin
    paced = None if speed is None else PacedClock(start, speed, skip, wall)
    feeds = {}
    for dataset, some in sorted(files.items()):
        clock: Clock = paced or FreeClock(start if skip else begin_of(some), skip)
        feeds[dataset] = open_feed(dataset, some, clock)
    return feeds
