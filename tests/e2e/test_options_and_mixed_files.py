"""Options known by their definitions, and files that hold several kinds of contract."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from spymaster.feed.dbn import MBO_RECORD
from spymaster.feed.dbn_definitions import read_definitions
from spymaster.feed.dbn_write import write_dbn
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.lake.manifest import Manifest
from tests.e2e.scenes import (
    NS,
    SHORT,
    TICK,
    assert_equal,
    counts,
    head,
    held,
    market,
    mbo,
    records,
    rewrite,
    rows,
    run,
    short,
)
from tests.real_data import es_definitions

DAY = 1_690_848_000 * NS  # 2023-08-01 00:00 UTC, the day of the real definitions
OPEN = DAY + 13 * 3600 * NS + 25 * 60 * NS  # 09:25 New York


def quotes(number: int, price: int, step: int, n: int = 60) -> np.ndarray:
    """Bids, asks and trades of one instrument, a clear first, one record every 20 seconds."""
    out = np.zeros(3 * n + 1, MBO_RECORD)
    out["length"], out["rtype"], out["publisher_id"], out["instrument_id"] = 14, 0xA0, 1, number
    out["ts_recv"] = OPEN - 60 * NS + np.arange(len(out)) * 20 * NS
    out["ts_event"] = out["ts_recv"] - 100_000
    out["order_id"], out["flags"], out["size"] = np.arange(len(out)), 128, 3
    turn = np.arange(len(out)) % 3
    out["action"] = np.where(turn == 2, ord("T"), ord("A"))
    out["side"] = np.where(turn == 0, ord("B"), ord("A"))
    out["price"] = price + np.where(turn == 0, -step, step)
    out["action"][0], out["side"][0], out["price"][0], out["size"][0] = (
        ord("R"),
        ord("N"),
        2**63 - 1,
        0,
    )
    return out


@pytest.fixture(scope="module")
def options() -> np.ndarray:
    return read_definitions(es_definitions("opt"))


def merged(*parts: np.ndarray) -> np.ndarray:
    whole = np.concatenate(parts)
    return whole[np.argsort(whole["ts_recv"], kind="stable")]


def test_options_are_named_by_their_definition_and_have_bars_with_events_only(
    options: np.ndarray, tmp_path: Path
) -> None:
    first, second = (int(n) for n in options["instrument_id"][:2])
    given = merged(quotes(first, 400 * NS, NS // 4), quotes(second, 900 * NS, NS // 20))
    path = write_dbn(tmp_path / "opt.dbn.zst", head({}, DAY), given)
    root = tmp_path / "root"
    # A file of MBO that says nothing of its instruments needs a symbol of a configured underlier.
    path = write_dbn(path, head({"ESU3": 1}, DAY), given)
    report = run(short(root), [es_definitions("opt"), path])
    names = {r["raw_symbol"]: r["contract_id"] for r in rows(root, "bronze.definitions")}
    print(names, report.files)
    assert names["ESM4 C4250"] == "ES.OPT.ES.20240621.C.4250"
    assert counts(root)["bronze.mbo"] == len(given)
    assert rows(root, "bronze.quarantine") == []
    bars = rows(root, "silver.bar_5s")
    assert {b["instrument_type"] for b in bars} == {"OPT"}
    assert {b["contract_id"] for b in bars} == {names["ESM4 C4250"], names["ESM4 C3550"]}
    assert all(b["n_events"] > 0 for b in bars)
    assert 0 < len(bars) < 2 * 420
    for table in ("silver.session_levels", "silver.level_approach_2m", "gold.setup_vectors"):
        assert rows(root, table) == []
    assert rows(root, "silver.contract_day") == []


def test_records_before_their_definition_are_quarantined_and_later_days_are_not(
    options: np.ndarray, tmp_path: Path
) -> None:
    number = int(options["instrument_id"][0])
    day_before = quotes(number, 400 * NS, NS // 4)
    for name in ("ts_recv", "ts_event"):
        day_before[name] -= 86_400 * NS
    early = write_dbn(tmp_path / "a.dbn.zst", head({"ESU3": 1}, DAY - 86_400 * NS), day_before)
    late = write_dbn(
        tmp_path / "b.dbn.zst", head({"ESU3": 1}, DAY), quotes(number, 400 * NS, NS // 4)
    )
    root = tmp_path / "root"
    run(short(root), [early, late, es_definitions("opt")])
    held_back = rows(root, "bronze.quarantine")
    print(len(held_back), counts(root))
    assert len(held_back) == len(day_before)
    assert all(str(number) in r["reason"] for r in held_back)
    assert counts(root)["bronze.mbo"] == len(day_before)


def test_mixed_file_lies_under_its_main_kind_and_is_cut_by_kind(
    options: np.ndarray, tmp_path: Path
) -> None:
    """A live capture: no schema, definitions of the options inside, the future in its mapping."""
    number = int(options["instrument_id"][0])
    future, option = quotes(77, 19_000 * TICK, TICK), quotes(number, 400 * NS, NS // 4)
    option["ts_recv"] += 3
    both = merged(future, option)
    body = options[:1].tobytes() + both.tobytes()
    path = write_dbn(tmp_path / "live.dbn.zst", head({"ESU3": 77}, DAY, schema=None), body)
    root = tmp_path / "root"
    run(short(root), [path])
    (row,) = Manifest(Lake(root)).rows().values()
    print(row["path"], row["instrument_types"], counts(root))
    assert row["path"] == "raw-dbn/ES/FUT/20230801/live.dbn.zst"
    assert (row["schema"], row["instrument_types"]) == ("mixed", ["FUT", "OPT"])
    assert rows(root, "bronze.quarantine") == []
    for table in ("bronze.mbo", "silver.bar_5s"):
        kinds = {p["instrument_type"] for p in Lake(root).partitions(table)}
        assert kinds == {"FUT", "OPT"}, table
    assert len(held(root, "bronze.mbo", instrument_type="FUT")) == len(future)
    assert len(held(root, "bronze.mbo", instrument_type="OPT")) == len(option)


def test_contracts_in_one_file_equal_contracts_in_files_of_their_own(tmp_path: Path) -> None:
    files = market(
        tmp_path / "m", sessions=1, events=6_000, windows=SHORT, first=date(2024, 1, 9), contracts=2
    )
    day = mbo("mbo", files)[1]
    whole = records(day)
    together, apart = tmp_path / "together", tmp_path / "apart"
    definitions = mbo("definition", files)
    run(short(together), [*definitions, day])
    parts = [
        rewrite(day, tmp_path / f"{n}.dbn.zst", whole[whole["instrument_id"] == n])
        for n in np.unique(whole["instrument_id"])
    ]
    assert len(parts) == 2
    run(short(apart), [*definitions, *parts])
    assert_equal(together, apart, ("silver", "gold"))
    assert diff(together, apart, "bronze.mbo").equal
    print(counts(together))
