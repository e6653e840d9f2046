"""A disk that fills, or becomes read-only, in mid-run: a clear end; mended, equal rows."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from spymaster.lake.diff import diff
from tests.e2e.runner import HOME, environment, loose
from tests.e2e.scenes import SHORT, market, run
from tests.e2e.scenes import short as settings
from tests.small_disk import disk, remount

__all__ = ["disk"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("disk")
    files = market(out / "m", sessions=1, events=2_000, windows=SHORT, first=date(2024, 1, 9),
                   contracts=1)  # fmt: skip
    (out / "spymaster.toml").write_text(settings(out / "nowhere").to_toml())
    run(settings(out / "calm"), files)
    return out


def command(folder: Path, disk: Path) -> tuple[int, str]:
    files = [str(f) for f in sorted((folder / "m").glob("*.zst"))]
    given = ["--config", str(folder / "spymaster.toml"), "--root", str(disk / "root"), *files]
    # A process of its own: no file stays open behind it, which would keep the mount busy.
    done = subprocess.run(
        [sys.executable, "-m", "spymaster", "hist", "run", *given],
        cwd=HOME, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kib", [48, 300, 500])
def test_full_disk_ends_the_run_with_its_reason_and_room_heals_it(
    folder: Path, disk: Path, kib: int
) -> None:
    remount(disk, f"size={kib}k")
    code, said = command(folder, disk)
    assert code == 1, said
    assert "space" in said.lower(), said
    remount(disk, "size=64m")
    code, said = command(folder, disk)
    assert code == 0, said
    found = diff(folder / "calm", disk / "root")
    assert found.equal, str(found)
    assert loose(disk / "root") == []


def test_disk_that_becomes_read_only_is_told_and_heals(folder: Path, disk: Path) -> None:
    remount(disk, "size=400k")
    assert command(folder, disk)[0] == 1
    remount(disk, "size=64m,ro")
    before = sorted(str(p) for p in disk.rglob("*"))
    code, said = command(folder, disk)
    assert (code, "Read-only file system" in said) == (1, True), said
    assert sorted(str(p) for p in disk.rglob("*")) == before
    remount(disk, "rw")
    assert command(folder, disk)[0] == 0
    assert diff(folder / "calm", disk / "root").equal
