"""One HTTP connection that is kept between requests: the standard library's, for its price.

A request by `http.client` takes 0.35 ms of the asking process, by httpx's transport 0.9 ms; and the
scoring loop asks for each vector on its way.
"""

from __future__ import annotations

import http.client
import select
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What came back. `headers` are found by any spelling of their names."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def text(self) -> str:
        """The content as a person reads it."""
        return self.content.decode(errors="replace")


class Kept:
    """The connection to a URL's server, made when it is needed and made anew when it has ended.

    `url`: http or https. No proxy, cookie or redirect: none is for the way from a bar to its score.
    `timeout_s`: for each wait on the network. For one thread.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        host, self._path = parts.hostname or "", parts.path.rstrip("/")
        # Without a port, http.client would look for one in an IPv6 address.
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._open: http.client.HTTPConnection
        if parts.scheme == "https":
            self._open = http.client.HTTPSConnection(
                host, port, timeout=timeout_s, context=ssl.create_default_context()
            )
        else:
            self._open = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """Ask and wait. Raises OSError where there is no whole answer."""
        if self._ended():
            self._open.close()
        try:
            self._open.request(method, self._path + path, body, dict(headers))
            answer = self._open.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except http.client.HTTPException as error:
            self._open.close()
            raise OSError(str(error) or type(error).__name__) from error
        except BaseException:
            self._open.close()  # what comes late must not be taken for the next one's answer
            raise

    def _ended(self) -> bool:
        """Has the server closed what is kept, or sent what nobody asked for?"""
        if self._open.sock is None:
            return False
        look = select.poll()
        look.register(self._open.sock, select.POLLIN)
        return bool(look.poll(0))

    def close(self) -> None:
        """Let go of the connection."""
        self._open.close()
