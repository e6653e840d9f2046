"""Tells every client what changed: clients that look at the same are answered once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from spymaster.dashboard.board import Board
from spymaster.dashboard.history import ALERTS
from spymaster.dashboard.live import LiveSource
from spymaster.dashboard.pulse import pulse
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
#: Tables that no topic brings: they are looked at again every so many seconds.
FROM_LAKE, _FROM_LAKE_S = ("bronze.gaps", "gold.parity"), 10.0


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
        self._statuses: Sequence[Mapping[str, Any]] | None = None
        self._alerts = -1
        self._tasks: list[asyncio.Task[None]] = []

    # Clients

    async def join(self, client: Client, state: State) -> None:
        """A client looks at something, or at something else."""
        self.leave(client)
        room = self._rooms.setdefault(state, _Room(state))
        room.clients.add(client)
        told = await self._work(self.board.full, state)
        if client in room.clients:
            room = self._settled(client, room, told)
            client.tell("full", told)
            client.tell("pulse", self._pulse(room.state))

    def _settled(self, client: Client, room: _Room, told: Mapping[str, Any]) -> _Room:
        """Its room once the board chose the market: it stays, whichever begins to trade then."""
        if room.state.underlier or told["meta"] is None:
            return room
        state = replace(room.state, underlier=told["meta"]["underlier"])
        settled = self._rooms.setdefault(state, _Room(state))
        settled.mark(room.dirty)
        settled.clients.add(client)
        room.clients.discard(client)
        if not room.clients:
            self._rooms.pop(room.state, None)
        return settled

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
            room.mark(dirty)
            return
        for client in ready:
            client.tell("delta", told)
        if slow:
            room.mark(dirty)

    async def _watch(self) -> None:
        again = 0.0
        while True:
            try:
                self._statuses = await asyncio.to_thread(read_statuses, self._settings.root)
                for room in list(self._rooms.values()):
                    said = self._pulse(room.state)
                    for client in room.clients:
                        if client.waiting <= _BEHIND:
                            client.tell("pulse", said)
            except Exception:
                log.exception("how the feed is cannot be told")
            await self._look_for_alerts()
            if time.monotonic() >= again:
                again = time.monotonic() + _FROM_LAKE_S
                for room in self._rooms.values():
                    room.mark(dict.fromkeys(FROM_LAKE, 0))
                self._turn.set()
            await asyncio.sleep(self._until_late())

    async def _look_for_alerts(self) -> None:
        """They are published in the lake alone: whoever watches commits every few seconds."""
        try:
            version = await asyncio.to_thread(self.board.history.version, ALERTS)
        except Exception:
            log.exception("alerts cannot be looked for")
            return
        if version != self._alerts:
            self._alerts = version
            for room in self._rooms.values():
                room.mark({ALERTS: 0})
            self._turn.set()

    def _until_late(self) -> float:
        """Seconds to the next look: at once when a bar is late by then."""
        limits, now = self._settings.dashboard, time.time_ns()
        heard = [self.live.heard(room.state.underlier) for room in self._rooms.values()]
        due = [max(limits.stale_s, late) - (now - at) / 1e9 for at, late in heard if at]
        return min([limits.look_s, *(s + 0.01 for s in due if s > 0)])

    def _pulse(self, state: State) -> dict[str, Any]:
        """How the feed of a state's underlier is; {} before the first look."""
        if self._statuses is None:
            return {}
        bus = (self.live.state, self.live.reason)
        stale_s, heard = self._settings.dashboard.stale_s, self.live.heard(state.underlier)
        now = time.time_ns()
        return pulse(self._statuses, bus, *heard, stale_s, now, self.live.records).told()

    async def _work(self, call: Callable[..., T], *given: Any) -> T:
        return await self._loop.run_in_executor(self._worker, call, *given)
