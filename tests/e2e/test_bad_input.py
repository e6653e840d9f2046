"""What must not happen in silence: damaged, foreign, missing and wrong input."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import zstandard

from spymaster.engines.local import LocalEngine
from spymaster.errors import LakeError, SourceError
from spymaster.feed.dbn import MBO_RECORD
from spymaster.feed.dbn_write import make_metadata, write_dbn
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.lake.manifest import Manifest
from tests.e2e.scenes import (
    DAY_NS,
    NIGHT,
    NS,
    TICK,
    assert_equal,
    configured,
    counts,
    evening,
    head,
    held,
    market,
    mbo,
    records,
    rewrite,
    rows,
    run,
)
from tests.real_data import es_mbo

START = 1_704_672_000_000_000_000  # 2024-01-08 00:00 UTC


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One session in an evening that spans two UTC days, and the files around it."""
    out = tmp_path_factory.mktemp("nights")
    return market(out, sessions=1, events=6_000, windows=NIGHT, first=date(2024, 1, 9))


def orders(n: int, number: int = 17077, at: int = START + 3600 * NS) -> np.ndarray:
    """n adds of one instrument, a second apart."""
    out = np.zeros(n, MBO_RECORD)
    out["length"], out["rtype"], out["publisher_id"], out["instrument_id"] = 14, 0xA0, 1, number
    out["ts_recv"] = at + np.arange(n) * NS
    out["ts_event"] = out["ts_recv"] - 120_000
    out["order_id"], out["sequence"] = np.arange(n) + 1, np.arange(n)
    out["price"] = 19_200 * TICK - np.arange(n) % 4 * TICK
    out["size"], out["action"], out["side"], out["flags"] = 2, ord("A"), ord("B"), 128
    return out


def nothing_landed(root: Path) -> bool:
    return not (root / "raw-dbn").exists() and not Lake(root).existing()


# Damaged files


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_damaged_file_keeps_what_stood_before_the_damage_and_says_so(
    tmp_path: Path, how: str
) -> None:
    plain = write_dbn(
        tmp_path / "esh4-glbx-mdp3-20231225.mbo.dbn",
        head({"ESH4": 17077}, 1_703_462_400 * NS, version=1),
        records(es_mbo()),
        compress=False,
    )
    data = bytearray(plain.read_bytes())
    body = len(data) - 68_792 * 56
    keep = 50_000
    if how == "truncated":
        data = data[: body + keep * 56 + 23]
    else:
        data[body + keep * 56 : body + keep * 56 + 2] = b"\x07\xee"
    plain.write_bytes(bytes(data))
    root = tmp_path / "root"
    report = run(evening(root), [plain])
    (row,) = Manifest(Lake(root)).rows().values()
    (gap,) = rows(root, "bronze.gaps")
    truth = records(es_mbo())[:keep]
    print(report.damaged, gap["reason"])
    assert len(report.damaged) == 1
    assert f"record {keep}" in report.damaged[0]
    assert (row["status"], row["records"]) == ("damaged", keep)
    assert counts(root)["bronze.mbo"] == keep
    assert gap["from_ts"] == row["last_mark"] == int(truth["ts_recv"].max())
    assert str(keep) in gap["reason"]
    (summary,) = rows(root, "silver.session_summary")
    assert not summary["complete"]
    assert "20231225" in summary["missing"]
    assert str(keep) in summary["missing"]
    # Bars before the damage are as those of the whole file; the one in which it lies is no bar.
    whole = tmp_path / "whole"
    run(evening(whole), [es_mbo()])
    until = int(truth["ts_recv"].max()) - NS
    want = [r for r in rows(whole, "silver.bar_5s") if r["bar_end"] <= until]
    got = {r["bar_start"]: r for r in rows(root, "silver.bar_5s")}
    assert all(got[r["bar_start"]]["valid"] == r["valid"] for r in want)
    late = [r for r in got.values() if r["bar_end"] > truth["ts_recv"].max()]
    print(len(want), "bars before the damage,", len(late), "after")
    assert len(want) > 1_000
    assert not any(r["valid"] for r in late)


def test_bars_after_the_damage_are_invalid_until_the_next_days_snapshot(
    nights: list[Path], tmp_path: Path
) -> None:
    first, second = (mbo("mbo", nights)[k] for k in (0, 1))
    raw = zstandard.ZstdDecompressor().stream_reader(first.read_bytes()).read()
    cut = tmp_path / first.name
    cut.write_bytes(zstandard.ZstdCompressor().compress(raw[: len(raw) - 56 * 300 - 13]))
    root = tmp_path / "root"
    report = run(configured(root, NIGHT), [*mbo("definition", nights), cut, second])
    gap = next(g for g in rows(root, "bronze.gaps") if first.name in g["reason"])
    valid = Counter()
    midnight = int(records(second)["ts_recv"].min())
    for bar in rows(root, "silver.bar_5s", session_date=date(2024, 1, 9)):
        when = "before" if bar["bar_end"] <= gap["from_ts"] else "gap"
        if bar["bar_start"] >= midnight:
            when = "after"
        valid[when, bar["valid"]] += 1
    print(valid, report.damaged)
    assert valid["before", True] > 0
    assert valid["gap", False] > 0
    assert valid["gap", True] == 0
    assert valid["after", True] > 0
    assert not any(r["complete"] for r in rows(root, "silver.session_summary"))
    assert rows(root, "gold.training_view") == []


def test_whole_copy_of_a_damaged_file_takes_its_place(tmp_path: Path) -> None:
    data = es_mbo().read_bytes()
    damaged = tmp_path / "esh4-glbx-mdp3-20231225.mbo.dbn.zst"
    damaged.write_bytes(data[: len(data) // 2])
    again = tmp_path / "esh4-glbx-mdp3-20231225-again.mbo.dbn.zst"
    again.write_bytes(data)
    root, whole = tmp_path / "root", tmp_path / "whole"
    assert len(run(evening(root), [damaged]).damaged) == 1
    assert run(evening(root), [again]).damaged == []
    run(evening(whole), [es_mbo()])
    for table in ("silver.bar_5s", "silver.level_approach_2m", "gold.setup_vectors"):
        found = diff(root, whole, table)
        assert found.equal, str(found)
        assert found.rows[table][0] > 0


def test_file_damaged_before_its_first_record_leaves_the_session_incomplete(
    nights: list[Path], tmp_path: Path
) -> None:
    first, second = (mbo("mbo", nights)[k] for k in (0, 1))
    raw = zstandard.ZstdDecompressor().stream_reader(first.read_bytes()).read()
    cut = tmp_path / first.name
    cut.write_bytes(raw[: len(raw) - len(records(first)) * 56 + 20])
    root = tmp_path / "root"
    report = run(configured(root, NIGHT), [*mbo("definition", nights), cut, second])
    print(report.damaged, [s.missing for s in report.sessions])
    day = next(s for s in report.sessions if s.session_date == "2024-01-09")
    assert day.missing is not None
    assert first.name in day.missing
    assert rows(root, "gold.training_view") == []


# Refused before anything is written


@pytest.mark.parametrize("schema", ["trades", "ohlcv-1s"])
def test_schema_that_no_table_takes_is_refused_before_anything_is_written(
    tmp_path: Path, schema: str
) -> None:
    meta = make_metadata("GLBX.MDP3", {"ESH4": 17077}, START, START + DAY_NS, schema=schema)
    path = write_dbn(tmp_path / "a.dbn.zst", meta, b"")
    with pytest.raises(SourceError, match=f"{schema}.*allowed: mbo"):
        run(configured(tmp_path / "root"), [path])
    assert nothing_landed(tmp_path / "root")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty", b""),
        ("text", b"time,price\n1,2\n"),
        ("zstd", zstandard.compress(b"no DBN at all")),
    ],
)
def test_file_that_is_not_dbn_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, data: bytes
) -> None:
    path = tmp_path / f"{name}.dbn.zst"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=f"{name}.*allowed is DBN"):
        run(configured(tmp_path / "root"), [path])
    assert nothing_landed(tmp_path / "root")


@pytest.mark.parametrize(
    ("dataset", "symbol"), [("GLBX.MDP3", "NQH4"), ("XNAS.ITCH", "TSLA"), ("IFEU.IMPACT", "BRNH4")]
)
def test_file_of_nothing_that_is_configured_is_refused_with_what_there_is(
    tmp_path: Path, dataset: str, symbol: str
) -> None:
    meta = make_metadata(dataset, {symbol: 5}, START, START + DAY_NS)
    path = write_dbn(tmp_path / "a.dbn.zst", meta, orders(3, 5))
    with pytest.raises(SourceError, match=rf"{dataset} with {symbol}.*configured.*underlier"):
        run(configured(tmp_path / "root"), [path])
    assert nothing_landed(tmp_path / "root")


def test_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.dbn.*cannot be opened"):
        run(configured(tmp_path / "root"), [tmp_path / "nowhere.dbn"])


def test_root_under_a_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file in the folder's place")
    with pytest.raises(LakeError, match="cannot be written"):
        run(configured(tmp_path / "root"), [es_mbo()])


def test_read_only_root_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "root"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        if os.geteuid() == 0:
            pytest.skip("this machine mounts no tmpfs, and its user may write everywhere")
        place.chmod(0o500)
    try:
        with pytest.raises(LakeError, match="cannot be written"):
            run(configured(place), [es_mbo()])
        assert list(place.iterdir()) == []
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(place)], check=True)


# Landing


def test_landing_a_file_twice_adds_nothing(nights: list[Path], tmp_path: Path) -> None:
    engine = LocalEngine(configured(tmp_path, NIGHT))
    engine.land(nights)
    before = counts(tmp_path)
    engine.land(nights)
    print(before)
    assert counts(tmp_path) == before
    assert (engine.report.landed, engine.report.known) == (len(nights), len(nights))


def test_other_bytes_under_a_landed_path_are_refused_and_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.dbn.zst"
    root = tmp_path / "root"
    write_dbn(path, head({"ESH4": 17077}, START), orders(50))
    run(configured(root), [path])
    landed = next((root / "raw-dbn").rglob("a.dbn.zst")).read_bytes()
    before = tmp_path / "before"
    shutil.copytree(root, before)
    write_dbn(path, head({"ESH4": 17077}, START), orders(60))
    with pytest.raises(LakeError, match="landed with sha256"):
        run(configured(root), [path])
    assert next((root / "raw-dbn").rglob("a.dbn.zst")).read_bytes() == landed
    assert_equal(before, root)
    assert counts(root)["bronze.mbo"] == 50


def test_the_same_records_in_another_file_count_once_in_silver(
    nights: list[Path], tmp_path: Path
) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    run(configured(once, NIGHT), nights)
    again = [rewrite(f, tmp_path / f"again-{f.name}", records(f)) for f in mbo("mbo", nights)]
    report = run(configured(twice, NIGHT), [*nights, *again])
    print([s.duplicates for s in report.sessions])
    assert sum(s.duplicates for s in report.sessions) > 0
    assert_equal(once, twice, ("silver", "gold"))


# Records


def test_instrument_that_nothing_identifies_is_quarantined_whole(tmp_path: Path) -> None:
    mixed = np.concatenate([orders(40), orders(10, 999, START + 3600 * NS + 500)])
    mixed = mixed[np.argsort(mixed["ts_recv"], kind="stable")]
    path = write_dbn(tmp_path / "a.dbn.zst", head({"ESH4": 17077}, START), mixed)
    root = tmp_path / "root"
    report = run(configured(root), [path], chunk_records=7)
    held_back = rows(root, "bronze.quarantine")
    assert counts(root)["bronze.mbo"] == 40
    assert len(held_back) == report.files[0].refused == 10
    assert [r["offset"] for r in held_back] == np.flatnonzero(
        mixed["instrument_id"] == 999
    ).tolist()
    for row in held_back:
        assert bytes.fromhex(row["raw"]) == mixed[row["offset"]].tobytes()
        assert "999" in row["reason"]
        assert "land the definitions" in row["reason"]
        assert row["source"].endswith("a.dbn.zst")
    print(report.files)


def test_records_that_break_the_contract_are_quarantined_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    given = orders(30)
    broken = {
        3: ("action", ord("Z"), "action"),
        5: ("side", ord("X"), "side"),
        7: ("ts_recv", -1, "ts_recv"),
        9: ("size", 2**32 - 1, "size"),
        11: ("side", ord("N"), "without a side"),
        13: ("price", 2**63 - 1, "without a price"),
        15: ("size", 0, "size 0"),
        17: ("price", 4_800_100_000_000, "price step"),
    }
    for i, (name, value, _) in broken.items():
        given[name][i] = value
    path = write_dbn(tmp_path / "a.dbn.zst", head({"ESH4": 17077}, START), given)
    root = tmp_path / "root"
    report = run(configured(root), [path])
    found = {r["offset"]: r for r in rows(root, "bronze.quarantine")}
    assert sorted(found) == sorted(broken)
    for i, (_, _, word) in broken.items():
        assert word in found[i]["reason"], found[i]
        assert bytes.fromhex(found[i]["raw"]) == given[i].tobytes()
    kept = held(root, "bronze.mbo")["order_id"].to_pylist()
    assert kept == [i + 1 for i in range(30) if i not in broken]
    read = report.files[0]
    assert (read.records, read.new, read.refused, read.skipped) == (30, 22, 8, 0)
    assert [r["records"] for r in Manifest(Lake(root)).rows().values()] == [30]


def test_spreads_are_skipped_and_counted(tmp_path: Path) -> None:
    given = np.concatenate([orders(20), orders(15, 500, START + 7200 * NS)])
    path = write_dbn(tmp_path / "a.dbn.zst", head({"ESH4": 17077, "ESH4-ESM4": 500}, START), given)
    root = tmp_path / "root"
    read = run(configured(root), [path]).files[0]
    print(read)
    assert (read.records, read.new, read.skipped, read.refused) == (35, 20, 15, 0)
    assert counts(root)["bronze.mbo"] == 20
    assert rows(root, "bronze.quarantine") == []


def test_file_of_no_records_is_whole_and_empty(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "a.dbn.zst", head({"ESH4": 17077}, START), orders(0))
    report = run(configured(tmp_path / "root"), [path])
    (row,) = Manifest(Lake(tmp_path / "root")).rows().values()
    assert (row["status"], row["records"], row["last_mark"]) == ("ingested", 0, None)
    assert report.damaged == []


# Missing days


def test_missing_first_day_is_a_named_gap_and_the_session_names_its_file(
    nights: list[Path], tmp_path: Path
) -> None:
    first, second = (mbo("mbo", nights)[k] for k in (0, 1))
    day = first.name.split("-")[3][:8]
    report = run(configured(tmp_path, NIGHT), [*mbo("definition", nights), second])
    gaps = rows(tmp_path, "bronze.gaps")
    print(gaps, [s.missing for s in report.sessions])
    assert any(day in g["reason"] for g in gaps)
    session = next(s for s in report.sessions if s.session_date == "2024-01-09")
    assert day in str(session.missing)
    assert not any(r["complete"] for r in rows(tmp_path, "silver.session_summary"))
    assert rows(tmp_path, "gold.training_view") == []
    # When the day comes after all, the session is whole, and equal to one that never waited.
    run(configured(tmp_path, NIGHT), [first])
    whole = tmp_path / "whole"
    run(configured(whole, NIGHT), nights)
    found = rows(tmp_path, "silver.session_summary", session_date=date(2024, 1, 9))
    assert all(r["complete"] for r in found)
    assert_equal(whole, tmp_path, ("silver", "gold"))


def test_missing_last_day_leaves_the_session_incomplete_with_the_feeds_end(
    nights: list[Path], tmp_path: Path
) -> None:
    report = run(configured(tmp_path, NIGHT), [*mbo("definition", nights), mbo("mbo", nights)[0]])
    session = next(s for s in report.sessions if s.session_date == "2024-01-09")
    print(session.missing)
    assert "2024-01-09T02:00:00.25" in str(session.missing)
    assert "the feed ends at 2024-01-08T23:59" in str(session.missing)
    assert rows(tmp_path, "gold.training_view") == []
