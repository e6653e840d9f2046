"""Speed of history, side by side in one run: decoding alone, the kernel, the whole way, a peer.

`make bench` writes docs/benchmarks.md. Records decoded are counted; compile time is apart.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import databento
import numpy as np

from spymaster.contracts import TABLES
from spymaster.contracts.event import EVENT
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.engines.local import LocalEngine
from spymaster.engines.source import DbnSource
from spymaster.engines.warm import warm_up
from spymaster.feed.dbn import DbnReader
from spymaster.feed.simulator import SimulationConfig, simulate
from spymaster.kernel.contract_book import BookParams, ContractBook
from spymaster.lake.lineage import machine
from spymaster.lake.manifest import Manifest
from spymaster.settings import Settings

EVENTS = 3_000_000
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass
class Line:
    """One measured thing."""

    what: str
    records: int
    seconds: float

    def markdown(self, floor: float) -> str:
        rate = self.records / self.seconds / 1e6
        share = rate / floor
        return f"| {self.what} | {self.records:,} | {self.seconds:.2f} | {rate:.2f} | {share:.2f} |"


def timed(what: str, work: Callable[[], int], repeat: int = 3) -> Line:
    """The best of some runs; `work` returns how many records it saw."""
    best, records = float("inf"), 0
    for _ in range(repeat):
        started = time.perf_counter()
        records = work()
        best = min(best, time.perf_counter() - started)
    return Line(what, records, best)


def decode(files: list[Path]) -> int:
    """Our reader alone."""
    total = 0
    for path in files:
        with DbnReader(path) as reader:
            total += sum(len(c.records) for c in reader.chunks())
    return total


def to_ndarray(files: list[Path]) -> int:
    """Databento's own decoding."""
    return sum(len(databento.DBNStore.from_bytes(p.read_bytes()).to_ndarray()) for p in files)


def to_df(files: list[Path]) -> int:
    """Databento's records as pandas."""
    return sum(len(databento.DBNStore.from_bytes(p.read_bytes()).to_df()) for p in files)


def events_of(root: Path, files: list[Path]) -> tuple[Settings, list[tuple[Any, Any]]]:
    """The kernel's events of landed files, contract by contract."""
    settings = Settings.load(root=str(root))
    engine = LocalEngine(settings)
    engine.land(files)
    source = DbnSource(engine.lake, settings, engine._defined(), 250_000)
    chunks: list[tuple[Any, Any]] = []
    for row in Manifest(engine.lake).rows().values():
        if row["schema"] == "mbo":
            chunks += source.events(row, time.time_ns)
    return settings, chunks


def kernel(chunks: list[tuple[Any, Any]]) -> Callable[[], int]:
    """Book and bars of the busiest contract, all delivered features, one thread."""
    dtype = numpy_dtype(TABLES["silver.bar_5s"])
    busy = (
        np.concatenate([e[e["contract"] == 0] for _, e in chunks]) if chunks else np.zeros(0, EVENT)
    )
    instrument = chunks[0][0][0]
    first, last = int(busy["ts_recv"][0]), int(busy["ts_recv"][-1])
    params = BookParams(
        int(instrument.price_step), 1, first - 10**9, (first, last), [(first, last)], dense=True
    )

    def work() -> int:
        book = ContractBook(params, dtype)
        for at in range(0, len(busy), 250_000):
            book.advance(busy[at : at + 250_000])
        book.close(last)
        return len(busy)

    return work


def whole_way(files: list[Path], folder: Path) -> Line:
    """`.dbn.zst` to gold with all Delta layers, in a fresh process with its own peak memory."""
    code = (
        "import sys,time,resource\nfrom pathlib import Path\n"
        "from spymaster.settings import Settings\nfrom spymaster.engines.local import LocalEngine\n"
        "from spymaster.engines.warm import warm_up\nwarm_up()\n"
        "files=[Path(p) for p in sys.argv[2:]]\nt=time.perf_counter()\n"
        "r=LocalEngine(Settings.load(root=sys.argv[1])).run(files)\n"
        "s=time.perf_counter()-t\n"
        "print(r.records,s,resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), *map(str, files)],
        check=True,
        capture_output=True,
        text=True,
    )
    records, seconds, peak = done.stdout.split()
    return Line(
        f"`.dbn.zst` to gold, all layers, peak {int(peak) / 1024:.0f} MB",
        int(records),
        float(seconds),
    )


def main() -> None:
    """Measure and write the table."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        print("simulating", flush=True)
        made = simulate(SimulationConfig(sessions=1, events_per_session=EVENTS), folder / "market")
        mbo = [p for p in made.files if ".mbo." in p.name]
        compile_seconds = warm_up()
        _, chunks = events_of(folder / "a", made.files)
        lines = [
            timed("decoding alone (spymaster)", lambda: decode(mbo)),
            timed("databento `to_ndarray`", lambda: to_ndarray(mbo)),
            timed("databento `to_df`", lambda: to_df(mbo), 1),
            timed("kernel: book and bars, one thread", kernel(chunks)),
            whole_way(made.files, folder / "b"),
        ]
        stored = sum(p.stat().st_size for p in (folder / "b/lake/bronze/mbo").rglob("*.parquet"))
        source = sum(p.stat().st_size for p in mbo)
    floor = lines[0].records / lines[0].seconds / 1e6
    body = "\n".join(line.markdown(floor) for line in lines)
    DOCS.write_text(
        "# Benchmarks\n\nWritten by `make bench`; one run, side by side. Rates are millions of "
        "records a second; ratios matter more than times.\n\n"
        f"Machine: `{machine()}`\n\n"
        f"Input: one simulated session of ES, two contracts, {lines[0].records:,} MBO records.\n\n"
        "| what | records | seconds | million/s | of decoding alone |\n|---|---:|---:|---:|---:|\n"
        f"{body}\n\n"
        f"bronze.mbo takes {stored / source:.2f} of the `.dbn.zst` files' bytes "
        f"({stored / lines[0].records:.1f} B a record). Compiling the kernel took "
        f"{compile_seconds:.1f} s in this run (kept on disk after the first).\n"
    )
    print(DOCS.read_text())


if __name__ == "__main__":
    main()
