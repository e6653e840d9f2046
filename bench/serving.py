"""The scoring service over real HTTP, beside `mlflow models serve` and Microsoft's server.

    python -m bench.serving [--write]

The same model (LightGBM, 298 columns), one worker each, one after the other on the same machine;
clients on kept connections, the requests made beforehand. Latencies are one client's, asking
again and again; vectors/s are those of four at once. Microsoft's server runs in an environment of
its own (tests/serving/microsoft.py).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import httpx
import numpy as np

from tests.serving import models
from tests.serving.microsoft import Server
from tests.serving.running import Running, body

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEADING, LIVE = "## Scoring over HTTP", "## Live"
BATCHES = (1, 32, 1_000)
SECONDS = 6.0
CLIENTS = 4
FEWEST = 20


@dataclass(frozen=True)
class Figure:
    """One server at one batch size."""

    p50: float  #: ms
    p99: float
    requests: int
    vectors_per_s: float  #: with CLIENTS clients
    cpu_ms: float  #: of the server's processes, per request


class Endpoint:
    """Where a server is asked, in its own form of a request, and which process it is."""

    def __init__(self, name: str, url: str, path: str, pid: int, dialect: str = "") -> None:
        self.name, self.url, self.path, self.pid, self._dialect = name, url, path, pid, dialect

    def content(self, n: int) -> bytes:
        asked = body(models.vectors(n, seed=n))
        return asked.replace(b'"input_data"', b'"dataframe_split"') if self._dialect else asked

    def measure(self, n: int) -> Figure:
        content = self.content(n)
        self._ask(content, 1.0)
        alone = np.concatenate(self._clients(content, 1))
        cpu, started = cpu_s(self.pid), time.perf_counter()
        many = self._clients(content, CLIENTS)
        seconds = time.perf_counter() - started
        asked = sum(map(len, many))
        p50, p99 = np.percentile(alone, [50, 99]) * 1e3
        cpu_ms = (cpu_s(self.pid) - cpu) / asked * 1e3
        return Figure(float(p50), float(p99), len(alone), asked * n / seconds, cpu_ms)

    def _clients(self, content: bytes, count: int) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        threads = [
            threading.Thread(target=lambda: found.append(self._ask(content, SECONDS)))
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == count, f"{self.name}: a client failed"
        return found

    def _ask(self, content: bytes, seconds: float) -> np.ndarray:
        """Seconds of each request."""
        took = []
        headers = {"content-type": "application/json"}
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=300)
        with closing(connection):
            until = time.perf_counter() + seconds
            while time.perf_counter() < until or len(took) < FEWEST:
                started = time.perf_counter()
                connection.request("POST", self.path, content, headers)
                answer = connection.getresponse()
                said = answer.read()
                took.append(time.perf_counter() - started)
                assert answer.status == 200, f"{self.name}: {said[:500]!r}"
        return np.array(took)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and those below it."""
    below: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            below.setdefault(int(fields[1]), []).append(int(entry.name))
            spent[int(entry.name)] = int(fields[11]) + int(fields[12])
    ticks, left = 0, [pid]
    while left:
        one = left.pop()
        ticks += spent.get(one, 0)
        left += below.get(one, [])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def spymaster(folder: Path) -> Iterator[Endpoint]:
    running = Running(folder / "spymaster", folder).ready()
    try:
        yield Endpoint("`spymaster serve`", running.url, "/score", running.process.pid or 0)
    finally:
        running.stop()


@contextmanager
def microsoft(folder: Path) -> Iterator[Endpoint]:
    server = Server(folder / "microsoft.log", folder / "b").ready()
    try:
        name = "`azureml-inference-server-http`"
        yield Endpoint(name, server.url, "/score", server.process.pid)
    finally:
        server.stop()


@contextmanager
def mlflow(folder: Path) -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with open(folder / "mlflow.log", "wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("mlflow"), "models", "serve", "-m", folder / "b", "-h",
             "127.0.0.1", "-p", str(port), "--env-manager", "local", "--workers", "1"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
                 "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 120
        while True:
            assert process.poll() is None, (folder / "mlflow.log").read_text()[-3000:]
            try:
                httpx.get(f"{url}/ping", timeout=60).raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < until, (folder / "mlflow.log").read_text()[-3000:]
                time.sleep(0.2)
        yield Endpoint("`mlflow models serve`", url, "/invocations", process.pid, "mlflow")
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def section() -> str:
    """What `docs/benchmarks.md` says of it."""
    found: dict[int, list[tuple[str, Figure]]] = {n: [] for n in BATCHES}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models.save(folder / "b", "b")
        models.register(folder, folder / "b")
        for server in (spymaster, mlflow, microsoft):
            with server(folder) as endpoint:
                for n in BATCHES:
                    found[n].append((endpoint.name, endpoint.measure(n)))
                    print(n, *found[n][-1], file=sys.stderr)
    lines = []
    for n, figures in found.items():
        ours = figures[0][1]
        for name, f in figures:
            times = f"{ours.vectors_per_s / f.vectors_per_s:.1f}" if f is not ours else ""
            lines.append(
                f"| {n:,} | {name} | {f.p50:.2f} | {f.p99:.2f} | {f.vectors_per_s:,.0f} | {times} "
                f"| {f.cpu_ms:.2f} |"
            )
    load = os.getloadavg()[0]
    return (
        f"{HEADING}\n\nLightGBM, 100 rounds, 298 columns; one worker each, the clients on the same "
        f"{os.cpu_count()} cores; latencies with one client, rates with {CLIENTS}, all on kept "
        f"connections. Load of the machine at the end: {load:.1f}. Goal at a batch of 1: five "
        "times the others' rate, p99 under 3 ms.\n\n"
        "| batch | server | p50, ms | p99, ms | vectors/s | ours beside it | its CPU, ms a request "
        "|\n|---:|---|---:|---:|---:|---:|---:|\n" + "\n".join(lines) + "\n"
    )


def write() -> None:
    """Put the section into docs/benchmarks.md before that of `bench.live`, which is the last."""
    text = DOCS.read_text()
    if HEADING in text:
        before, _, rest = text.partition(HEADING)
        text = before + rest[rest.index("\n## ") + 1 :]
    before, live, after = text.partition(LIVE)
    DOCS.write_text(f"{before.rstrip()}\n\n{section()}\n{live}{after}")


if __name__ == "__main__":
    write() if "--write" in sys.argv else print(section())
