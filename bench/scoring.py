"""From a bar's close to its score: the whole chain at 50,000 records/s, and where the time goes.

    python -m bench.scoring [--write]

One process publishes records in pieces of 5 ms, one is the stream engine, one the service with a
LightGBM model, one reads `inference_scores`; the scoring loop has a process of its own
(`spymaster score`), or is a thread of the engine's (`spymaster live --score`). Each vector's time
is from the moment at which the record that closes its bar was given to the bus to the moment at
which its score was read. No vector waits for others (N = 0).
"""

from __future__ import annotations

import multiprocessing as mp
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import orjson

from bench.live import PACE, PIECE_S, Poster, market, prepared, settings_of
from bench.serving import LIVE, cpu_s
from spymaster.bus import open_bus
from spymaster.engines.stream.features import TOPIC as FEATURES
from spymaster.engines.stream.live import LiveEngine
from spymaster.engines.stream.turns import short_turns
from spymaster.engines.warm import warm_up
from spymaster.feed import topic
from spymaster.feed.dbn import DbnReader
from spymaster.scoring.lines import Running as Loops
from spymaster.scoring.lines import lines_of
from spymaster.scoring.outlet import SCORES
from spymaster.settings import Settings
from spymaster.stages.feature_contract import contract_of
from tests.serving import models
from tests.serving.running import Running as Service

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
#: Records of a simulated day: at this pace a day's vectors come within 10 s.
RECORDS = 500_000
#: Records in a piece, at most: whoever was kept from publishing catches up in pieces of this size.
MOST = 5_000
HEADING = "## From a bar's close to its score"
#: The way of a score, piece by piece: each ends where the next begins.
STAGES = {
    "close -> vector made": "the record to the bus, its way to the engine, the stages",
    "-> endpoint asked": "the vector's flush, its way to the loop, the intent's line",
    "-> answer": "the service",
    "-> score made": "the answer on disk",
    "-> score read": "the score's flush, its way to the reader",
}


def scoring(settings: Settings, url: str, ready: Any, done: Any) -> None:
    """The loop in a process of its own."""
    short_turns()
    with Loops(settings, lines_of(settings, models.MODEL, None, url), every_s=0) as loops:
        loops.start()
        ready.set()
        done.wait()
        loops.drain()


def stream(settings: Settings, url: str | None, ready: Any, done: Any) -> None:
    """The engine, with the loop in its process if it is given an endpoint's `url`."""
    warm_up()
    short_turns()
    stop = Event()
    lines = lines_of(settings, models.MODEL, None, url) if url else []
    with open_bus(settings) as bus, Loops(settings, lines, every_s=0) as loops:
        engine = LiveEngine(settings, bus)
        Thread(target=lambda: (done.wait(), time.sleep(2), stop.set()), daemon=True).start()
        loops.start()
        ready.set()
        engine.run(stop)
        loops.drain()


def listen(settings: Settings, ready: Any, done: Any, said: Any) -> None:
    """When each score could be read, ns UTC, by its vector."""
    seen: dict[str, int] = {}
    with open_bus(settings) as bus, bus.reader(SCORES, {0: 0}) as reader:
        ready.set()
        quiet = 0.0
        while not done.is_set() or quiet < 4:
            messages = reader.poll(timeout=0.5)
            at = time.time_ns()
            quiet = 0.0 if messages else quiet + 0.5
            for m in messages:
                seen.setdefault(orjson.loads(m.value)["feature_hash"], at)
    said.put(seen)


def publish(settings: Settings, files: list[Path]) -> dict[tuple[str, int], int]:
    """All records at their pace; of each bar when the record that closes it was given, ns UTC."""
    known, mbo = prepared(settings, files)
    zero = time.time_ns() - time.monotonic_ns()
    closed: dict[tuple[str, int], int] = {}
    with open_bus(settings) as bus:
        for path in mbo:
            poster = Poster(settings, bus, path, known)
            with DbnReader(path) as reader:
                records = np.concatenate([c.records for c in reader.chunks()])
            live = records["flags"] & 32 == 0
            poster.piece(records[~live])
            began, sent, records = time.monotonic(), 0, records[live]
            while sent < len(records):
                due = min(int((time.monotonic() - began) * PACE), sent + MOST)
                if due > sent:
                    poster.piece(records[sent:due])
                    sent = due
                time.sleep(PIECE_S)
            closed |= {bar: at + zero for bar, at in poster.closed.items()}
    return closed


def everything(settings: Settings, name: str) -> list[tuple[int, dict[str, Any]]]:
    """A topic's messages with the time at which each was published, ns UTC."""
    found = []
    with open_bus(settings) as bus, bus.reader(name, {0: 0}) as reader:
        while messages := reader.poll(timeout=0):
            found += [(m.time, orjson.loads(m.value)) for m in messages]
    return found


def registered(folder: Path) -> Path:
    """A registry whose champion understands the default settings' vectors."""
    contract = contract_of(settings_of(folder), models.MODEL)
    models.save(folder / "b", "b", contract.names, contract.hash)
    models.register(folder, folder / "b")
    return folder


def measure(folder: Path, files: list[Path], registry: Path, together: bool) -> dict[str, Any]:
    """ms of each vector, whole [n] and by stage [n, stage]; CPU seconds of each process."""
    settings = settings_of(folder / "root")
    context = mp.get_context("spawn")
    ready, done = [context.Event() for _ in range(3)], context.Event()
    said = context.Queue()
    with open_bus(settings) as bus:
        for name in (topic.TOPIC, FEATURES, SCORES):
            bus.create(name, 1)
    service = Service(folder / "service", registry).ready()
    url = service.url
    engine = context.Process(
        target=stream, args=(settings, url if together else None, ready[0], done)
    )
    loop = context.Process(target=scoring, args=(settings, url, ready[1], done))
    listener = context.Process(target=listen, args=(settings, ready[2], done, said))
    working = [engine, listener] if together else [engine, listener, loop]
    try:
        for process in working:
            process.start()
        for one in (ready[0], ready[2]) if together else ready:
            one.wait()
        time.sleep(2)
        names = (*("engine", "reader", "loop")[: len(working)], "service")
        pids = [p.pid or 0 for p in (*working, service.process)]
        cpu, started = [cpu_s(pid) for pid in pids], time.monotonic()
        closed = publish(settings, files)
        seconds = time.monotonic() - started
        spent = {n: cpu_s(p) - before for n, p, before in zip(names, pids, cpu, strict=True)}
        done.set()
        seen = said.get()
        for process in working:
            process.join()
    finally:
        service.stop()
    return {"seconds": seconds, "cpu": spent, **way(settings, closed, seen)}


def way(
    settings: Settings, closed: Mapping[tuple[str, int], int], seen: Mapping[str, int]
) -> dict[str, Any]:
    """The moments of each vector, from what its messages tell."""
    scores = {row["feature_hash"]: (at, row) for at, row in everything(settings, SCORES)}
    moments = []
    vectors = 0
    for at, row in everything(settings, FEATURES):
        if "feature_vector" not in row:
            continue
        vectors += 1
        given = closed.get((row["contract_id"], row["vector_time"]))
        if given is None or row["feature_hash"] not in seen:
            continue
        made, score = scores[row["feature_hash"]]
        answered = score["scored_at"]
        asked = answered - int(score["latency_ms"] * 1e6)
        moments.append([given, at, asked, answered, made, seen[row["feature_hash"]]])
    ms = np.diff(np.array(moments), axis=1) / 1e6
    return {"vectors": vectors, "whole": ms.sum(axis=1), "stages": ms}


def section() -> str:
    """What `docs/benchmarks.md` says of it."""
    lines, told = [], []
    found_by: dict[bool, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files, registry = market(folder / "market", RECORDS), registered(folder)
        for together in (False, True):
            found_by[together] = measure(folder / str(together), files, registry, together)
    for together, found in found_by.items():
        name = "`spymaster live --score`" if together else "`spymaster live`, `spymaster score`"
        assert len(found["whole"]) >= 1_000, f"only {len(found['whole'])} vectors were scored"
        for part, ms in [
            ("**whole**", found["whole"]),
            *zip(STAGES, found["stages"].T, strict=True),
        ]:
            p50, p90, p99 = np.percentile(ms, [50, 90, 99])
            lines.append(f"| {name} | {part} | {p50:.1f} | {p90:.1f} | {p99:.1f} |")
        cpu = ", ".join(f"{n} {s / found['seconds']:.2f}" for n, s in found["cpu"].items())
        told.append(
            f"- {name}: {len(found['whole']):,} of {found['vectors']:,} vectors read as scores; "
            f"cores used: {cpu}"
        )
    stages = "; ".join(f"{name}: {what}" for name, what in STAGES.items())
    return (
        f"{HEADING}\n\nThe chain at {PACE:,} records/s, N = 0, LightGBM with 298 columns; the "
        f"load's generator, the engine, the service and the reader share {os.cpu_count()} cores. "
        f"Load of the machine at the end: {os.getloadavg()[0]:.1f}. Goal: p50 20 ms, p99 100 ms. "
        f"{stages}.\n\n| | | p50, ms | p90, ms | p99, ms |\n|---|---|---:|---:|---:|\n"
        + "\n".join(lines) + "\n\n" + "\n".join(told) + "\n"
    )  # fmt: skip


def write() -> None:
    """Put the section into docs/benchmarks.md before that of `bench.live`, which is the last."""
    text = DOCS.read_text()
    if HEADING in text:
        before, _, rest = text.partition(HEADING)
        text = before + rest[rest.index("\n## ") + 1 :]
    before, live, after = text.partition(LIVE)
    DOCS.write_text(f"{before.rstrip()}\n\n{section()}\n{live}{after}")


if __name__ == "__main__":
    warm_up()
    write() if "--write" in sys.argv else print(section())
