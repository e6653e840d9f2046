"""A session that cannot be made does not stop the others, and is told with what to do about it."""

from __future__ import annotations

import re
import shlex
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spymaster.cli import app
from spymaster.engines.local import LocalEngine
from spymaster.engines.session_run import SessionRun
from spymaster.errors import BookError, SourceError
from spymaster.lake import Lake
from spymaster.lake.lineage import complete
from tests.e2e.runner import loose
from tests.e2e.scenes import SHORT, assert_equal, market, mbo, run
from tests.e2e.scenes import short as settings

BAD = "2024-01-09"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("market")
    return market(out, sessions=2, events=2_000, windows=SHORT, first=date(2024, 1, 9), contracts=1)


@pytest.fixture(scope="module")
def calm(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calm")
    run(settings(root), files)
    return root


def landed(root: Path, files: list[Path]) -> Path:
    """Everything lands; the file of the bad day."""
    LocalEngine(settings(root)).land(files)
    return next(f for f in mbo("mbo", (root / "raw-dbn").rglob("*.zst")) if "20240109" in f.name)


def made(root: Path) -> set[str]:
    return {day for day, _ in complete(Lake(root))}


@pytest.mark.parametrize(("how", "jobs"), [("gone", "1"), ("gone", "2"), ("no DBN any more", "1")])
def test_failed_day_is_listed_and_the_command_it_prints_heals_it(
    files: list[Path], calm: Path, tmp_path: Path, how: str, jobs: str
) -> None:
    root, config = tmp_path / "a root", tmp_path / "spymaster.toml"
    config.write_text(settings(root).to_toml())
    bad = landed(root, files)
    whole = bad.read_bytes()
    bad.unlink() if how == "gone" else bad.write_bytes(b"rubbish" * 100)
    given = ["--config", str(config), "--root", str(root)]
    done = CliRunner().invoke(app, ["hist", "run", "--jobs", jobs, *given])
    assert done.exit_code == 1
    said = next(line for line in done.stderr.splitlines() if line.startswith(f"error: ES {BAD}"))
    assert bad.name in said
    assert made(root) == {"2024-01-08", "2024-01-10"}
    assert loose(root) == []
    again = re.search(r"To do it again: spymaster (.*)", said)
    assert again
    bad.write_bytes(whole)
    healed = CliRunner().invoke(app, shlex.split(again.group(1)))
    assert healed.exit_code == 0, healed.output
    assert made(root) == {"2024-01-08", BAD, "2024-01-10"}
    # The day after was made without the levels of the failed one: the same command made it anew.
    assert_equal(calm, root)


def test_error_inside_the_computation_costs_one_session(
    files: list[Path], calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SessionRun.close

    def broken(self: SessionRun, mark: int) -> None:
        if str(self.session.session_date) == BAD:
            raise BookError("bid above ask at bar 7")
        real(self, mark)

    with monkeypatch.context() as patch:
        patch.setattr(SessionRun, "close", broken)
        report = LocalEngine(settings(tmp_path)).run(files)
    assert [(f.name, str(f.error), f.again) for f in report.failed] == [
        (f"ES {BAD}", "bid above ask at bar 7", f"spymaster hist run --from {BAD}")
    ]
    assert len(report.sessions) == 2
    assert loose(tmp_path) == []
    # Its file is whole: it is in bronze all the same.
    assert LocalEngine(settings(tmp_path)).waiting() == []
    run(settings(tmp_path))
    assert_equal(calm, tmp_path)


def test_the_only_session_that_was_asked_for_fails_with_its_own_error(
    files: list[Path], tmp_path: Path
) -> None:
    landed(tmp_path, files).unlink()
    with pytest.raises(SourceError, match="20240109"):
        LocalEngine(settings(tmp_path)).run(session_date=date(2024, 1, 9))
    assert made(tmp_path) == set()
    assert loose(tmp_path) == []
