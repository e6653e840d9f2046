"""What a process of the live way says of itself, for `spymaster status` and health checks."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

#: Where each process keeps its own, under the root.
FOLDER = "lake/checkpoints/status"
_EVERY = 1.0
#: Older than this a status is of a process that hangs or has died, in seconds.
STALE = 10.0

Facts = Callable[[], Mapping[str, Any]]


class Rate:
    """Records per second since it was asked last."""

    def __init__(self) -> None:
        self._at, self._records, self._rate = time.monotonic(), 0, 0.0

    def per_second(self, records: int) -> float:
        """The rate, over half a second at least."""
        seconds = time.monotonic() - self._at
        if seconds >= 0.5:
            self._rate = (records - self._records) / seconds
            self._at, self._records = time.monotonic(), records
        return self._rate


class StatusFile:
    """Writes `facts()` into a small JSON file every second, whole or not at all.

    As a context manager: a thread of its own, and a last word at the end.
    """

    def __init__(self, root: str | Path, name: str, facts: Facts) -> None:
        self._path = Path(root) / FOLDER / f"{name}.json"
        self._name, self._facts = name, facts
        self._stop = Event()
        self._thread = Thread(target=self._run, name="status", daemon=True)
        self._error = ""

    def told(self) -> dict[str, Any]:
        """What is said now."""
        return {
            "process": self._name,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "at": time.time_ns(),
            **self._facts(),
        }

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self.write()

    def write(self, **more: Any) -> None:
        """Write it now. A full disk must not stop the work: the file grows old and shows it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps({**self.told(), **more}, default=str))
            temporary.replace(self._path)
        except OSError as error:
            self._error = str(error)

    def __enter__(self) -> StatusFile:
        self.write()
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._stop.set()
        self._thread.join(5)
        state = "ended" if error is None else "failed"
        self.write(state=state, error=str(error) if error else "")


class Health:
    """/healthz: the process works; /readyz: it is up to date enough to be asked. JSON, loopback."""

    def __init__(self, told: Facts, port: int, host: str = "127.0.0.1") -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                facts = dict(told())
                good = {"/healthz": facts.get("healthy"), "/readyz": facts.get("ready")}
                known = self.path in good
                body = json.dumps(facts if known else {"allowed": sorted(good)}, default=str)
                self.send_response(404 if not known else 200 if good[self.path] else 503)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Silent: a probe comes every second."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


def read_statuses(root: str | Path) -> list[dict[str, Any]]:
    """What every process of a root said last, with `age_s` and whether it `runs`."""
    found = []
    for path in sorted((Path(root) / FOLDER).glob("*.json")):
        try:
            told = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        told["age_s"] = max(0.0, (time.time_ns() - int(told["at"])) / 1e9)
        ended = told.get("state") in ("ended", "failed")
        told["runs"] = not ended and told["age_s"] < STALE and _alive(told)
        found.append(told)
    return found


def _alive(told: Mapping[str, Any]) -> bool:
    if told.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(told["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
