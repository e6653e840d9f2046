"""Speed and memory of history, side by side in one run; `make bench` writes docs/benchmarks.md.

Records decoded are counted; compile time is told apart; every run of the whole way is a fresh
process with a lake of its own. Give sizes (millions of records) to measure others than the
default: `python -m bench.history 1 5`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import databento

from bench.groups import groups_table
from bench.kernel import busiest, contracts_table, kernel_lines
from bench.machine import Line, table, timed, whole_way
from spymaster.engines.warm import warm_up
from spymaster.feed.dbn import DbnReader
from spymaster.feed.market_statistics import market_statistics, statistics_table
from spymaster.feed.simulator import SimulationConfig, simulate
from spymaster.lake.lineage import machine

HOME = Path(__file__).parents[1]
DOCS = HOME / "docs" / "benchmarks.md"
PEERS = HOME / ".venv-peers"
#: The peers' releases, in an environment of their own.
PEER_PACKAGES = ("nautilus_trader==1.221.0", "hftbacktest==2.4.2", "databento==0.87.0", "numba",
                 "polars", "pyarrow")  # fmt: skip
SIZES = (1, 5, 20, 60)


def real_files() -> list[Path]:
    """The vendor's evening, where it is."""
    folder = Path(os.environ.get("SPYMASTER_TEST_DATA", HOME.parent / "shared" / "data"))
    return sorted((folder / "es-mbo").glob("*20231225.mbo.dbn.zst"))


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


def peer_environment() -> Path:
    """The peers' Python; made once."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "-q", str(PEERS), "--python", sys.executable], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *PEER_PACKAGES],
                       check=True)  # fmt: skip
    return python


def peers(file: Path, symbol: str) -> list[Line]:
    """What others need for the records of one file."""
    python, records, lines = peer_environment(), decode([file]), []
    for name, what in (
        ("nautilus", "nautilus_trader {}: DBN loader, L3 book"),
        ("hftbacktest", "hftbacktest {}: conversion, no book"),
    ):
        done = subprocess.run(
            [str(python), str(HOME / "bench" / "peers.py"), name, str(file), f"{symbol}.GLBX",
             symbol],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        label = what.format(told["version"])
        lines.append(Line(label, records, told["seconds"], peak=told["peak_mb"]))
    return lines


def mbo(files: list[Path]) -> list[Path]:
    return [p for p in files if ".mbo." in p.name]


@cache
def market(folder: Path, millions: int) -> list[Path]:
    """A simulated day of ES, front month alone, of about so many million records."""
    config = SimulationConfig(
        sessions=1, contracts=1, events_per_session=millions * 1_000_000, seed=millions
    )
    return simulate(config, folder / f"market-{millions}").files


def main() -> None:
    """Measure and write the tables."""
    sizes = tuple(int(a) for a in sys.argv[1:]) or SIZES
    middle = 20 if 20 in sizes else max(sizes)
    with tempfile.TemporaryDirectory(dir=os.environ.get("SPYMASTER_BENCH_DIR")) as text:
        folder = Path(text)
        compile_seconds = warm_up()
        sections = [_peers_section(folder, min(sizes)), _way_section(folder, sizes, middle)]
        sections.append(_kernel_section(folder, middle))
        sections.append(
            "## The simulated day beside the real evening\n\n" + _statistics(folder, middle)
        )
    DOCS.write_text(
        "# Benchmarks\n\nWritten by `make bench`; one run, side by side. Rates are millions of "
        "records decoded a second; ratios matter more than times.\n\n"
        f"Machine: `{machine()}`, {os.cpu_count()} cores. Compiling the kernel took "
        f"{compile_seconds:.1f} s in this run (kept on disk after the first), and is in no "
        "figure.\n\n" + "\n".join(sections)
    )
    print(DOCS.read_text())


def _statistics(folder: Path, size: int) -> str:
    columns = {"real evening": market_statistics(real_files())} if real_files() else {}
    columns[f"simulated day, {size} million"] = market_statistics(mbo(market(folder, size)))
    return statistics_table(columns)


def _peers_section(folder: Path, size: int) -> str:
    files = mbo(market(folder, size))
    lines = [
        timed("decoding alone (spymaster)", lambda: decode(files)),
        timed("databento `to_ndarray`", lambda: to_ndarray(files)),
        timed("databento `to_df`", lambda: to_df(files), 1),
        *peers(files[-1], "ESH4"),
        whole_way("spymaster: `.dbn.zst` to gold, all layers", files, folder / "peers")[0],
    ]
    return f"## Beside others: a simulated day of {size} million records\n\n" + table(
        lines, lines[0].rate
    )


def _way_section(folder: Path, sizes: tuple[int, ...], middle: int) -> str:
    lines, stored = [], ""
    for size in sizes:
        files = market(folder, size)
        root = folder / f"lake-{size}"
        line, told = whole_way(f"{size} million", files, root)
        lines.append(line)
        source = sum(p.stat().st_size for p in mbo(files))
        kept = sum(p.stat().st_size for p in (root / "lake/bronze/mbo").rglob("*.parquet"))
        stored += (
            f"- {size} million: bronze.mbo takes {kept / source:.2f} of the `.dbn.zst` files' "
            f"bytes ({kept / told['records']:.1f} B a record); {line.cpu:.1f} s of CPU, "
            f"{line.cpu / line.records * 1e6:.2f} s a million\n"
        )
    floor = timed("", lambda: decode(mbo(market(folder, middle))), 1).rate
    return (
        "## `.dbn.zst` to gold, all Delta layers written, by the length of the day\n\n"
        + table(lines, floor)
        + "\n"
        + stored
    )


def _kernel_section(folder: Path, middle: int) -> str:
    simulated, step = busiest(mbo(market(folder, middle)))
    real, real_step = busiest(real_files())
    lines = kernel_lines(simulated, step, f"simulated day, {middle} million")
    lines += kernel_lines(real, real_step, "real evening") if len(real) else []
    return (
        "## The kernel: book and bars of all features, one thread\n\n"
        + table(lines, lines[0].rate, "the first")
        + "\n## Many contracts in one loop, the same total of records\n\n"
        + contracts_table(simulated, step)
        + "\n## What each group of features costs\n\n"
        + groups_table(mbo(market(folder, middle)))
    )


if __name__ == "__main__":
    main()
