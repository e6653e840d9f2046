"""One connection of Databento's own client: what it is asked for, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import databento
from databento.common.error import BentoError

from spymaster.bus.secret import Secret
from spymaster.errors import SourceError
from spymaster.feed.ingest.inbox import Inbox
from spymaster.settings import FeedSettings, SymbolSettings

#: What Databento says to a key that no other try will make good.
_NOT_LET_IN = re.compile(
    r"authenticat|api key|deactivat|unauthori[sz]ed|not entitled|licen[sc]e", re.I
)
_OUR_OWN = ("Connection to ", "Authentication with ")


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that knows what the client does not say of its connection.

    The inbox hears of every piece that the client has gone through. `broken`: the system's error,
    None after an orderly end; an ErrorMsg before hides it. `transport`: after a timeout the
    client forgets to close it.
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self.broken: BaseException | None = None
        self.transport: asyncio.BaseTransport | None = None
        self._inbox = inbox

    async def create_connection(self, protocol_factory: Any, *args: Any, **how: Any) -> Any:
        def made() -> Any:
            protocol = protocol_factory()
            read, told = protocol.buffer_updated, protocol.connection_lost

            def updated(count: int) -> None:
                try:
                    read(count)
                finally:
                    self._inbox.delivered()

            def lost(error: BaseException | None) -> None:
                self.broken = error
                told(error)

            protocol.buffer_updated, protocol.connection_lost = updated, lost
            return protocol

        self.transport, protocol = await super().create_connection(made, *args, **how)
        return self.transport, protocol


class Lost(Exception):
    """The connection ended, or never came to be; another try may do."""


@dataclass(frozen=True)
class Ask:
    """What a connection begins with: a replay from `start` (ns UTC), or a market snapshot."""

    start: int | None

    @property
    def replays(self) -> int:
        """Schemas that are replayed: always the definitions."""
        return 1 if self.start is None else 2


class Connection:
    """A `databento.Live` of its own, on an event loop of its own, that writes into an inbox.

    A context manager. Opening raises SourceError when the key is refused (no other try helps),
    Lost otherwise. The inbox hears of the end.
    """

    def __init__(
        self,
        dataset: str,
        symbols: SymbolSettings,
        settings: FeedSettings,
        key: Secret,
        ask: Ask,
        inbox: Inbox,
    ) -> None:
        self._dataset, self._symbols, self._settings = dataset, symbols, settings
        self._key, self._ask, self._inbox = key, ask, inbox
        self._loop = _Loop(inbox)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"feed-{dataset}", daemon=True
        )
        self._left = False
        self._live: databento.Live | None = None
        self._closed: Future[None] | None = None

    def __enter__(self) -> Connection:
        self._thread.start()
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _open(self) -> None:
        s = self._settings
        self._live = live = databento.Live(
            key=self._key.reveal(),
            gateway=s.gateway or None,
            port=s.port,
            heartbeat_interval_s=s.heartbeat_s,
            slow_reader_behavior=s.slow_reader_behavior,
            compression=databento.Compression.from_str(s.compression),
            loop=self._loop,
        )
        live.add_stream(self._inbox, self._inbox.end)
        try:
            # Replays can be asked for only before the session starts; definitions come first.
            self._subscribe("definition", 0, False)
            self._subscribe("mbo", self._ask.start, self._ask.start is None)
            live.start()
        except (BentoError, ValueError, OSError) as error:
            raise self._refusal(error) from None
        self._closed = asyncio.run_coroutine_threadsafe(live.wait_for_close(), self._loop)
        self._closed.add_done_callback(self._ended)

    def _subscribe(self, schema: str, start: int | None, snapshot: bool) -> None:
        assert self._live is not None
        for stype, symbols in self._symbols.model_dump().items():
            if symbols:
                self._live.subscribe(
                    dataset=self._dataset,
                    schema=schema,
                    symbols=list(symbols),
                    stype_in=stype,
                    start=start,
                    snapshot=snapshot,
                )

    def _refusal(self, error: Exception) -> Exception:
        said = self._safe(str(error))
        ours = said.startswith(_OUR_OWN)
        if not ours and isinstance(error, BentoError) and _NOT_LET_IN.search(said):
            return SourceError(
                f"feed {self._dataset}: the gateway does not let this key in ({said}). Put a key "
                f"with access to {self._dataset} where [feed] names it: key_variable, or vault."
            )
        return Lost(said)

    def _safe(self, text: str) -> str:
        return text.replace(self._key.reveal(), "...")

    @property
    def broken(self) -> str | None:
        """What broke the connection, None where its end was an orderly one."""
        return None if self._loop.broken is None else str(self._loop.broken)

    def _ended(self, closed: Future[None]) -> None:
        error = None if closed.cancelled() else closed.exception()
        self._inbox.end(None if error is None else Lost(self._safe(str(error) or repr(error))))

    def __exit__(self, *_: object) -> None:
        """Let go of the connection, once; what is in the inbox stays."""
        if self._left:
            return
        self._left = True
        self._inbox.close()
        if self._live is not None:
            with contextlib.suppress(Exception):
                self._live.terminate()
        if self._closed is not None:
            with contextlib.suppress(Exception):
                self._closed.result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            _finish(self._loop)
        self._inbox.end(None)


def _finish(loop: _Loop) -> None:
    """Close the connection, and let what is left on the loop end."""
    if isinstance(loop.transport, asyncio.WriteTransport):
        loop.transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
