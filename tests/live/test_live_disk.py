"""A disk that fills, or becomes read-only, under a stream: a clear end; mended, equal tables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from spymaster.bus import open_bus
from spymaster.contracts.stream import TABLES
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from tests.e2e.runner import Runner, loose
from tests.e2e.scenes import SHORT, market, short
from tests.live.posting import post
from tests.small_disk import disk, remount

__all__ = ["disk"]

pytestmark = pytest.mark.slow

#: Room for next to nothing, and for most of it.
ROOM_KIB = (64, 1_500)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    running = Runner(tmp_path_factory.mktemp("said"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def fed(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a topic that nobody has read, beside one that was streamed undisturbed."""
    out = tmp_path_factory.mktemp("fed")
    files = market(
        out / "m", sessions=1, events=2_000, windows=SHORT, first=date(2024, 1, 9), contracts=1
    )
    (out / "spymaster.toml").write_text(short(out / "nowhere").to_toml())
    with open_bus(short(out / "root")) as bus:
        post(bus, short(out / "root"), files, 20)
    shutil.copytree(out / "root", out / "calm")
    code, said = live(runner, out, out / "calm")
    assert code == 0, said
    return out


def live(runner: Runner, fed: Path, root: Path) -> tuple[int, str]:
    often = ["--quiet", "0.3", "--commit", "0.4", "--intent", "400"]
    # A fork for each: no file stays open behind it, which would keep the mount busy.
    done = runner.run("live", "--config", fed / "spymaster.toml", "--root", root, *often)
    assert "Traceback" not in done.said, done.said
    assert done.code == 0 or len(_errors(done.said)) == 1, done.said
    return done.code, done.said


def _errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("error: ")]


def equal(fed: Path, root: Path) -> None:
    """Every table, and every row once."""
    rows = 0
    for table in TABLES:
        if table.facts:
            found = diff(fed / "calm", root, table.name)
            assert found.equal, str(found)
        assert Lake(root).count(table.name) == Lake(fed / "calm").count(table.name)
        rows += Lake(root).count(table.name)
    assert rows > 10_000
    assert loose(root) == []


def used(disk: Path) -> int:
    """KiB, as the file system counts them."""
    told = os.statvfs(disk)
    return (told.f_blocks - told.f_bfree) * told.f_frsize // 1024


def test_full_disk_ends_the_stream_with_its_reason_and_room_heals_it(
    runner: Runner, fed: Path, disk: Path
) -> None:
    root = disk / "root"
    for room in ROOM_KIB:
        shutil.rmtree(root, ignore_errors=True)
        remount(disk, "size=64m")
        shutil.copytree(fed / "root", root)
        remount(disk, f"size={used(disk) + room}k")
        code, said = live(runner, fed, root)
        assert code == 1, said
        assert "space" in said.lower(), said
        remount(disk, "size=64m")
        code, said = live(runner, fed, root)
        assert code == 0, said
        equal(fed, root)


def test_disk_that_becomes_read_only_is_told_and_heals(
    runner: Runner, fed: Path, disk: Path
) -> None:
    root = disk / "root"
    shutil.copytree(fed / "root", root)
    remount(disk, f"size={used(disk) + 700}k")
    assert live(runner, fed, root)[0] == 1
    remount(disk, "size=64m,ro")
    before = sorted(str(p) for p in disk.rglob("*"))
    code, said = live(runner, fed, root)
    assert code == 1, said
    assert "read-only file system" in said.lower() or "readonly" in said.lower(), said
    assert sorted(str(p) for p in disk.rglob("*")) == before
    remount(disk, "rw")
    code, said = live(runner, fed, root)
    assert code == 0, said
    equal(fed, root)
