"""A run that dies at any point leaves nothing half-written behind, and the next one mends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from spymaster.engines.local import LocalEngine
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.lake.lineage import complete
from spymaster.lake.parquet import PartWriter
from tests.e2e.runner import HOME, environment
from tests.e2e.scenes import SHORT, assert_equal, counts, market, rows, run
from tests.e2e.scenes import short as configured


class Killed(BaseException):
    """The process ends here; nothing may catch it."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("market")
    return market(
        out, sessions=1, events=4_000, windows=SHORT, first=date(2024, 1, 9), contracts=1
    )[2:]


@pytest.fixture(scope="module")
def calm(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    root = tmp_path_factory.mktemp("calm")
    run(configured(root), files)
    print(counts(root))
    assert counts(root)["gold.training_view"] > 0
    return root


def assert_nothing_half_written_counts(root: Path, calm: Path) -> None:
    """A session that lineage calls complete has all its tables, and bronze is whole or absent."""
    lake = Lake(root)
    if ("2024-01-09", "ES") in complete(lake):
        assert_equal(calm, root, ("silver", "gold"))
    if lake.exists("bronze.mbo"):
        assert lake.scan("bronze.mbo").num_rows in (0, counts(calm)["bronze.mbo"])


def assert_mended(root: Path, calm: Path, files: list[Path]) -> None:
    run(configured(root), files)
    assert_equal(calm, root)
    lineage = complete(Lake(root))["2024-01-09", "ES"]
    assert json.loads(lineage["rows"])["silver.bar_5s"] == counts(root)["silver.bar_5s"]


def commits(root: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, last: int) -> int:
    """Run until commit number `last` would begin (negative: has ended); how many there were."""
    done = 0
    real = Lake._commit

    def counted(self: Lake, *given: Any) -> Any:
        nonlocal done
        done += 1
        if done == last:
            raise Killed
        result = real(self, *given)
        if done == -last:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "_commit", counted)
        try:
            run(configured(root), files)
        except Killed:
            assert done == abs(last)
    return done


def test_run_stopped_before_or_after_any_commit_is_mended_by_the_next(
    files: list[Path], calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = commits(tmp_path / "count", files, monkeypatch, 0)
    print(total, "commits")
    assert total > 15
    points = [1, 2, 4, 5, 7, total // 2, total - 2, total, -3, -5, -(total - 1)]
    for point in points:
        root = tmp_path / str(point)
        commits(root, files, monkeypatch, point)
        assert_nothing_half_written_counts(root, calm)
        # Without the files: what has landed is known, whatever the moment it was stopped at.
        run(configured(root), [] if abs(point) > total // 2 else files)
        for name, n in counts(calm).items():
            assert diff(calm, root, name).equal, (point, name, n)
    print(len(points), "points")


def test_files_that_landed_before_the_stop_need_not_be_given_again(
    files: list[Path], calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it stopped between a file's row of the manifest and its instruments."""
    given = [f for f in files if ".mbo." in f.name]
    whole = tmp_path / "whole"
    run(configured(whole), given)
    total = commits(tmp_path / "count", given, monkeypatch, 0)
    for point in (-1, 2, total):
        root = tmp_path / str(point)
        commits(root, given, monkeypatch, point)
        run(configured(root))
        assert rows(root, "bronze.quarantine") == []
        assert_equal(whole, root)


def test_exception_from_progress_leaves_no_row_and_no_file(
    files: list[Path], calm: Path, tmp_path: Path
) -> None:
    heard = 0

    def stop(*_: Any) -> None:
        nonlocal heard
        heard += 1
        if heard == 3:
            raise Killed

    with pytest.raises(Killed):
        run(configured(tmp_path), files, chunk_records=500, progress=stop)
    assert heard == 3
    assert not rows(tmp_path, "bronze.mbo")
    left = [p for layer in ("silver", "gold") for p in tmp_path.glob(f"lake/{layer}/**/*.parquet")]
    assert left == []
    assert list(tmp_path.glob("lake/bronze/mbo/**/*.parquet")) == []
    assert complete(Lake(tmp_path)) == {}
    assert_mended(tmp_path, calm, files)


def test_exception_in_the_last_close_of_a_file_is_mended(
    files: list[Path], calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: PartWriter) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, "close", full)
        with pytest.raises(OSError, match="No space left"):
            LocalEngine(configured(tmp_path)).run([f for f in files if ".mbo." in f.name])
    assert not rows(tmp_path, "bronze.mbo")
    assert_mended(tmp_path, calm, files)


KILL = """
import os, signal, sys
from pathlib import Path
from spymaster.lake import Lake
from tests.e2e.scenes import run, short as configured
root, point, *files = sys.argv[1:]
real, done = Lake._commit, 0
def counted(self, *given):
    global done
    done += 1
    if done == int(point):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *given)
Lake._commit = counted
heard = 0
def progress(*_):
    global heard
    heard += 1
    if heard == -int(point):
        os.kill(os.getpid(), signal.SIGKILL)
run(configured(Path(root)), map(Path, files), chunk_records=500, progress=progress)
"""


@pytest.mark.parametrize("point", [6, 12, -4], ids=str)
def test_sigkill_leaves_nothing_that_the_next_run_does_not_mend(
    files: list[Path], calm: Path, tmp_path: Path, point: int
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path), str(point), *map(str, files)],
        cwd=HOME,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert_nothing_half_written_counts(tmp_path, calm)
    assert ("2024-01-09", "ES") not in complete(Lake(tmp_path))
    assert_mended(tmp_path, calm, files)
