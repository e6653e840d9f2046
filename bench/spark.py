"""Spark on two cores beside the local engine: the same files, step against step, in one run.

    python -m bench.spark [--write] [--short]

Every engine and size has a process and a root of its own. Spark's start is told apart; the kernel
is compiled before, but each of its Python workers loads it inside the measured time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.memory import Watched
from bench.serving import LIVE
from spymaster.engines.local import LocalEngine
from spymaster.engines.spark.session import JARS, open_session
from spymaster.engines.warm import warm_up
from spymaster.feed.simulator import SimulationConfig, simulate
from spymaster.lake import Lake
from spymaster.settings import Settings
from tests.jars import jars

HOME = Path(__file__).parents[1]
DOCS = HOME / "docs" / "benchmarks.md"
HEADING = "## Spark beside the local engine"
#: Millions of events, over two sessions of one future.
SIZES = (1.0, 4.0, 10.0, 40.0)
SHORT = (0.2, 1.0)
STEPS = {"bronze": "DBN to bronze", "sessions": "bronze to gold"}
GOALS = {"bronze": 0.25, "sessions": 0.40}
_MB = 1e6

Told = dict[str, Any]


def market(folder: Path, millions: float) -> list[Path]:
    """Two simulated sessions of ES, front month alone."""
    config = SimulationConfig(
        sessions=2, contracts=1, events_per_session=int(millions * 500_000), seed=7
    )
    return simulate(config, folder).files


def local(settings: Settings, files: list[Path]) -> Told:
    """The local engine, one process."""
    return _steps(lambda: LocalEngine(settings), files)


def spark(settings: Settings, files: list[Path]) -> Told:
    """Spark on two cores of this machine; also what it moved and how many jobs it took."""
    os.environ[JARS] = str(jars(HOME / "tests/parity/pom.xml", "Spark", "spark-delta"))
    started = time.perf_counter()
    session = open_session({"spark.master": "local[2]", "spark.driver.memory": "4g"})
    session.range(1).count()
    start = time.perf_counter() - started
    from spymaster.engines.spark.engine import SparkEngine

    told = _steps(lambda: SparkEngine(session, settings), files)
    context = session.sparkContext
    executor = context._jsc.sc().statusStore().executorList(True).head()
    told |= {
        "start": start,
        "jobs": len(context.statusTracker().getJobIdsForGroup(None)),
        "shuffled_mb": executor.totalShuffleWrite() / _MB,
        "task_s": executor.totalDuration() / 1e3,
    }
    session.stop()
    return told


def _steps(engine: Callable[[], LocalEngine], files: list[Path]) -> Told:
    started = time.perf_counter()
    with Watched() as first:
        report = engine().bronze(files)
    bronze = time.perf_counter() - started
    started = time.perf_counter()
    with Watched() as second:
        made = engine().run((), from_bronze=True)
    sessions = time.perf_counter() - started
    failed = [*report.failed, *made.failed]
    assert not failed, failed
    assert len(made.sessions) == 2, made.sessions
    peaks = {kind: max(mb, second.peaks[kind]) for kind, mb in first.peaks.items()}
    cpu = {"bronze_cpu": first.cpu, "sessions_cpu": second.cpu}
    took = {"bronze": bronze, "sessions": sessions}
    return {"records": report.records, **took, **cpu, **peaks}


def measured(engine: str, files: list[Path], root: Path) -> Told:
    """One engine's account of these files, in a process of its own."""
    given = [sys.executable, "-m", "bench.spark", "--child", engine, str(root), *map(str, files)]
    done = subprocess.run(given, cwd=HOME, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    told = dict(json.loads(done.stdout.splitlines()[-1]))
    lake = Lake(root)
    for layer in ("bronze", "silver", "gold"):
        files_of = (root / "lake" / layer).rglob("*.parquet")
        told[f"{layer}_mb"] = sum(p.stat().st_size for p in files_of) / _MB
    told["vectors"] = lake.count("gold.setup_vectors")
    return told


def section(sizes: tuple[float, ...]) -> str:
    """What `docs/benchmarks.md` says of Spark."""
    speed, memory, cost, ratios = [], [], [], []
    with tempfile.TemporaryDirectory(dir=os.environ.get("SPYMASTER_BENCH_DIR")) as text:
        for millions in sizes:
            folder = Path(text) / f"{millions:g}"
            files = market(folder / "market", millions)
            one = measured("local", files, folder / "local")
            other = measured("spark", files, folder / "spark")
            assert one["records"] == other["records"]
            assert one["vectors"] == other["vectors"]
            of = {step: one[step] / other[step] for step in STEPS}
            ratios.append(of)
            n = one["records"] / 1e6
            speed += [
                f"| {n:.1f} | {what} | {one[step]:.1f} | {other[step]:.1f} | "
                f"{n / one[step]:.2f} | {n / other[step]:.2f} | {of[step]:.2f} | "
                f"{one[step + '_cpu'] / other[step + '_cpu']:.2f} |"
                for step, what in STEPS.items()
            ]
            memory.append(
                f"| {n:.1f} | {one['self']:.0f} | {other['self']:.0f} | {other['java']:.0f} | "
                f"{other['python']:.0f} |"
            )
            cost.append(
                f"| {n:.1f} | {other['start']:.1f} | {other['jobs']} | "
                f"{other['task_s'] / n:.1f} | {other['shuffled_mb'] / n:.1f} | "
                f"{other['bronze_mb'] / n:.1f} | "
                f"{(other['silver_mb'] + other['gold_mb']) / n:.1f} |"
            )
    goals = ", ".join(f"{what}: {GOALS[step]:.2f}" for step, what in STEPS.items())
    last = ", ".join(f"{what}: {ratios[-1][step]:.2f}" for step, what in STEPS.items())
    return (
        f"{HEADING}\n\n`local[2]` beside the local engine (one process), two sessions of one "
        f"future, machine of {os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}. "
        f"Spark's share of the local engine's speed at the largest size: {last}. Goals: {goals}."
        "\n\n| million events | step | local, s | Spark, s | local, million/s | Spark, million/s | "
        "share | share by CPU |\n|---:|---|---:|---:|---:|---:|---:|---:|\n" + "\n".join(speed) +
        "\n\nPeak memory, MB; of Spark's Python workers the largest.\n\n"
        "| million events | local engine | Spark's driver in Python | JVM | Python worker |\n"
        "|---:|---:|---:|---:|---:|\n" + "\n".join(memory) +
        "\n\nWhat Spark spent; per million events.\n\n"
        "| million events | start, s | jobs | task, s | shuffled, MB | bronze, MB | "
        "silver and gold, MB |\n|---:|---:|---:|---:|---:|---:|---:|\n" + "\n".join(cost) + "\n"
    )  # fmt: skip


def write(text: str) -> None:
    """Put the section into docs/benchmarks.md before that of `bench.live`, which is the last."""
    whole = DOCS.read_text()
    if HEADING in whole:
        before, _, rest = whole.partition(HEADING)
        whole = before + rest[rest.index("\n## ") + 1 :]
    before, live, after = whole.partition(LIVE)
    DOCS.write_text(f"{before.rstrip()}\n\n{text}\n{live}{after}")


def main() -> None:
    """Measure; print, or write into the docs."""
    if sys.argv[1:2] == ["--child"]:
        engine, root, *files = sys.argv[2:]
        warm_up()
        settings = Settings.load(root=root)
        done = {"local": local, "spark": spark}[engine](settings, [Path(f) for f in files])
        print(json.dumps(done))
        return
    found = section(SHORT if "--short" in sys.argv else SIZES)
    write(found) if "--write" in sys.argv else print(found)


if __name__ == "__main__":
    main()
