"""A real HTTP server that receives webhooks, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import orjson


class Receiver:
    """Notes each request; `answer` says with which status, from the count of requests before.

    Listens only while it is entered, always on one port.
    """

    def __init__(self, answer: Callable[[int], int] = lambda n: 200, port: int = 0) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.taken: list[dict[str, Any]] = []  #: bodies that were answered with 200
        self.last = ""  #: the key of the request that is being answered
        self.retry_after = ""  #: this header of every answer; sent in Latin-1
        self._came = threading.Condition()
        receiver = self

        class Page(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {k.lower(): v for k, v in self.headers.items()}
                receiver.last = headers["idempotency-key"]
                status = answer(len(receiver.requests))
                with receiver._came:
                    receiver.requests.append((self.path, headers, told))
                    if status == 200:
                        receiver.taken.append(told)
                    receiver._came.notify_all()
                self.send_response(status)
                self.send_header("content-length", "0")
                if receiver.retry_after:
                    self.send_header("retry-after", receiver.retry_after)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Page)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def wait(self, n: int, seconds: float = 20.0) -> None:
        """Return when `n` requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= n, seconds), self.requests

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
