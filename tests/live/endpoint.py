"""The real service with small models of its own, as a process; and a road to it with faults."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.scoring.server import serve
from spymaster.settings import ServingSettings
from tests.e2e.runner import HOME, environment

#: A vector with this in its first column makes the model fail.
POISON = 1e300


@dataclass(frozen=True)
class Softmax:
    """A model that is different in each version, and the same for a row alone and among others."""

    columns: tuple[str, ...]
    feature_contract: str
    version: int

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        if (features[:, 0] == POISON).any():
            raise ModelError("poison")
        weights = np.random.default_rng(self.version).normal(size=(3, len(self.columns)))
        x = np.tanh(np.nan_to_num(features))
        z = np.stack([(x * w).sum(axis=1) for w in weights], axis=1)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


class Shelf:
    """A registry in one JSON file: columns, contract, and the version that is the champion."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    def resolve(self, wanted: str) -> str:
        return str(self.told()["champion"]) if wanted.startswith("@") else wanted

    def load(self, version: str) -> Softmax:
        told = self.told()
        return Softmax(tuple(told["columns"]), told["contract"], int(version))

    def promote(self, version: int) -> None:
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps({**self.told(), "champion": version}))
        temporary.rename(self.path)


def main() -> None:
    path, port = sys.argv[1:]
    settings = ServingSettings(port=int(port), watch_s=0.1)

    def tell(text: str) -> None:
        print(text, flush=True)

    serve("ES_MODEL", Shelf(Path(path)), lambda: settings, tell, tell)


class Service:
    """The service as a process of its own, on one port through all its lives."""

    def __init__(self, folder: Path, columns: list[str], contract: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.shelf = Shelf(folder / "shelf.json")
        told = {"columns": columns, "contract": contract, "champion": 1}
        self.shelf.path.write_text(json.dumps(told))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = int(s.getsockname()[1])
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it serves."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.endpoint", str(self.shelf.path), str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            cwd=HOME,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "serving ES_MODEL" in line, line + self._process.stdout.read()

    def end(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            self._process.communicate()
            self._process = None


@contextmanager
def service(folder: Path, columns: list[str], contract: str) -> Iterator[Service]:
    made = Service(folder, columns, contract)
    try:
        made.start()
        yield made
    finally:
        made.end()


class Road:
    """A TCP way to the service on which every `nth` answer is lost after the request went through.

    The service has scored then, and whoever asked cannot know.
    """

    def __init__(self, port: int, nth: int) -> None:
        self._to, self._nth, self.lost = port, nth, 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._count = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            threading.Thread(target=_copy, args=(client, server), daemon=True).start()
            while True:
                try:
                    data = server.recv(1 << 16)
                except OSError:
                    return
                if not data or self._loses(data):
                    with suppress(OSError):
                        client.shutdown(socket.SHUT_RDWR)  # its reader holds the socket open
                    return
                client.sendall(data)

    def _loses(self, data: bytes) -> bool:
        if not data.startswith(b"HTTP/") or b"p_break" not in data:
            return False
        with self._lock:
            self._count += 1
            lost = self._count % self._nth == 0
            self.lost += lost
            return lost

    def close(self) -> None:
        self._listening.close()


def _copy(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while data := client.recv(1 << 16):
            server.sendall(data)


if __name__ == "__main__":
    main()
