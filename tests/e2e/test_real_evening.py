"""The real evening of ES, from two vendor files to labels: the counts that everything stands on."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import databento
import numpy as np
import pytest

from spymaster.engines.local import Report
from spymaster.feed.dbn import MBO_RECORD
from spymaster.feed.dbn_write import write_dbn
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.lake.lineage import complete
from tests.e2e.scenes import (
    assert_equal,
    counts,
    encoded,
    evening,
    head,
    held,
    records,
    rows,
    run,
)
from tests.real_data import es_mbo

DAYS = ("20231224", "20231225")
RECORDS = {"20231224": 8_725, "20231225": 68_792}
PARTITION = {"session_date": "2023-12-26", "underlier": "ES", "instrument_type": "FUT"}
START = 1_703_462_400_000_000_000


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    files = [es_mbo(day) for day in DAYS]
    root = tmp_path_factory.mktemp("evening")
    return root, run(evening(root), files)


@pytest.fixture(scope="module")
def root(landed: tuple[Path, Report]) -> Path:
    return landed[0]


def test_every_record_of_both_files_is_one_row_of_bronze(landed: tuple[Path, Report]) -> None:
    root, report = landed
    by_batch = Counter(r["batch_id"] for r in rows(root, "bronze.mbo", "batch_id"))
    found = {
        m["path"].split("/")[3]: by_batch[m["batch_id"]] for m in rows(root, "bronze.manifest")
    }
    print(found)
    assert found == RECORDS
    assert (report.landed, report.known) == (2, 0)
    assert sum(f.new for f in report.files) == 77_517
    assert rows(root, "bronze.quarantine") == rows(root, "bronze.gaps") == []


@pytest.mark.parametrize("day", DAYS)
def test_encoding_bronze_again_gives_the_files_records_byte_for_byte(
    root: Path, tmp_path: Path, day: str
) -> None:
    store = databento.DBNStore.from_bytes(es_mbo(day).read_bytes())
    truth = np.frombuffer(store.to_ndarray().tobytes(), MBO_RECORD)
    batch = next(m["batch_id"] for m in rows(root, "bronze.manifest") if day in m["path"])
    got = encoded(held(root, "bronze.mbo", batch_id=batch))
    assert len(got) == len(truth) == RECORDS[day]
    for name in truth.dtype.names:
        assert np.array_equal(got[name], truth[name]), name
    assert got.tobytes() == truth.tobytes()
    path = write_dbn(tmp_path / "again.dbn.zst", head({"ESH4": 17077}, START, version=1), got)
    assert records(path).tobytes() == truth.tobytes()
    print(len(got), "records, every field")


def test_counts_of_silver_and_gold_are_the_known_ones(landed: tuple[Path, Report]) -> None:
    root, report = landed
    found = counts(root, ("silver", "gold"))
    print(found)
    assert found == {
        "silver.mbo_normalized": 60_067,
        "silver.orderbook_state": 1_439,
        "silver.bar_5s": 1_439,
        # Two levels from 18:10, four from 18:20, each in every bar but the last, which stays open.
        "silver.level_book": 2 * 599 + 2 * 479,
        "silver.feature_primitives": 1_439,
        "silver.session_levels": 4,
        "silver.level_approach_2m": 3,
        "silver.contract_day": 1,
        "silver.session_summary": 1,
        "gold.feature_series": 1_439,
        "gold.setup_vectors": 75,
        "gold.labels": 75,
        "gold.vector_spec": found["gold.vector_spec"],
    }
    assert rows(root, "gold.training_view") == []
    valid = Counter(r["valid"] for r in rows(root, "silver.bar_5s", "valid"))
    assert valid == {True: 1_198, False: 241}
    assert [s.rows["gold.training_view"] for s in report.sessions] == [0]
    assert report.sessions[0].quality["invalid"] == 241


def test_three_episodes_are_rejects_from_above_and_their_vectors_carry_it(root: Path) -> None:
    episodes = rows(root, "silver.level_approach_2m")
    assert [(e["outcome"], e["direction"]) for e in episodes] == [("REJECT", "FROM_ABOVE")] * 3
    assert sum(e["n_vectors"] for e in episodes) == 75
    vectors, labels = rows(root, "gold.setup_vectors"), rows(root, "gold.labels")
    assert {v["label"] for v in vectors} == {"REJECT"}
    assert {v["feature_hash"] for v in vectors} == {x["feature_hash"] for x in labels}
    assert len({v["feature_hash"] for v in vectors}) == 75


def test_session_is_incomplete_and_says_where_the_feed_ends(landed: tuple[Path, Report]) -> None:
    root, report = landed
    (summary,) = rows(root, "silver.session_summary")
    print(summary["missing"])
    assert not summary["complete"]
    assert "2023-12-26T21:00:00.25" in summary["missing"]
    assert "2023-12-25T23:59:59" in summary["missing"]
    assert report.sessions[0].missing == summary["missing"]
    assert (summary["volume"], summary["n_trades"]) == (9_892, 2_973)


def test_all_tables_of_a_session_lie_in_its_partition(root: Path) -> None:
    lake = Lake(root)
    cut = [n for n in lake.existing() if lake.table(n).partition]
    print(len(cut), "tables")
    assert len(cut) == 13
    for name in cut:
        assert lake.partitions(name) == [PARTITION], name
        folder = root / "lake" / lake.table(name).path
        assert list(
            folder.glob("session_date=2023-12-26/underlier=ES/instrument_type=FUT/*.parquet")
        )


def test_width_of_a_vector_is_the_number_of_named_features(root: Path) -> None:
    spec = sorted(rows(root, "gold.vector_spec"), key=lambda r: r["position"])
    vectors = rows(root, "gold.setup_vectors", "feature_vector", "lookback_spec")
    widths = {len(v["feature_vector"]) for v in vectors}
    print(len(spec), "features", len(vectors), "vectors")
    assert widths == {len(spec)}
    assert 150 <= len(spec) <= 300
    assert [r["position"] for r in spec] == list(range(len(spec)))
    assert len({r["name"] for r in spec}) == len(spec)
    assert {v["lookback_spec"] for v in vectors} == {r["lookback_spec"] for r in spec}
    assert json.loads(spec[0]["lookback_spec"])["vector"]["size"] == len(spec)


def test_manifest_knows_what_each_file_held(root: Path) -> None:
    rows_ = {r["path"]: r for r in rows(root, "bronze.manifest") if r["status"] == "ingested"}
    assert sorted(rows_) == [f"raw-dbn/ES/FUT/{d}/esh4-glbx-mdp3-{d}.mbo.dbn.zst" for d in DAYS]
    for path, row in rows_.items():
        day = path.split("/")[3]
        assert row["records"] == RECORDS[day]
        assert row["bytes"] == es_mbo(day).stat().st_size
        assert (root / path).read_bytes() == es_mbo(day).read_bytes()
        assert row["last_mark"] == int(records(es_mbo(day))["ts_recv"].max())
        assert (row["schema"], row["dataset"], row["instrument_types"]) == (
            "mbo", "GLBX.MDP3", ["FUT"],
        )  # fmt: skip


def test_definitions_come_from_the_files_symbol_mapping(root: Path) -> None:
    found = rows(root, "bronze.definitions")
    assert len(found) == 2
    for row in found:
        assert (row["contract_id"], row["raw_symbol"], row["instrument_id"], row["source"]) == (
            "ES.FUT.202403", "ESH4", 17077, "mapping",
        )  # fmt: skip
        assert row["price_step"] == row["tick"] == 250_000_000


def test_lineage_ends_complete_with_the_version_of_every_table(landed: tuple[Path, Report]) -> None:
    root, report = landed
    lake = Lake(root)
    row = complete(lake)["2023-12-26", "ES"]
    versions, written = json.loads(row["table_versions"]), json.loads(row["rows"])
    assert set(versions) == {n for n in lake.existing() if lake.table(n).partition} - {"bronze.mbo"}
    assert row["data_version"] == report.sessions[0].data_version
    assert {n: written[n] for n in versions} == {n: lake.scan(n).num_rows for n in versions}
    assert [r["status"] for r in rows(root, "lineage")][:2] == ["started", "complete"]
    manifest = rows(root, "bronze.manifest")
    assert row["files"] == [next(m["sha256"] for m in manifest if "20231225" in m["path"])]
    assert {v["data_version"] for v in rows(root, "gold.setup_vectors")} == {row["data_version"]}


def test_second_run_adds_nothing_to_bronze_and_changes_no_table(root: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    shutil.copytree(root, before)
    version = Lake(root).version("bronze.mbo")
    again = run(evening(root), [es_mbo(day) for day in DAYS])
    assert (again.landed, again.known) == (0, 2)
    assert sum(f.new for f in again.files) == 0
    assert Lake(root).version("bronze.mbo") == version
    assert_equal(before, root)
    found = diff(before, root)
    assert found.rows["bronze.mbo"] == (77_517, 77_517)
    assert found.equal, str(found)
    assert "lineage" not in found.tables  # how, not what


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("compress", [True, False], ids=["zstd", "plain"])
def test_every_dbn_version_packed_or_plain_gives_the_same_bronze(
    root: Path, tmp_path: Path, version: int, compress: bool
) -> None:
    name = "esh4-glbx-mdp3-20231225.mbo.dbn" + ".zst" * compress
    truth = records(es_mbo())
    path = write_dbn(
        tmp_path / name, head({"ESH4": 17077}, START, version=version), truth, compress=compress
    )
    other = tmp_path / "root"
    run(evening(other), [path])
    batch = next(m["batch_id"] for m in rows(root, "bronze.manifest") if "20231225" in m["path"])
    found = diff(held(root, "bronze.mbo", batch_id=batch), held(other, "bronze.mbo"), "bronze.mbo")
    print(found)
    assert found.equal
    assert found.rows["bronze.mbo"] == (68_792, 68_792)
    assert_equal(root, other, ("silver", "gold"))
