"""The service as a process: it listens, watches the registry, reloads, and drains."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType

import uvicorn

from spymaster.errors import ScoringError
from spymaster.scoring.access import serving_key
from spymaster.scoring.app import Service
from spymaster.scoring.connection import protocol
from spymaster.scoring.fleet import Fleet, Registry
from spymaster.settings import ServingSettings

logger = logging.getLogger(__name__)
_LOOK_S, _QUIET_S = 0.02, 0.5


def serve(
    model_id: str,
    registry: Registry,
    settings: Callable[[], ServingSettings],
    tell: Callable[[str], None] = logger.info,
    warn: Callable[[str], None] = logger.warning,
) -> None:
    """Serve until SIGTERM or SIGINT. `settings` is asked again at SIGHUP.

    `tell` hears of what is served, `warn` of a reload that failed.

    Raises SpymasterError when it cannot begin: no such model, no key, no such address.
    """
    asyncio.run(_serve(model_id, registry, settings, tell, warn))


async def _serve(
    model_id: str,
    registry: Registry,
    settings: Callable[[], ServingSettings],
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    now = settings()
    key = serving_key(now)
    with (
        _listen(now.host, now.port) as listening,
        ThreadPoolExecutor(1, "load") as loading,
        ThreadPoolExecutor(1, "score") as scoring,
    ):
        fleet = Fleet(model_id, registry, loading, kept=now.kept_versions, max_rows=now.max_rows)
        await fleet.refresh(now.deployments, now.traffic)
        service = Service(fleet, now, key, scoring)
        again = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again.set)
        server = _Server(service, now, tell)
        watching = asyncio.create_task(_watch(service, settings, now, again, tell, warn))
        gc.collect()
        gc.freeze()  # what was loaded is not looked through again: answers do not wait for that
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        tell(f"serving {_served(fleet)} on http://{shown}:{port}/score")
        try:
            await server.serve([listening])
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _watch(
    service: Service,
    settings: Callable[[], ServingSettings],
    now: ServingSettings,
    again: asyncio.Event,
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Follow the aliases, and at SIGHUP the settings' deployments, traffic and key."""
    said = ""
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(again.wait(), now.watch_s)
        try:
            if again.is_set():
                again.clear()
                now = settings()
                service.key = serving_key(now)
            if await service.fleet.refresh(now.deployments, now.traffic):
                tell(f"serving {_served(service.fleet)}")
            said = ""
        except Exception as error:  # whatever it is: what is served goes on, and it is told
            if str(error) != said:
                said = str(error)
                warn(f"{_served(service.fleet)} goes on: {said}")


class _Server(uvicorn.Server):
    """uvicorn, which closes a connection at its stop only when no request can be under way."""

    def __init__(
        self, service: Service, settings: ServingSettings, tell: Callable[[str], None]
    ) -> None:
        self._protocol = protocol(settings)
        super().__init__(
            uvicorn.Config(
                service.app,
                http=self._protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=settings.max_connections,
                timeout_keep_alive=settings.idle_s,
                timeout_graceful_shutdown=1,
                backlog=1024,
            )
        )
        self._service, self._settings, self._tell = service, settings, tell

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn's own would raise the signal again at the end."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say no to probes; after a while stop listening; let every connection end by itself."""
        self._tell("draining: requests that came are answered, then it ends")
        self._service.draining = True
        await asyncio.sleep(self._settings.linger_s)
        self._service.leaving = True
        await self._stop_listening(sockets or [])
        await self._quiet()
        await super().shutdown(sockets)
        self._tell(f"served {self.server_state.total_requests:,} requests")

    async def _stop_listening(self, sockets: list[socket.socket]) -> None:
        """Take the connections that the system has made for us already: closing resets them."""
        loop = asyncio.get_running_loop()
        last = [s.dup() for s in sockets]
        for server in self.servers:
            server.close()
        waiting = []
        for s in last:
            s.setblocking(False)
            with s, suppress(BlockingIOError):
                while True:
                    waiting.append(s.accept()[0])
        for connection in waiting:
            with suppress(OSError):
                await loop.connect_accepted_socket(self._connection, connection)

    def _connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self._protocol(
            config=self.config, server_state=self.server_state, app_state={}
        )
        return made

    async def _quiet(self) -> None:
        """Until connections are closed, after their next answers, or nobody uses them any more."""
        loop, state = asyncio.get_running_loop(), self.server_state
        now = quiet_since = loop.time()
        until, answered = now + self._settings.drain_s, state.total_requests
        while state.connections and now < until and not self.force_exit:
            await asyncio.sleep(_LOOK_S)
            now = loop.time()
            if state.tasks or state.total_requests != answered:
                quiet_since, answered = now, state.total_requests
            elif now - quiet_since > _QUIET_S:
                return


def _served(fleet: Fleet) -> str:
    return f"{fleet.model_id}: " + ", ".join(
        f"{d.name} version {d.loaded.version}" for d in fleet.deployed.values()
    )


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; the port may be 0.

    asyncio sends small answers at once (TCP_NODELAY) only where the protocol is said to be TCP;
    otherwise each would wait 40 ms for the client to acknowledge its headers.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ScoringError(
            f"serve: cannot listen on {host}:{port} ({error}). Name a free port in [serving] or "
            "with --port; 0 for one that the system chooses."
        ) from None
    return listening
