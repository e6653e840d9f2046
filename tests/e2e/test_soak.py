"""A run that is killed anywhere, again and again, ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from spymaster.lake.diff import diff
from tests.e2e.runner import Ended, Runner, lease, loose
from tests.e2e.scenes import SHORT, counts, market, short

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("SPYMASTER_SOAK_SEED", "20240109"))
FAULTS = int(os.environ.get("SPYMASTER_SOAK", "14"))
#: Every so manieth case is killed at work with two jobs, which take several times as long.
PARALLEL = 6
#: Where a process dies. The first ones are met by every kind of run.
POINTS = (
    "uniform", "landing", "row-group", "parquet-close", "commit-inside", "commit-staged",
    "commit-before", "commit-after", "between-tables", "manifest-after-rows", "manifest-add",
    "swap-before", "swap-after",
)  # fmt: skip
#: Points that a worker meets as well; it counts for itself.
IN_WORKERS = ("row-group", "parquet-close")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("said"))
    yield runner
    runner.close()


class Soak:
    """The market, what an undisturbed run makes of it, and how long that takes."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        self.runner, self.folder = runner, folder
        self.files = market(
            folder / "market", sessions=2, events=2_000, windows=SHORT, first=date(2024, 1, 9),
            contracts=1,
        )  # fmt: skip
        self.config = folder / "spymaster.toml"
        self.config.write_text(short(folder / "nowhere").to_toml())
        self.calm, self.seconds = folder / "calm", {}
        for jobs, root in ((1, self.calm), (2, folder / "calm-2")):
            started = time.perf_counter()
            done = self.run(root, jobs, counts=str(folder / f"counts-{jobs}.json"))
            self.seconds[jobs] = time.perf_counter() - started
            assert done.code == 0, done.said
        self.counts: dict[str, int] = json.loads((folder / "counts-1.json").read_text())
        assert counts(self.calm)["gold.setup_vectors"] > 0
        self.equal(folder / "calm-2")

    def command(self, root: Path, jobs: int) -> list[str | Path]:
        return ["hist", "run", "--config", self.config, "--root", root, "--jobs", str(jobs),
                *self.files]  # fmt: skip

    def run(self, root: Path, jobs: int, **more: Any) -> Ended:
        return self.runner.run(*self.command(root, jobs), **more)

    def equal(self, root: Path) -> None:
        found = diff(self.calm, root)
        assert found.equal, str(found)
        assert found.rows["bronze.mbo"][0] > 0


@pytest.fixture(scope="module")
def soak(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Soak:
    return Soak(runner, tmp_path_factory.mktemp("soak"))


def kill_after(soak: Soak, root: Path, jobs: int, seconds: float) -> bool:
    """Kill the whole group at this time; whether it was still at work."""
    pid = soak.runner.start(*soak.command(root, jobs))
    timer = threading.Timer(seconds, lambda: os.killpg(pid, signal.SIGKILL))
    timer.start()
    done = soak.runner.wait()
    timer.cancel()
    timer.join()
    assert done.code in (0, -signal.SIGKILL), done.said
    return done.code != 0


def kill_at(soak: Soak, root: Path, jobs: int, point: str, rng: random.Random) -> bool:
    """Kill at one of the times that the run comes to this point; whether it was hit."""
    mark = root.with_suffix(".mark")
    mark.unlink(missing_ok=True)
    if point == "sweep-before":
        total = 1
    else:
        # Two are counted only where they are asked for; each is met once per commit.
        total = soak.counts.get(point, soak.counts["commit-before"])
    if jobs > 1 and point in IN_WORKERS:
        total = max(1, total // 4)
    fault = {
        "point": point,
        "nth": rng.randint(1, total),
        "mark": str(mark),
        "after": rng.uniform(1e-5, 4e-3),
    }
    done = soak.run(root, jobs, fault=fault)
    dead = (-signal.SIGKILL, -signal.SIGALRM)
    assert done.code in (0, *dead), (fault, done.said)
    assert mark.exists() == (done.code in dead), fault
    return mark.exists()


def disturb(soak: Soak, root: Path, jobs: int, point: str, rng: random.Random) -> bool:
    if point == "uniform":
        return kill_after(soak, root, jobs, rng.uniform(0.0, soak.seconds[jobs]))
    return kill_at(soak, root, jobs, point, rng)


def test_run_killed_anywhere_again_and_again_ends_as_if_nothing_had_happened(soak: Soak) -> None:
    print("seed", SEED, "faults", FAULTS, "seconds undisturbed", soak.seconds, soak.counts)
    rng = random.Random(SEED)
    hit: Counter[str] = Counter()
    staged = parallel = 0
    case = 0
    began = time.perf_counter()
    wanted = {*POINTS, "sweep-before"}
    while hit.total() < FAULTS or any(not hit[p] for p in wanted) or not parallel:
        assert case < 4 * FAULTS + 40, hit
        root, jobs = soak.folder / f"case-{case}", 2 if case % PARALLEL == PARALLEL - 1 else 1
        point = POINTS[case % len(POINTS)]
        case += 1
        died = disturb(soak, root, jobs, point, rng)
        hit[point] += died
        staged += any("#" in name for name in loose(root)) and point == "commit-inside"
        fence = lease(root).get("fence", 0)
        for n in range(rng.choice((0, 0, 1, 2))):
            # The run that mends is killed as well, at times while it tidies up.
            again = "sweep-before" if n == 0 and died else "uniform"
            hit[again] += disturb(soak, root, 1, again, rng)
        done = soak.run(root, 1)
        assert done.code == 0, (point, done.said)
        soak.equal(root)
        assert loose(root) == [], (point, jobs)
        now = lease(root)
        assert now["fence"] > fence, point
        assert now["ended"] is not None
        assert now["unfinished"] == []
        parallel += died and jobs > 1
        print(f"case {case} {point} jobs {jobs}: {hit.total()} faults", flush=True)
        shutil.rmtree(root)
    print(
        f"{hit.total()} faults in {case} cases, {time.perf_counter() - began:.0f} s:",
        dict(hit.most_common()), f"{staged} with delta-rs' temporary file left,",
        parallel, "with two jobs",
    )  # fmt: skip
    assert all(hit[point] > 0 for point in wanted)
    assert parallel > 0
