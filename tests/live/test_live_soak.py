"""A stream that is killed anywhere, again and again, ends as if nothing had happened."""

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

import pytest

from spymaster.bus import open_bus
from spymaster.contracts import TABLES as CONTRACTS
from spymaster.contracts.kql import identity
from spymaster.contracts.stream import TABLES
from spymaster.engines.stream.features import KINDS, TOPIC
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.e2e.runner import Ended, Runner, loose
from tests.e2e.scenes import SHORT, market, short
from tests.live.posting import post

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("SPYMASTER_SOAK_SEED", "20240109"))
FAULTS = int(os.environ.get("SPYMASTER_SOAK", "18"))
POINTS = (
    "uniform", "intent-before", "intent-after", "epoch-before", "epoch-after", "state-before",
    "state-write", "state-after", "bus-before", "bus-after", "commit-before", "commit-inside",
    "commit-staged", "commit-after", "parquet-close", "session-opens", "session-ends",
    "tidy-before", "tidy-after",
)  # fmt: skip


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("said"))
    yield runner
    runner.close()


#: Kind of message -> its table.
SENT = {kind: table for table, kind in KINDS.items()}


class Soak:
    """A root whose topic holds a market, and what an undisturbed stream makes of it."""

    def __init__(self, runner: Runner, folder: Path) -> None:
        self.runner, self.folder = runner, folder
        files = market(
            folder / "market", sessions=2, events=2_000, windows=SHORT, first=date(2024, 1, 9),
            contracts=1,
        )  # fmt: skip
        self.fed = folder / "fed"
        settings = short(self.fed)
        with open_bus(settings) as bus:
            post(bus, settings, files, 20)
        self.config = folder / "spymaster.toml"
        self.config.write_text(settings.to_toml())
        self.calm = self.root("calm")
        told = folder / "counts.json"
        began = time.perf_counter()
        done = self.run(self.calm, counts=str(told))
        self.seconds = time.perf_counter() - began
        assert done.code == 0, done.said
        self.counts: dict[str, int] = json.loads(told.read_text())
        assert Lake(self.calm).count("gold.setup_vectors_stream") > 0
        assert Lake(self.calm).count("lineage_stream") >= 2

    def root(self, name: str) -> Path:
        shutil.copytree(self.fed, self.folder / name)
        return self.folder / name

    def command(self, root: Path) -> list[str | Path]:
        return ["live", "--config", self.config, "--root", root, "--quiet", "0.4",
                "--commit", "0.1", "--intent", "100"]  # fmt: skip

    def run(self, root: Path, **more: object) -> Ended:
        return self.runner.run(*self.command(root), **more)

    def equal(self, root: Path) -> None:
        for table in TABLES:
            if table.facts:
                found = diff(self.calm, root, table.name)
                assert found.equal, str(found)
        marks = "bronze.stream"
        assert Lake(root).count(marks) == Lake(self.calm).count(marks)
        assert published(root) == published(self.calm)
        ended = "lineage_stream"
        assert Lake(root).count(ended) == Lake(self.calm).count(ended)


def published(root: Path) -> dict[str, str]:
    """What lies in features_gold, by identity: a message may lie there twice, but the same."""
    found: dict[str, str] = {}
    with open_bus(Settings.model_validate({"root": str(root)})) as bus:
        ends = bus.ends(TOPIC)
        with bus.reader(TOPIC, dict.fromkeys(ends, 0)) as reader:
            at = dict.fromkeys(ends, 0)
            while at != ends:
                for m in reader.poll():
                    at[m.partition] = m.offset + 1
                    row = json.loads(m.value)
                    row.pop("data_version", None)
                    kind = m.headers["kind"]
                    name = [row[c] for c in identity(CONTRACTS[SENT[kind]])]
                    text = json.dumps(row, sort_keys=True)
                    assert found.setdefault(f"{kind} {name}", text) == text
    assert {kind.split()[0] for kind in found} == set(SENT)
    return found


@pytest.fixture(scope="module")
def soak(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Soak:
    return Soak(runner, tmp_path_factory.mktemp("soak"))


def killed(soak: Soak, root: Path, point: str, rng: random.Random) -> bool:
    """Run once more and kill it; whether it was hit before its end."""
    if point == "uniform":
        pid = soak.runner.start(*soak.command(root))
        after = rng.uniform(0.0, soak.seconds)
        timer = threading.Timer(after, lambda: os.killpg(pid, signal.SIGKILL))
        timer.start()
        done = soak.runner.wait()
        timer.cancel()
        timer.join()
        assert done.code in (0, -signal.SIGKILL), done.said
        return done.code != 0
    mark = root.with_suffix(".mark")
    mark.unlink(missing_ok=True)
    total = soak.counts.get(point, soak.counts["commit-before"])
    fault = {
        "point": point,
        "nth": rng.randint(1, total),
        "mark": str(mark),
        "after": rng.uniform(1e-5, 4e-3),
    }
    done = soak.run(root, fault=fault)
    dead = (-signal.SIGKILL, -signal.SIGALRM)
    assert done.code in (0, *dead), (fault, done.said)
    assert mark.exists() == (done.code in dead), fault
    return mark.exists()


def test_stream_killed_anywhere_again_and_again_ends_as_if_nothing_had_happened(
    soak: Soak,
) -> None:
    print("seed", SEED, "faults", FAULTS, f"{soak.seconds:.1f} s undisturbed", soak.counts)
    rng = random.Random(SEED)
    hit: Counter[str] = Counter()
    case = 0
    began = time.perf_counter()
    while hit.total() < FAULTS or any(not hit[p] for p in POINTS):
        assert case < 3 * FAULTS + 60, hit
        root = soak.root(f"case-{case}")
        first = POINTS[case % len(POINTS)]
        points = [first, *rng.choices(POINTS, k=rng.randint(0, 2))]
        for point in points:
            hit[point] += killed(soak, root, point, rng)
        done = soak.run(root)
        assert done.code == 0, done.said
        soak.equal(root)
        assert loose(root) == []
        shutil.rmtree(root)
        case += 1
    print(f"{hit.total()} faults in {case} cases, {time.perf_counter() - began:.0f} s: {dict(hit)}")
