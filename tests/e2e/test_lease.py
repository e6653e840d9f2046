"""One writer per root: a second is refused, one that died is followed, and tidied up after."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from spymaster.engines.lease import HISTORY, Lease, lease_file
from spymaster.errors import LakeError
from spymaster.lake.diff import diff
from spymaster.lake.place import Place
from tests.e2e.runner import Runner, lease, loose
from tests.e2e.scenes import SHORT, market, run
from tests.e2e.scenes import short as settings

DEADLINE = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market, its settings, and `calm`, what it comes to."""
    out = tmp_path_factory.mktemp("lease")
    files = market(out / "m", sessions=1, events=2_000, windows=SHORT, first=date(2024, 1, 9),
                   contracts=1)  # fmt: skip
    (out / "spymaster.toml").write_text(settings(out / "nowhere").to_toml())
    run(settings(out / "calm"), files)
    return out


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Runner]]:
    found = [Runner(tmp_path_factory.mktemp("said")) for _ in range(2)]
    yield found
    for runner in found:
        runner.close()


def command(folder: Path, root: Path, *verb: str) -> list[str | Path]:
    files = sorted((folder / "m").glob("*.dbn.zst"))
    return [*(verb or ("hist", "run")), "--config", folder / "spymaster.toml", "--root", root,
            *files]  # fmt: skip


def held(mark: Path) -> None:
    """Wait until the run has come to its point."""
    until = time.monotonic() + DEADLINE
    while not mark.exists():
        assert time.monotonic() < until, "the first run never came to its point"
        time.sleep(0.02)


def test_second_run_is_refused_and_the_first_goes_on(
    folder: Path, runners: list[Runner], tmp_path: Path
) -> None:
    first, second = runners
    root, mark = tmp_path / "root", tmp_path / "a.mark"
    fault = {"point": "between-tables", "nth": 3, "mark": str(mark), "hold": True}
    pid = first.start(*command(folder, root), fault=fault)
    held(mark)
    before = lease(root)
    for verb in (("hist", "run"), ("hist", "bronze"), ("land",)):
        done = second.run(*command(folder, root, *verb))
        assert done.code == 1
        assert f"another run is at work on this root: process {pid} on " in done.said
        assert "Traceback" not in done.said
    assert lease(root) == before
    mark.with_suffix(".go").touch()
    done = first.wait()
    assert done.code == 0, done.said
    assert diff(folder / "calm", root).equal
    assert (lease(root)["fence"], lease(root)["pid"]) == (1, pid)


def test_plan_and_show_need_no_lease(folder: Path, runners: list[Runner], tmp_path: Path) -> None:
    first, second = runners
    root, mark = tmp_path / "root", tmp_path / "a.mark"
    fault = {"point": "between-tables", "nth": 3, "mark": str(mark), "hold": True}
    first.start(*command(folder, root), fault=fault)
    held(mark)
    said = second.run("plan", "--config", folder / "spymaster.toml", "--root", root)
    shown = second.run("show", "silver.bar_5s", "--root", root)
    mark.with_suffix(".go").touch()
    assert first.wait().code == 0
    assert (said.code, "unfinished" in said.said) == (0, True), said.said
    # The table is committed, its session is not: readers see none of it.
    assert shown.code == 0
    assert "0 of 0 rows" in shown.said


def test_next_run_takes_over_from_a_dead_one_and_removes_only_what_nobody_names(
    folder: Path, runners: list[Runner], tmp_path: Path
) -> None:
    runner = runners[0]
    root, mark = tmp_path / "root", tmp_path / "a.mark"
    fault = {"point": "between-tables", "nth": 4, "mark": str(mark)}
    assert runner.run(*command(folder, root), fault=fault).code == -signal.SIGKILL
    dead = lease(root)
    assert (dead["fence"], dead["ended"]) == (1, None)
    left = loose(root)
    assert left
    table = root / "lake" / "silver" / "bar_5s"
    foreign = table / "part-of-somebody-else-0001.parquet"
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_bytes(b"not ours")
    # The one that takes over is killed before it has tidied up; the third does it for both.
    fault = {"point": "sweep-before", "nth": 1, "mark": str(tmp_path / "b.mark")}
    assert runner.run(*command(folder, root), fault=fault).code == -signal.SIGKILL
    assert set(left) <= set(loose(root))
    assert lease(root)["unfinished"] == [dead["owner"]]
    assert runner.run(*command(folder, root)).code == 0
    assert loose(root) == [str(foreign)]
    now = lease(root)
    assert (now["fence"], now["unfinished"]) == (3, [])
    assert now["ended"] is not None
    foreign.unlink()
    assert diff(folder / "calm", root).equal


def test_lease_survives_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk cannot take must not cost the fence, or the names of the dead."""
    place = Place(tmp_path)
    with pytest.raises(KeyboardInterrupt), Lease(place, "a", lambda: 1):
        raise KeyboardInterrupt
    before = lease(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LakeError, match="No space left"):
            Lease(place, "b", lambda: 2).__enter__()
    with Lease(place, "c", lambda: 3) as third:
        assert set(third.unfinished) == {"a", "b"}
        assert lease(tmp_path)["fence"] == before["fence"] + 2
        third.swept()
    assert lease(tmp_path)["unfinished"] == []


def test_lease_file_of_rubbish_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / lease_file(HISTORY)
    path.parent.mkdir(parents=True)
    path.write_text("{" * 500)
    with Lease(Place(tmp_path), "a", lambda: 1) as taken:
        assert taken.unfinished == []
    assert json.loads(path.read_text())["fence"] == 1
