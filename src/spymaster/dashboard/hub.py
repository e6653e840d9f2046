"""Tells every client what changed: clients that look at the same are answered once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from spymaster.dashboard.board import Board
from spymaster.dashboard.live import LiveSource
from spymaster.dashboard.pulse import Cadence, pulse
from spymaster.dashboard.state import State
from spymaster.engines.stream.report import read_statuses
from spymaster.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")


class Client(Protocol):
    """Somebody who looks."""

    def tell(self, what: str, told: Mapping[str, Any]) -> None:
        """Give the page a message. Called on the event loop."""

    @property
    def waiting(self) -> int:
        """Messages that were given and are not yet sent."""


@dataclass
class _Room:
    """Clients with one state. `dirty`: tables that changed since they were told, from when on."""

    state: State
    clients: set[Client] = field(default_factory=set)
    dirty: dict[str, int] = field(default_factory=dict)

    def mark(self, since: Mapping[str, int]) -> None:
        for table, at in since.items():
            self.dirty[table] = min(at, self.dirty.get(table, at))


#: A client that has so many messages waiting is given no more until it has read them.
_BEHIND = 8


class Hub:
    """Of one event loop. `changed` may be called by any thread."""

    def __init__(self, settings: Settings, board: Callable[[LiveSource], Board]) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.live = LiveSource(settings, self.changed)
        self.board = board(self.live)
        self._rooms: dict[State, _Room] = {}
        self._paused: set[Client] = set()
        self._pending: dict[str, int] = {}
        self._turn = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, "dashboard")
        self._cadence = Cadence()
        self._said: dict[str, Any] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # Clients

    async def join(self, client: Client, state: State) -> None:
        """A client looks at something, or at something else."""
        self.leave(client)
        room = self._rooms.setdefault(state, _Room(state))
        room.clients.add(client)
        told = await self._work(self.board.full, state)
        if client in room.clients:
            client.tell("full", told)
            client.tell("pulse", self._said)

    def leave(self, client: Client) -> None:
        """A client is gone, or about to look at something else."""
        self._paused.discard(client)
        for state, room in list(self._rooms.items()):
            room.clients.discard(client)
            if not room.clients:
                del self._rooms[state]

    def pause(self, client: Client) -> None:
        """A client wants to hear nothing until it joins again."""
        self._paused.add(client)

    async def zoom(self, client: Client, state: State, start: int, end: int) -> None:
        """The tables of a stretch of the session, for one client; ns UTC."""
        told = await self._work(self._zoomed, state, start, end)
        if told:
            client.tell("delta", {"meta": None, "parts": told, "zoom": [start, end]})

    def _zoomed(self, state: State, start: int, end: int) -> dict[str, Any]:
        seen = self.board.seen(state)
        return self.board.zoomed(seen, start, end) if seen else {}

    # What goes on

    def changed(self, since: Mapping[str, int]) -> None:
        """New rows of tables, from times on; on whatever thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._heard, dict(since))

    def _heard(self, since: Mapping[str, int]) -> None:
        if since:
            self._cadence.heard(time.monotonic())
        for table, at in since.items():
            self._pending[table] = min(at, self._pending.get(table, at))
        self._turn.set()

    async def start(self) -> None:
        """Follow the topics, tell the clients."""
        self._worker.submit(self.board.warm)
        self.live.__enter__()
        self._tasks = [asyncio.create_task(self._push()), asyncio.create_task(self._watch())]

    async def stop(self) -> None:
        """Let go of the topics."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(self.live.__exit__, None, None, None)
        self._worker.shutdown(wait=True)

    async def _push(self) -> None:
        while True:
            await self._turn.wait()
            self._turn.clear()
            pending, self._pending = self._pending, {}
            for room in list(self._rooms.values()):
                if room.state.live:
                    room.mark(pending)
                    await self._tell(room)
            await asyncio.sleep(self._settings.dashboard.push_s)

    async def _tell(self, room: _Room) -> None:
        """Whoever is slow makes the others of its room wait for no more than a turn."""
        ready = [c for c in room.clients if c not in self._paused]
        if not room.dirty or not ready:
            return
        if any(c.waiting > _BEHIND for c in ready):
            self._loop.call_later(self._settings.dashboard.look_s, self._turn.set)
            ready = [c for c in ready if c.waiting <= _BEHIND]
            slow = [c for c in room.clients if c not in ready]
        else:
            slow = []
        dirty, room.dirty = room.dirty, {}
        try:
            told = await self._work(self.board.delta, room.state, dirty)
        except Exception:
            log.exception("what changed cannot be told")
            return
        for client in ready:
            client.tell("delta", told)
        if slow:
            room.mark(dirty)

    async def _watch(self) -> None:
        while True:
            try:
                self._said = await asyncio.to_thread(self._pulse)
                for room in list(self._rooms.values()):
                    for client in room.clients:
                        if client.waiting <= _BEHIND:
                            client.tell("pulse", self._said)
            except Exception:
                log.exception("how the feed is cannot be told")
            await asyncio.sleep(self._settings.dashboard.look_s)

    def _pulse(self) -> dict[str, Any]:
        live = self.live
        return pulse(
            read_statuses(self._settings.root),
            (live.state, live.reason),
            live.arrived,
            self._cadence.seconds,
            self._settings.dashboard.stale_s,
            time.time_ns(),
        ).told()

    async def _work(self, call: Callable[..., T], *given: Any) -> T:
        return await self._loop.run_in_executor(self._worker, call, *given)
