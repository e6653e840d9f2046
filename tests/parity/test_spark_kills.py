"""A Spark driver that dies by SIGKILL leaves nothing half-shown, and the same command mends it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path

import pytest

from spymaster.engines.session_run import TABLES
from spymaster.engines.spark.session import JARS
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.lake.lineage import complete
from spymaster.lake.visible import visible
from tests.e2e.runner import HOME, environment, loose
from tests.e2e.scenes import SHORT, counts, market, rows, run, short
from tests.jars import jars

pytestmark = pytest.mark.slow

Seen = dict[tuple[str, str], int]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("market")
    first = date(2024, 1, 9)
    return market(out, sessions=1, events=4_000, windows=SHORT, first=first, contracts=1)


@pytest.fixture(scope="module")
def calm(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local run that nothing disturbed."""
    root = tmp_path_factory.mktemp("calm")
    run(short(root), files)
    assert len(complete(Lake(root))) == 2
    assert counts(root)["gold.training_view"] > 0
    return root


def seen(root: Path) -> Seen:
    """Rows that readers may see, by table and session."""
    found: Seen = defaultdict(int)
    lake = Lake(root)
    for name in (n for layer in TABLES.values() for n in layer):
        if lake.exists(name):
            dates = lake.scan(name, ["session_date"], visible(lake, name))["session_date"]
            for d in dates.to_pylist():
                found[name, str(d)] += 1
    return found


def jobs(point: str, root: Path, files: list[Path], calm: Path) -> tuple[int, str]:
    """The jobs, killed at a point: the return code, and what they said. Then nothing is half."""
    config = root / "spymaster.toml"
    config.write_text(short(root).to_toml())
    local = root.parent / "spark-local"
    folder = str(jars(Path(__file__).with_name("pom.xml"), "Spark", "spark-delta"))
    more = {JARS: folder, "SPARK_LOCAL_DIRS": str(local)}
    given = [sys.executable, "-m", "tests.parity.killed", point, str(config), str(root)]
    done = subprocess.run(
        [*given, *map(str, files)],
        cwd=HOME, env=environment(**more), capture_output=True, text=True, check=False,
        start_new_session=True,
    )  # fmt: skip
    whole, now = seen(calm), seen(root)
    for layer, names in TABLES.items():
        for day in {d for _, d in whole}:
            shown = {n: now[n, day] for n in names if whole[n, day]}
            right = {n: whole[n, day] for n in shown}
            assert shown in (right, dict.fromkeys(shown, 0)), (point, layer, day)
    print(point, "code", done.returncode, "files that no commit names:", len(loose(root)))
    return done.returncode, done.stdout + done.stderr


def finished_locally(root: Path, copy: Path, files: list[Path], calm: Path) -> None:
    """The local engine mends a copy of the root, too."""
    shutil.copytree(root, copy)
    run(short(copy), files)
    assert loose(copy) == []
    found = diff(calm, copy)
    assert found.equal, str(found)


def test_driver_killed_again_and_again_leaves_what_an_undisturbed_run_leaves(
    files: list[Path], calm: Path, tmp_path: Path
) -> None:
    """The same command each time: killed in bronze, between tables, before sessions are shown."""
    root = tmp_path / "root"
    root.mkdir()
    seed = int(os.environ.get("SPYMASTER_KILL_SEED") or random.SystemRandom().randrange(1 << 30))
    table = random.Random(seed).randint(1, 12)
    print("seed", seed, "tables", table)

    code, said = jobs("in_bronze", root, files, calm)
    assert code == -signal.SIGKILL, said
    assert loose(root), "it was killed before Spark had begun a file"
    assert not complete(Lake(root))
    finished_locally(root, tmp_path / "after-bronze", files, calm)

    code, said = jobs(f"between_tables:{table}", root, files, calm)
    assert code == -signal.SIGKILL, said
    assert {r["status"] for r in rows(root, "lineage")} == {"started"}
    finished_locally(root, tmp_path / "after-tables", files, calm)

    code, said = jobs("between_lineage_rows", root, files, calm)
    assert code == -signal.SIGKILL, said
    assert rows(root, "gold.training_view")  # committed
    assert not seen(root)  # and not shown
    finished_locally(root, tmp_path / "after-gold", files, calm)

    code, said = jobs("none", root, files, calm)
    assert code == 0, said
    assert loose(root) == []
    found = diff(calm, root)
    print(found)
    assert found.equal, str(found)
