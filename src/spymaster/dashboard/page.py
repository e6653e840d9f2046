"""The page: one element, the state in its address, its events answered by the hub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from nicegui import app, background_tasks, ui
from nicegui.events import GenericEventArguments

from spymaster.dashboard.board import FEATURE, specs
from spymaster.dashboard.hub import Hub
from spymaster.dashboard.letters import PATH, Letters
from spymaster.dashboard.state import BARS, State
from spymaster.dashboard.terminal import Terminal, head
from spymaster.dashboard.tiles import TILES
from spymaster.settings import Settings

log = logging.getLogger(__name__)


def declare(settings: Settings, hub: Callable[[], Hub]) -> None:
    """Declare the page at `/`."""
    html, letters = head(), Letters()

    @app.get(f"{PATH}/{{ticket}}")
    async def told(ticket: str) -> Response:
        fresh = {"cache-control": "no-store"}
        return Response(await letters.fetch(ticket), headers=fresh, media_type="application/json")

    @ui.page("/", title="Spymaster", dark=None)
    def page(request: Request) -> None:
        terminal = Terminal(
            {
                "tiles": specs(),
                "features": dict(TILES[FEATURE].parameters[0].choices),
                "bars": BARS,
                "root": settings.root,
                "stale": settings.dashboard.stale_s,
            },
            letters,
        )
        ui.add_head_html(terminal.asks() + html)
        terminal.client.on_delete(lambda: letters.forget(terminal.client.id))
        _Watching(terminal, hub(), State.read(dict(request.query_params)))


class _Watching:
    """One client: what it looks at, and what it asks."""

    def __init__(self, terminal: Terminal, hub: Hub, state: State) -> None:
        self._terminal, self._hub, self._state = terminal, hub, state
        terminal.on("join", self._join)
        terminal.on("zoom", self._zoom)
        terminal.on("pause", lambda: hub.pause(terminal))
        terminal.client.on_delete(lambda: hub.leave(terminal))
        # What it will show is computed while the browser still loads.
        background_tasks.create(self._look(), name="dashboard join")

    async def _look(self) -> None:
        try:
            await self._hub.join(self._terminal, self._state.whole())
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("a state cannot be shown")
            self._terminal.tell("failed", {"reason": f"{error or type(error).__name__}"})

    async def _join(self, event: GenericEventArguments) -> None:
        self._state = State.read(event.args)
        await self._look()

    async def _zoom(self, event: GenericEventArguments) -> None:
        asked: Any = State.read(event.args)
        if asked.end > asked.start > 0:
            await self._hub.zoom(self._terminal, asked.whole(), asked.start, asked.end)
