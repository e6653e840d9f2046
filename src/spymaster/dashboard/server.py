"""The dashboard as a process: it listens, follows the topics, and ends when it is asked to."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from nicegui import ui
from starlette.types import ASGIApp

from spymaster.dashboard import page
from spymaster.dashboard.access import Gate, is_loopback, token_of
from spymaster.dashboard.assets import Assets
from spymaster.dashboard.board import Board
from spymaster.dashboard.history import LakeSource
from spymaster.dashboard.hub import Hub
from spymaster.errors import SourceError
from spymaster.lake import Lake
from spymaster.settings import Settings

logger = logging.getLogger(__name__)


def serve(
    settings: Settings,
    tell: Callable[[str], None] = logger.info,
    listening: socket.socket | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; `tell` hears the address. `listening`: as `listen` made it.

    SpymasterError when it cannot begin: no such address, a token that is easily guessed.
    """
    limits = settings.dashboard
    token, made = token_of(limits)
    with listening or listen(limits.host, limits.port) as listening:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        query = f"?token={token}" if made else ""
        tell(f"dashboard: http://{shown}:{port}/{query}")
        if token is not None and not made:
            tell(f"dashboard: it asks for the token in {limits.token_variable}")
        asyncio.run(_serve(settings, listening, token))


async def _serve(settings: Settings, listening: socket.socket, token: str | None) -> None:
    hub = Hub(
        settings, lambda live: Board(settings, live, LakeSource(Lake(settings.root), settings))
    )

    @asynccontextmanager
    async def at_work(_: FastAPI) -> AsyncIterator[None]:
        await hub.start()
        try:
            yield
        finally:
            await hub.stop()

    app = FastAPI(lifespan=at_work, openapi_url=None, docs_url=None, redoc_url=None)
    page.declare(settings, lambda: hub)
    near = is_loopback(settings.dashboard.host)
    ui.run_with(
        app,
        title="Spymaster",
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=10.0,
        message_history_length=64,
        gzip_middleware_factory=None if near else _packed,
    )
    await _Server(Gate(Assets(app), token), near).serve([listening])


def _packed(app: ASGIApp) -> GZipMiddleware:
    """Small over a network; on this machine it would only cost time."""
    return GZipMiddleware(app, minimum_size=1_000, compresslevel=5)


class _Server(uvicorn.Server):
    """uvicorn, which leaves the exit code to us."""

    def __init__(self, app: Gate, near: bool) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                ws_per_message_deflate=not near,
                timeout_graceful_shutdown=1,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn's own would raise the signal again at the end."""
        self.force_exit = self.should_exit
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. SourceError where there can be none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        near = (
            "" if is_loopback(host) else ", such as 127.0.0.1, or 0.0.0.0 for all of this machine"
        )
        raise SourceError(
            f"dashboard: cannot listen on {host}:{port} ({error.strerror or error}); allowed is an "
            f"address of this machine{near}, and a free port, or 0 for one that the system "
            "chooses. Use --host and --port."
        ) from None
