"""A second run makes what would be made otherwise now, and nothing else; the plan says why."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spymaster.cli import app
from spymaster.engines.local import LocalEngine
from spymaster.engines.plan import Dates
from spymaster.errors import ContractError, SessionError
from spymaster.feed.dbn import DbnReader
from spymaster.feed.dbn_definitions import read_definitions
from spymaster.feed.dbn_write import write_dbn
from spymaster.lake import Lake, lineage
from spymaster.settings import Settings
from tests.e2e.scenes import SHORT, assert_equal, configured, market, mbo, records, rewrite, run
from tests.e2e.scenes import short as settings

MADE = ("silver", "gold", "lineage")
#: The market's sessions: the day before the first is in its files too.
DAYS = ["2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("market")
    return market(out, sessions=3, events=2_000, windows=SHORT, first=date(2024, 1, 9), contracts=1)


@pytest.fixture(scope="module")
def calm(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calm")
    report = run(settings(root), files)
    assert [s.session_date for s in report.sessions] == DAYS
    return root


@pytest.fixture
def root(calm: Path, tmp_path: Path) -> Path:
    shutil.copytree(calm, tmp_path / "root")
    return tmp_path / "root"


def versions(root: Path) -> dict[str, int | None]:
    lake = Lake(root)
    return {n: lake.version(n) for n in lake.existing() if n.split(".")[0] in MADE}


def plan(how: Settings) -> dict[str, tuple[str, str]]:
    """Session -> state and reason; looking changes nothing."""
    before = versions(Path(how.root))
    steps = LocalEngine(how).plan()
    assert versions(Path(how.root)) == before
    return {str(s.session.session_date): (s.state, "; ".join(s.why)) for s in steps}


def states(how: Settings) -> list[str]:
    return [state for state, _ in plan(how).values()]


def day(files: list[Path], digits: str) -> list[Path]:
    return [f for f in files if digits in f.name]


def test_second_run_commits_nothing(root: Path, files: list[Path]) -> None:
    before = versions(root)
    for given in ((), files):
        report = run(settings(root), given)
        assert report.sessions == []
        assert [str(s.session.session_date) for s in report.current] == DAYS
    assert versions(root) == before
    assert before["gold.setup_vectors"] is not None


def test_force_makes_equal_rows_anew(root: Path, calm: Path) -> None:
    before = versions(root)
    report = run(settings(root), force=True)
    assert [s.session_date for s in report.sessions] == DAYS
    after = versions(root)
    assert all(after[n] > before[n] for n in ("silver.bar_5s", "gold.setup_vectors"))  # type: ignore[operator]
    assert_equal(calm, root)


def test_changed_settings_make_every_session_stale_and_back_again_too(
    root: Path, calm: Path
) -> None:
    other = configured(root, SHORT, {"scale": "fixed", "barrier_ticks": 9})
    assert plan(other) == dict.fromkeys(DAYS, ("stale", "the configuration changed"))
    assert len(run(other).sessions) == 4
    assert states(other) == ["current"] * 4
    assert states(settings(root)) == ["stale"] * 4
    run(settings(root))
    for layer in ("silver", "bronze"):
        assert_equal(calm, root, (layer,))


def test_changed_code_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "code_version", lambda: "0.0.0+other")
    assert plan(settings(root)) == dict.fromkeys(DAYS, ("stale", "the code changed"))


def test_added_file_makes_the_sessions_of_its_day_stale_and_names_it(
    files: list[Path], calm: Path, tmp_path: Path
) -> None:
    """Half of a day's records in one file; the other half comes later, in another."""
    (whole,) = mbo("mbo", day(files, "20240110"))
    all_of_it = records(whole)
    times, last = all_of_it["ts_recv"], all_of_it["flags"] & 128 != 0
    # Vendors cut between events; a record's identity is its place among those of one ts_recv.
    ends = np.flatnonzero((times[1:] > times[:-1]) & last[:-1]) + 1
    half = int(ends[len(ends) // 2])
    first = rewrite(whole, tmp_path / "a.mbo.dbn.zst", all_of_it[:half])
    second = rewrite(whole, tmp_path / "b.mbo.dbn.zst", all_of_it[half:])
    root = tmp_path / "root"
    run(settings(root), [first, *(f for f in files if f != whole)])
    LocalEngine(settings(root)).land([second])
    found = plan(settings(root))
    assert [state for state, _ in found.values()] == ["current", "current", "stale", "current"]
    assert found["2024-01-10"][1] == "files: new b.mbo.dbn.zst"
    report = run(settings(root))
    # The day after was made with what half of a day said of its levels.
    assert [s.session_date for s in report.sessions] == ["2024-01-10", "2024-01-11"]
    assert_equal(calm, root, ("silver", "gold"))


def test_earlier_day_that_lands_late_makes_only_what_knew_of_it_anew(
    files: list[Path], calm: Path, tmp_path: Path
) -> None:
    late = day(files, "20240109")
    run(settings(tmp_path), [f for f in files if f not in late])
    LocalEngine(settings(tmp_path)).land(late)
    assert states(settings(tmp_path)) == ["current", "new", "current", "current"]
    report = run(settings(tmp_path))
    made = [s.session_date for s in report.sessions]
    assert made == ["2024-01-09", "2024-01-10"]
    assert [str(s.session.session_date) for s in report.current] == ["2024-01-08", "2024-01-11"]
    assert_equal(calm, tmp_path)
    assert states(settings(tmp_path)) == ["current"] * 4


def test_definitions_that_came_late_are_a_reason_and_naming_them_is_enough(
    root: Path, files: list[Path], tmp_path: Path
) -> None:
    (old,) = mbo("definition", day(files, "20240110"))
    with DbnReader(old) as reader:
        head, found = reader.metadata, read_definitions(reader)
    found["expiration"] += 3_600_000_000_000
    new = write_dbn(tmp_path / "late.definition.dbn.zst", head, found.tobytes())
    LocalEngine(settings(root)).land([new])
    told = plan(settings(root))
    assert [state for state, _ in told.values()] == ["current", "current", "stale", "current"]
    assert told["2024-01-10"][1] == "what earlier sessions or definitions say changed"
    # The day after has definitions of its own.
    report = run(settings(root), [new])
    assert [s.session_date for s in report.sessions] == ["2024-01-10"]
    whole = tmp_path / "whole"
    run(settings(whole), [*files, new])
    assert_equal(whole, root)


def test_dates_limit_what_is_made(files: list[Path], calm: Path, tmp_path: Path) -> None:
    dates = Dates(date(2024, 1, 9), date(2024, 1, 10))
    report = run(settings(tmp_path), files, dates=dates)
    assert [s.session_date for s in report.sessions] == ["2024-01-09", "2024-01-10"]
    assert set(plan(settings(tmp_path))["2024-01-08"]) == {"new", "never computed"}
    report = run(settings(tmp_path), dates=Dates(first=date(2024, 1, 11)))
    assert [s.session_date for s in report.sessions] == ["2024-01-11"]
    run(settings(tmp_path))
    assert_equal(calm, tmp_path)
    with pytest.raises(SessionError, match=r"2024-02-01.*nothing that has landed"):
        run(settings(tmp_path), dates=Dates(first=date(2024, 2, 1)))


def test_one_session_of_many_that_landed_reads_only_its_files(
    files: list[Path], tmp_path: Path
) -> None:
    engine = LocalEngine(settings(tmp_path))
    engine.land(files)
    report = run(settings(tmp_path), session_date=date(2024, 1, 9))
    assert {f.path.split("/")[-2] for f in report.files} == {"20240109"}
    assert len(engine.waiting()) == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--from", "yesterday"), "--from 'yesterday': not a date; allowed: YYYY-MM-DD"),
        (("--to", "2024-13-01"), "--to '2024-13-01': not a date"),
        (("--from", "2024-01-10", "--to", "2024-01-09"), "is after --to 2024-01-09"),
        (("--session", "2024-01-09", "--from", "2024-01-09"), "leave it out to use --from"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "hist run"])
def test_dates_that_make_no_sense_are_refused(
    verb: str, given: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, [*verb.split(), *given, "--root", str(tmp_path / "root")])
    assert isinstance(done.exception, ContractError)
    assert words in str(done.exception)
    assert not (tmp_path / "root").exists()


def test_plan_of_the_command_line_says_what_is_stale_and_why(
    root: Path, files: list[Path], tmp_path: Path
) -> None:
    config = tmp_path / "spymaster.toml"
    config.write_text(configured(root, SHORT, {"scale": "fixed", "barrier_ticks": 9}).to_toml())
    (path,) = mbo("mbo", day(files, "20240110"))
    given = records(path)
    again = rewrite(path, tmp_path / "more.mbo.dbn.zst", given[: len(given) // 3])
    LocalEngine(settings(root)).land([again])
    done = CliRunner().invoke(app, ["plan", "--config", str(config)])
    assert done.exit_code == 0, done.output
    said = {line.split()[0]: line for line in done.output.splitlines() if line[1:5] == "2024"}
    assert sorted(said) == DAYS
    assert all("stale" in line and "the configuration changed" in line for line in said.values())
    assert [d for d in DAYS if "files: new more.mbo.dbn.zst" in said[d]] == ["2024-01-10"]
    assert "4 stale" in done.output
    narrow = CliRunner().invoke(app, ["plan", "--config", str(config), "--from", "2024-01-10"])
    assert "2 stale" in narrow.output
