"""Several sessions at a time make the rows of one after the other, whatever dies on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spymaster.engines.local import LocalEngine
from spymaster.lake import Lake
from spymaster.lake.lineage import complete
from tests.e2e.runner import Runner, lease, loose
from tests.e2e.scenes import SHORT, assert_equal, market, rows, run, short, two, two_venues

DEADLINE = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ES sessions whose files share a day and whose front month rolls, one session of TSLA."""
    out = tmp_path_factory.mktemp("parallel")
    two_venues(out / "m")
    (out / "spymaster.toml").write_text(two(out / "nowhere").to_toml())
    run(two(out / "serial"), sorted((out / "m").glob("*.zst")))
    return out


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("said"))
    yield runner
    runner.close()


def command(folder: Path, root: Path, jobs: int = 2) -> list[str | Path]:
    return ["hist", "run", "--jobs", str(jobs), "--config", folder / "spymaster.toml",
            "--root", root, *sorted((folder / "m").glob("*.zst"))]  # fmt: skip


def held(mark: Path) -> int:
    """Wait for a process to come to its point; its pid."""
    until = time.monotonic() + DEADLINE
    while not mark.exists() or not mark.read_text():
        assert time.monotonic() < until, "the run never came to its point"
        time.sleep(0.02)
    return int(mark.read_text())


def gone(pid: int) -> bool:
    """No process, or one that is only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def group(pgid: int) -> set[int]:
    """The live processes of a group."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) == pgid and words[0] not in "ZX":
            found.add(int(path.parent.name))
    return found


def wait_for_none(pgid: int) -> None:
    until = time.monotonic() + DEADLINE
    while group(pgid):
        assert time.monotonic() < until, f"still alive: {group(pgid)}"
        time.sleep(0.05)


def test_the_scene_has_what_could_tell_two_ways_apart(folder: Path) -> None:
    serial = folder / "serial"
    days = rows(serial, "silver.contract_day")
    assert any(r["rolled"] for r in days)
    assert {r["level_type"] for r in rows(serial, "silver.session_levels")} >= {"PD_HIGH", "PD_LOW"}
    assert {u for _, u in complete(Lake(serial))} == {"ES", "TSLA"}
    assert len(complete(Lake(serial))) >= 4
    used: dict[str, int] = {}
    for row in complete(Lake(serial), "ES").values():
        for sha in row["files"]:
            used[sha] = used.get(sha, 0) + 1
    assert max(used.values()) == 2  # a day's file of two sessions


def test_two_jobs_make_the_rows_of_one(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    report = run(two(root), sorted((folder / "m").glob("*.zst")), jobs=2)
    assert len(report.sessions) == len(complete(Lake(folder / "serial")))
    assert_equal(folder / "serial", root)
    assert loose(root) == []
    assert LocalEngine(two(root)).waiting() == []
    again = run(two(root), jobs=2)
    assert (again.sessions, len(again.current)) == ([], len(report.sessions))


def test_two_jobs_from_bronze_make_the_rows_of_one(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(folder / "serial", root)
    for layer in ("silver", "gold"):
        shutil.rmtree(root / "lake" / layer)
    report = run(two(root), from_bronze=True, jobs=2)
    assert len(report.sessions) == len(complete(Lake(root)))
    assert_equal(folder / "serial", root)


def test_killed_worker_costs_its_session_only(folder: Path, runner: Runner, tmp_path: Path) -> None:
    root = tmp_path / "root"
    # A worker dies at a Parquet file's close; its successor lives, as the mark is there by then.
    fault = {"point": "parquet-close", "nth": 2, "mark": str(tmp_path / "a.mark"), "alone": True,
             "once": True, "worker": True}  # fmt: skip
    done = runner.run(*command(folder, root), fault=fault)
    assert done.code == 1, done.said
    failed = [line for line in done.said.splitlines() if line.startswith("error:")]
    assert len(failed) == 1, done.said
    assert "its worker process died" in failed[0]
    assert "To do it again: spymaster hist run --from 2024-" in failed[0]
    assert f"--root {root}" in failed[0]
    assert len(complete(Lake(root))) == len(complete(Lake(folder / "serial"))) - 1
    assert loose(root) == []
    assert LocalEngine(two(root)).waiting() == []
    run(two(root))
    assert_equal(folder / "serial", root)


def test_killed_parent_leaves_no_worker_behind(
    folder: Path, runner: Runner, tmp_path: Path
) -> None:
    root, mark = tmp_path / "root", tmp_path / "a.mark"
    fault = {"point": "parquet-close", "nth": 2, "mark": str(mark), "hold": True, "worker": True}
    pid = runner.start(*command(folder, root), fault=fault)
    worker = held(mark)
    assert worker != pid
    assert not gone(worker)
    os.kill(pid, signal.SIGKILL)  # the parent alone
    assert runner.wait().code == -signal.SIGKILL
    wait_for_none(pid)
    assert gone(worker)
    fence = lease(root)["fence"]
    run(two(root), sorted((folder / "m").glob("*.zst")))
    assert_equal(folder / "serial", root)
    assert lease(root)["fence"] == fence + 1
    assert loose(root) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupt_ends_with_130_and_leaves_nothing_half_made(
    folder: Path, runner: Runner, tmp_path: Path, jobs: int
) -> None:
    root, mark = tmp_path / "root", tmp_path / "a.mark"
    # In a worker, or, alone, well past landing.
    nth = 2 if jobs > 1 else 20
    fault = {"point": "parquet-close", "nth": nth, "mark": str(mark), "hold": True,
             "worker": jobs > 1}  # fmt: skip
    pid = runner.start(*command(folder, root, jobs), fault=fault)
    held(mark)
    os.killpg(pid, signal.SIGINT)
    mark.with_suffix(".go").touch()
    done = runner.wait()
    assert done.code == 130, done.said
    assert "interrupted; nothing half-written counts" in done.said
    assert "Traceback" not in done.said
    wait_for_none(pid)
    assert loose(root) == []
    run(two(root), sorted((folder / "m").glob("*.zst")))
    assert_equal(folder / "serial", root)
    assert json.dumps(lease(root)["unfinished"]) == "[]"


def test_futures_and_options_by_two_jobs_are_those_of_one(tmp_path: Path) -> None:
    files = market(
        tmp_path / "m", 3, 2_000, SHORT, options=30, option_events_per_session=2_000
    )  # fmt: skip
    run(short(tmp_path / "serial"), files)
    report = run(short(tmp_path / "root"), files, jobs=2)
    assert len(report.sessions) == len(complete(Lake(tmp_path / "serial"))) == 3
    assert_equal(tmp_path / "serial", tmp_path / "root")
    kinds = {r["instrument_type"] for r in rows(tmp_path / "root", "silver.bar_5s")}
    assert kinds == {"FUT", "OPT"}
    assert len({r["contract_id"] for r in rows(tmp_path / "root", "silver.session_summary")}) > 20
