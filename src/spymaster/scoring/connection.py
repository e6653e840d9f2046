"""A connection that slow or endless clients cannot hold: uvicorn's, with deadlines."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spymaster.scoring.answer import message
from spymaster.settings import ServingSettings


def protocol(settings: ServingSettings) -> type[HttpToolsProtocol]:
    """The class of a connection under these limits."""

    class Connection(HttpToolsProtocol):
        """uvicorn bounds how long a connection is idle between requests; this the rest.

        A request must have come whole `request_s` after its first byte (the first one after the
        connection), an answer must be taken within `response_s`, headers have a size.
        """

        _request: asyncio.TimerHandle | None = None
        _response: asyncio.TimerHandle | None = None
        _header_bytes = 0
        _headers_whole = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.set_write_buffer_limits(0)  # pause_writing tells of the first byte that waits
            self._expect()

        def connection_lost(self, exc: Exception | None) -> None:
            self._arrived()
            self._taken()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._header_bytes, self._headers_whole = 0, False
            self._expect()

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self._count(len(url))

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            self._count(len(name) + len(value))

        def on_headers_complete(self) -> None:
            if not self.transport.is_closing():
                super().on_headers_complete()
                self._headers_whole = True

        def on_body(self, body: bytes) -> None:
            if not self.transport.is_closing():
                super().on_body(body)

        def on_message_complete(self) -> None:
            self._arrived()
            if not self.transport.is_closing():
                super().on_message_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._taken()
            self._response = self.loop.call_later(settings.response_s, self._cut)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._taken()

        def _cut(self) -> None:
            """Reset: a plain close would leave the system trying to send what nobody reads."""
            reset = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, reset
            )
            self.transport.abort()

        def _expect(self) -> None:
            self._arrived()
            self._request = self.loop.call_later(settings.request_s, self._late)

        def _arrived(self) -> None:
            if self._request is not None:
                self._request.cancel()
                self._request = None

        def _taken(self) -> None:
            if self._response is not None:
                self._response.cancel()
                self._response = None

        def _late(self) -> None:
            if self.pipeline or not (self._headers_whole or self._answered()):
                self._expect()  # it waits for us: an earlier one is not answered yet
                return
            self._end(
                b"408 Request Timeout",
                f"the request was not whole after {settings.request_s:g} s, which are allowed.",
            )

        def _count(self, size: int) -> None:
            self._header_bytes += size
            if self._header_bytes > settings.max_header_bytes:
                self._end(
                    b"431 Request Header Fields Too Large",
                    f"the headers have more than {settings.max_header_bytes} bytes.",
                )

        def _answered(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _end(self, status: bytes, reason: str) -> None:
            """Say why, unless this request's answer has begun or another's goes on, and close."""
            if self.transport.is_closing():
                return
            if self._answered() if not self._headers_whole else not self.cycle.response_started:
                body = message(reason)
                self.transport.write(
                    b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body
                )
            self.transport.close()

    return Connection
