"""The same rows whichever way they are made: fused or rebuilt, in any chunks, at once or by day."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

import spymaster
from spymaster.errors import LakeError
from spymaster.lake import Lake
from tests.e2e.scenes import (
    NIGHT,
    assert_equal,
    configured,
    counts,
    evening,
    market,
    mbo,
    rows,
    run,
)
from tests.real_data import es_mbo


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return market(tmp_path_factory.mktemp("market"), sessions=2, events=15_000)


@pytest.fixture(scope="module")
def whole(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    run(configured(root), files)
    found = counts(root)
    outcomes = Counter(e["outcome"] for e in rows(root, "silver.level_approach_2m"))
    directions = Counter(e["direction"] for e in rows(root, "silver.level_approach_2m"))
    print(found, outcomes, directions)
    assert all(found[n] > 0 for n in ("bronze.mbo", "gold.setup_vectors", "gold.training_view"))
    assert outcomes["BREAK"] > 0
    assert outcomes["REJECT"] > 0
    assert outcomes["CHOP"] > 0
    assert all(directions[d] > 0 for d in ("FROM_BELOW", "FROM_ABOVE"))
    return root


def test_layers_rebuilt_from_bronze_equal_the_fused_run(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    for layer in ("silver", "gold"):
        shutil.rmtree(root / "lake" / layer)
    run(configured(root), from_bronze=True, layers=("silver",))
    assert not any(n.startswith("gold.") for n in Lake(root).existing())
    run(configured(root), from_bronze=True, layers=("gold",))
    assert_equal(whole, root)


def test_bronze_first_and_layers_later_equal_the_fused_run(
    files: list[Path], whole: Path, tmp_path: Path
) -> None:
    from spymaster.engines.local import LocalEngine

    report = LocalEngine(configured(tmp_path)).bronze(files)
    assert sum(f.new for f in report.files) == counts(whole)["bronze.mbo"]
    assert {n.split(".")[0] for n in Lake(tmp_path).existing()} == {"bronze"}
    run(configured(tmp_path), from_bronze=True)
    assert_equal(whole, tmp_path)


def test_gold_is_refused_without_silver_of_the_same_making(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    gold = spymaster.scan("gold.setup_vectors", root)
    other = configured(root, approach={"scale": "fixed", "barrier_ticks": 20})
    with pytest.raises(LakeError, match="spymaster hist silver --session"):
        run(other, from_bronze=True, layers=("gold",))
    assert spymaster.scan("gold.setup_vectors", root).equals(gold)
    run(other, from_bronze=True, layers=("silver",))
    # Silver of the new rule is there, gold is still of the old one: nobody joins the two.
    assert set(spymaster.scan("silver.level_approach_2m", root)["barrier_ticks"]) == {20}
    assert len(spymaster.scan("gold.setup_vectors", root)) == 0
    run(other, from_bronze=True, layers=("gold",))
    assert set(spymaster.scan("gold.setup_vectors", root)["barrier_ticks"]) == {20}


def test_real_evening_rebuilt_from_bronze_equals_the_fused_run(tmp_path: Path) -> None:
    fused, rebuilt = tmp_path / "fused", tmp_path / "rebuilt"
    run(evening(fused), [es_mbo()])
    shutil.copytree(fused, rebuilt)
    shutil.rmtree(rebuilt / "lake" / "silver")
    shutil.rmtree(rebuilt / "lake" / "gold")
    run(evening(rebuilt), from_bronze=True)
    assert_equal(fused, rebuilt)
    assert counts(rebuilt)["gold.setup_vectors"] == 75


@pytest.mark.parametrize("chunk", [1_000, 4_099])
def test_any_chunk_size_gives_equal_tables(
    files: list[Path], whole: Path, tmp_path: Path, chunk: int
) -> None:
    run(configured(tmp_path), files, chunk_records=chunk)
    assert_equal(whole, tmp_path)


def test_any_chunk_size_gives_equal_tables_from_bronze(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    run(configured(root), from_bronze=True, chunk_records=1_013, force=True)
    assert_equal(whole, root)


def test_real_evening_is_the_same_in_chunks_of_a_thousand(tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    run(evening(large), [es_mbo()])
    run(evening(small), [es_mbo()], chunk_records=1_000)
    assert_equal(large, small)
    assert counts(small)["bronze.mbo"] == 68_792


def test_order_in_which_files_are_named_does_not_matter(
    files: list[Path], whole: Path, tmp_path: Path
) -> None:
    shuffled = random.Random(5).sample(files, len(files))
    run(configured(tmp_path), shuffled)
    assert_equal(whole, tmp_path)


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Monday's, Tuesday's and Wednesday's sessions, in evenings that span two UTC days."""
    out = tmp_path_factory.mktemp("nights")
    return market(out, sessions=3, events=8_000, windows=NIGHT, first=date(2024, 1, 9))


@pytest.fixture(scope="module")
def whole_nights(nights: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole-nights")
    run(configured(root, NIGHT), nights)
    return root


def test_sessions_across_midnight_utc_are_complete_and_know_the_one_before(
    whole_nights: Path,
) -> None:
    summary = rows(whole_nights, "silver.session_summary")
    selected = {r["session_date"]: r["contract_id"] for r in rows(
        whole_nights, "silver.contract_day") if r["selected"]}  # fmt: skip
    levels = rows(whole_nights, "silver.session_levels")
    days = Counter((str(r["session_date"]), r["complete"]) for r in summary)
    print(days, counts(whole_nights))
    assert {d for (d, done) in days if done} >= {"2024-01-09", "2024-01-10", "2024-01-11"}
    for day, before in (
        (date(2024, 1, 10), date(2024, 1, 9)),
        (date(2024, 1, 11), date(2024, 1, 10)),
    ):
        known = {r["level_type"]: r["level_price"] for r in levels if r["session_date"] == day}
        then = next(r for r in summary if r["session_date"] == before
                    and r["contract_id"] == selected[day])  # fmt: skip
        assert known["PD_HIGH"] == then["regular_high_px"]
        assert known["PD_LOW"] == then["regular_low_px"]
        assert known["PD_CLOSE"] == then["regular_last_px"]


def test_files_landed_one_by_one_in_runs_of_their_own_equal_all_at_once(
    nights: list[Path], whole_nights: Path, tmp_path: Path
) -> None:
    incomplete = 0
    for file in sorted(nights):
        report = run(configured(tmp_path, NIGHT), [file])
        incomplete += sum(s.missing is not None for s in report.sessions)
    print(len(nights), "runs,", incomplete, "sessions were incomplete on the way")
    assert incomplete > 0
    assert_equal(whole_nights, tmp_path, ("silver", "gold"))
    known = {r["reason"] for r in rows(whole_nights, "bronze.gaps")}
    print(known)
    assert_equal(whole_nights, tmp_path, ("bronze",))


def test_days_computed_from_bronze_equal_days_computed_from_files(
    whole_nights: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole_nights, root)
    shutil.rmtree(root / "lake" / "silver")
    shutil.rmtree(root / "lake" / "gold")
    run(configured(root, NIGHT), from_bronze=True)
    assert_equal(whole_nights, root)


def test_one_session_asked_for_by_date_equals_that_session_of_the_whole(
    whole_nights: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole_nights, root)
    report = run(configured(root, NIGHT), session_date=date(2024, 1, 10), force=True)
    assert [s.session_date for s in report.sessions] == ["2024-01-10"]
    assert_equal(whole_nights, root)


def test_bronze_holds_every_record_of_the_market_once(
    nights: list[Path], whole_nights: Path
) -> None:
    from tests.e2e.scenes import records

    total = sum(len(records(f)) for f in mbo("mbo", nights))
    assert counts(whole_nights)["bronze.mbo"] == total
    lineage = rows(whole_nights, "lineage")
    assert sum(json.loads(r["counters"])["duplicates"] for r in lineage) == 0
    print(total, "records")
