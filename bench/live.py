"""The stream engine: records/s from the topic through all tables, and how old a vector is.

    python -m bench.live [--write]

The throughput run reads a topic that is full already. In the paced run a process publishes
50,000 records/s in pieces of 5 ms; the latency of a bar is from the moment at which the record
that closes it was given to the bus to the moment at which another process reads the bar's series
(and, where there is an episode, its vector) from `features_gold`.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import resource
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from bench.ingest import figures
from spymaster.bus import open_bus, partition_of
from spymaster.contracts.event import BAR_NS, LATENESS_NS
from spymaster.engines.local import LocalEngine
from spymaster.engines.stream.features import TOPIC as FEATURES
from spymaster.engines.stream.live import LiveEngine
from spymaster.engines.warm import warm_up
from spymaster.feed import topic
from spymaster.feed.dbn import DbnReader
from spymaster.feed.simulator import SimulationConfig, simulate
from spymaster.feed.topic import Mark, encode
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN
from spymaster.stages.envelope import wire_batch

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEADING = "## Live"
MILLIONS = 5
PACED_RECORDS = 1_500_000
PACE, PIECE_S = 50_000, 0.005
NS = 1_000_000_000


def settings_of(root: Path) -> Settings:
    return Settings.model_validate({"root": str(root)})


def market(folder: Path, records: int) -> list[Path]:
    """One simulated session; its definitions land."""
    config = SimulationConfig(
        first_session=date(2024, 1, 9), sessions=1, events_per_session=records
    )
    files = simulate(config, folder).files
    return sorted(files)


class Poster:
    """Files as the ingestor publishes them, piece by piece."""

    def __init__(self, settings: Settings, bus: Any, path: Path, known: Instruments) -> None:
        self._bus, self._n = bus, settings.bus.partitions
        self._producer = bus.producer("bench")
        self._path, self._mark, self._read = path, -1, 0
        with DbnReader(path) as reader:
            self._venue = str(reader.metadata.dataset)
        self._stage = BronzeProcessDBN(self._venue, known, settings.underlier)
        self._told: set[str] = set()
        self.closed: dict[tuple[str, int], int] = {}  #: contract, bar's end -> given at, ns

    def piece(self, records: np.ndarray) -> None:
        at = time.monotonic_ns()
        done = self._stage.advance(records)
        self._read += len(records)
        for contract in self._stage.contracts:
            name = str(contract.contract_id)
            if name not in self._told:
                self._told.add(name)
                self._send(partition_of(name, self._n), contract)
        batch = wire_batch(
            records, done, np.arange(len(done.events)), self._stage.contracts,
            venue=self._venue, batch_id=self._path.name, upto=self._read, ingest_time=1,
        )  # fmt: skip
        self._send(0, batch)
        mark = self._stage.last_mark or 0
        late = (mark - LATENESS_NS) // BAR_NS != (self._mark - LATENESS_NS) // BAR_NS
        if mark // NS != self._mark // NS or late:
            self._mark = mark
            self._send(0, Mark(self._venue, mark))
        self._producer.flush()
        self._note(done.events, at)

    def _note(self, events: np.ndarray, at: int) -> None:
        """Which bars these records close: those that end at or before a record's time."""
        for i, contract in enumerate(self._stage.contracts):
            ts = events["ts_event"][events["contract"] == i]
            if len(ts):
                for bar in range(int(ts.min()) // BAR_NS, int(ts.max()) // BAR_NS + 1):
                    self.closed.setdefault((str(contract.contract_id), bar * BAR_NS), at)

    def _send(self, partition: int, content: Any) -> None:
        value, headers = encode(content)
        self._producer.publish(topic.TOPIC, value, partition=partition, headers=headers)


def prepared(settings: Settings, files: list[Path]) -> tuple[Instruments, list[Path]]:
    LocalEngine(settings).land([p for p in files if "definition" in p.name])
    rows = Lake(settings.root).scan("bronze.definitions").to_pylist()
    mbo = [p for p in files if "definition" not in p.name]
    return Instruments(Instrument.from_row(r) for r in rows), mbo


def throughput(folder: Path, millions: int) -> dict[str, float]:
    """Records/s from the topic through the engine, everything written."""
    settings = settings_of(folder / "root")
    known, mbo = prepared(settings, market(folder / "market", millions * 1_000_000))
    with open_bus(settings) as bus:
        bus.create(topic.TOPIC, 1)
        for path in mbo:
            poster = Poster(settings, bus, path, known)
            with DbnReader(path) as reader:
                for chunk in reader.chunks(5_000):
                    poster.piece(chunk.records)
    with open_bus(settings) as bus:
        engine = LiveEngine(settings, bus, quiet_s=0.2)
        cpu, started = time.process_time(), time.perf_counter()
        records = engine.run().records
        seconds = time.perf_counter() - started - 0.2
        cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"records": records, "per_s": records / seconds, "cpu_us": cpu / records * 1e6,
            "peak_mb": peak, "epochs": engine.status()["epoch"]}  # fmt: skip


def listen(settings: Settings, ready: Any, done: Any, said: Any) -> None:
    """When each bar's series, and each vector, could be read."""
    seen: list[tuple[str, str, int, int]] = []
    with open_bus(settings) as bus, bus.reader(FEATURES, {0: 0}) as reader:
        ready.set()
        quiet = 0.0
        while not done.is_set() or quiet < 2:
            messages = reader.poll(timeout=0.5)
            at = time.monotonic_ns()
            quiet = 0.0 if messages else quiet + 0.5
            for m in messages:
                row = json.loads(m.value)
                end = row.get("bar_end") or row["vector_time"]
                seen.append((m.headers["kind"], row["contract_id"], end, at))
    said.put(seen)


def stream(settings: Settings, ready: Any, done: Any) -> None:
    warm_up()
    stop = Event()
    with open_bus(settings) as bus:
        engine = LiveEngine(settings, bus)
        Thread(target=lambda: (done.wait(), time.sleep(2), stop.set()), daemon=True).start()
        ready.set()
        engine.run(stop)


def latency(folder: Path) -> dict[str, Any]:
    """ms from giving the closing record to the bus until series and vectors are read."""
    settings = settings_of(folder / "root")
    known, mbo = prepared(settings, market(folder / "market", PACED_RECORDS))
    context = mp.get_context("spawn")
    ready, listening, done = context.Event(), context.Event(), context.Event()
    said = context.Queue()
    closed: dict[tuple[str, int], int] = {}
    with open_bus(settings) as bus:
        for name in (topic.TOPIC, FEATURES):
            bus.create(name, 1)
        engine = context.Process(target=stream, args=(settings, ready, done))
        listener = context.Process(target=listen, args=(settings, listening, done, said))
        engine.start()
        listener.start()
        ready.wait()
        listening.wait()
        time.sleep(2)
        for path in mbo:
            poster = Poster(settings, bus, path, known)
            with DbnReader(path) as reader:
                records = np.concatenate([c.records for c in reader.chunks()])
            live = records["flags"] & 32 == 0
            poster.piece(records[~live])
            began, sent, records = time.monotonic(), 0, records[live]
            while sent < len(records):
                due = int((time.monotonic() - began) * PACE)
                if due > sent:
                    poster.piece(records[sent:due])
                    sent = due
                time.sleep(PIECE_S)
            closed |= poster.closed
        done.set()
        seen = said.get()
        listener.join()
        engine.join()
    found: dict[str, list[float]] = {"series": [], "vector": []}
    for kind, contract, end, at in seen:
        given = closed.get((contract, end))
        if given is not None:
            found[kind].append((at - given) / 1e6)
    return {
        kind: {"n": len(ms), **{f"p{q}": float(np.percentile(ms, q)) for q in (50, 99)}}
        for kind, ms in found.items()
        if ms
    }


def section(millions: int = MILLIONS) -> str:
    """What `docs/benchmarks.md` says of the live way."""
    with tempfile.TemporaryDirectory() as folder:
        fast = throughput(Path(folder), millions)
    with tempfile.TemporaryDirectory() as folder:
        slow = latency(Path(folder))
    feed = figures()
    rows = [
        ("gateway -> client -> ingestor -> bus -> readable, 2 M records", "300,000/s",
         f"{feed['per_s']:,.0f}/s ({feed['client_per_s']:,.0f}/s from the client)"),
        (f"arrival -> readable in the topic, {PACE:,} records/s", "",
         f"p50 {feed['p50']:.1f} ms, p99 {feed['p99']:.1f} ms"),
        (f"topic -> engine, all tables written, {fast['records'] / 1e6:.1f} M records",
         "1,000,000/s", f"{fast['per_s']:,.0f}/s, {fast['cpu_us']:.2f} us of CPU a record, "
         f"peak {fast['peak_mb']:.0f} MB"),
    ]  # fmt: skip
    for kind, ms in slow.items():
        what = f"closing record to the bus -> {kind} readable, {PACE:,} records/s, {ms['n']:,}"
        told = f"p50 {ms['p50']:.1f} ms, p99 {ms['p99']:.1f} ms"
        rows.append((what, "p50 10, p99 50 ms", told))
    table = "\n".join(f"| {what} | {goal} | {told} |" for what, goal, told in rows)
    return (
        f"{HEADING}\n\nEvery process of a line shares the machine's cores, the load's generator "
        f"and the reader too.\n\n| what | goal | |\n|---|---|---|\n{table}\n"
    )


def write() -> None:
    """Put the section at the end of docs/benchmarks.md, in the place of an older one."""
    text = DOCS.read_text().partition(HEADING)[0].rstrip()
    DOCS.write_text(f"{text}\n\n{section()}")


if __name__ == "__main__":
    warm_up()
    write() if "--write" in sys.argv else print(section())
