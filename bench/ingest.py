"""The ingestor's speed: gateway -> client -> ingestor -> topic, and arrival -> readable.

    python -m bench.ingest [RECORDS]

The gateway runs in a process of its own, as does the reader of the topic.
"""

from __future__ import annotations

import cProfile
import multiprocessing as mp
import os
import pstats
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from spymaster.bus import open_bus
from spymaster.feed.dbn import MBO_RECORD
from spymaster.feed.dbn_write import make_metadata, write_dbn
from spymaster.feed.gateway import Gateway
from spymaster.feed.ingest.inbox import Inbox
from spymaster.feed.ingest.process import ingest
from spymaster.feed.ingest.supervisor import Supervisor
from spymaster.feed.topic import TOPIC, Batch, decode
from spymaster.settings import Settings

NS = 1_000_000_000
START = 1_704_900_000 * NS
EVERY_NS = 20_000  # 50,000 records/s


def made(path: Path, n: int) -> Path:
    """Adds and cancels of one future, one every 20 microseconds."""
    out = np.zeros(n, MBO_RECORD)
    out["length"], out["rtype"], out["publisher_id"], out["instrument_id"] = 14, 0xA0, 1, 17077
    out["ts_recv"] = START + np.arange(n) * EVERY_NS
    out["ts_event"] = out["ts_recv"] - 120_000
    out["order_id"] = np.arange(n) // 2
    out["action"] = np.where(np.arange(n) % 2 == 0, ord("A"), ord("C"))
    rng = np.random.default_rng(1)
    out["side"] = np.where(rng.random(n) < 0.5, ord("A"), ord("B"))
    out["price"] = 4_800_000_000_000 + rng.integers(-40, 40, n) * 250_000_000
    out["size"], out["flags"], out["sequence"] = rng.integers(1, 30, n), 128, np.arange(n)
    head = make_metadata("GLBX.MDP3", {"ESH4": 17077}, START, START + 86_400 * NS)
    return write_dbn(path, head, out)


def settings(root: Path, port: int) -> Settings:
    feed = {"gateway": "127.0.0.1", "port": port, "symbols": {"ES": {"parent": ["ES.FUT"]}}}
    return Settings.model_validate({"root": str(root), "feed": feed})


def gateway(path: Path, speed: float | None, told: Any) -> None:
    with Gateway([path], speed=speed, at_end="close", once=True) as one:
        told.put(one.port)
        one.wait()


def reader(root: str, port: int, count: int, told: Any) -> None:
    """(records read so far, when) of every batch."""
    seen: list[tuple[int, int]] = []
    with open_bus(settings(Path(root), port)) as bus:
        bus.create(TOPIC, 1)
        with bus.reader(TOPIC, {0: 0}) as messages:
            while not seen or seen[-1][0] < count:
                for m in messages.poll(timeout=1):
                    at = time.time_ns()
                    content = decode(m.value, m.headers, "")
                    if isinstance(content, Batch):
                        before = seen[-1][0] if seen else 0
                        seen.append((before + len(content.columns.ts_recv), at))
    told.put(seen)


def run(n: int, speed: float | None, *, watched: bool, profile: bool = False) -> dict[str, Any]:
    context = mp.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = made(Path(folder) / "feed.mbo.dbn.zst", n)
        ports, answers = context.Queue(), context.Queue()
        serving = context.Process(target=gateway, args=(path, speed, ports))
        serving.start()
        port = ports.get()
        root = Path(folder) / "root"
        reading = context.Process(target=reader, args=(str(root), port, n, answers))
        if watched:
            reading.start()
            time.sleep(4)
        arrived: list[tuple[int, int]] = []
        plain, plain_run = Inbox.delivered, Supervisor.run

        def delivered(self: Inbox) -> None:
            arrived.append((len(self._run), time.time_ns()))
            plain(self)

        profiler = cProfile.Profile(time.thread_time)

        def run_profiled(self: Supervisor) -> None:
            profiler.runcall(plain_run, self)

        Inbox.delivered = delivered  # type: ignore[method-assign]
        if profile:
            Supervisor.run = run_profiled  # type: ignore[method-assign]
        os.environ["DATABENTO_API_KEY"] = "db-bench"
        (told,) = ingest(settings(root, port), "GLBX.MDP3", once=True)
        Inbox.delivered, Supervisor.run = plain, plain_run  # type: ignore[method-assign]
        assert told.counts.published == n, told
        seen = answers.get() if watched else []
        serving.join()
        if watched:
            reading.join()
        if profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(28)
        counts, times = np.array(arrived).T
        return {"arrived": np.repeat(times, counts)[-n:], "seen": seen}


def figures(n: int = 2_000_000) -> dict[str, float]:
    """Records/s and ms: gateway -> topic, and arrival -> readable at 50,000 records/s."""
    found = run(n, None, watched=True)
    told = {
        "per_s": n / ((found["seen"][-1][1] - found["arrived"][0]) / 1e9),
        "client_per_s": n / ((found["arrived"][-1] - found["arrived"][0]) / 1e9),
    }
    n = 1_000_000
    found = run(n, 1.0, watched=True)
    latency = np.empty(n)
    first = 0
    for last, at in found["seen"]:
        latency[first:last] = (at - found["arrived"][first:last]) / 1e6
        first = last
    p50, p99 = np.percentile(latency[n // 5 :], [50, 99])
    return {**told, "p50": p50, "p99": p99, "first": latency[: n // 5].max()}


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    if "--profile" in sys.argv:
        run(n, None, watched=False, profile=True)
    f = figures(n)
    print(f"throughput  {f['per_s']:,.0f}/s readable, {f['client_per_s']:,.0f}/s from the client")
    print(f"beginning   the first 4 s: up to {f['first']:,.0f} ms")
    print(f"latency     arrival to readable: p50 {f['p50']:.2f} ms, p99 {f['p99']:.2f} ms")


if __name__ == "__main__":
    main()
