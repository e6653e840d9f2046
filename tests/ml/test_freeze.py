"""A snapshot: what was known on a day, bit for bit, once, and never half."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spymaster.engines.lease import Lease
from spymaster.errors import LakeError, ModelError, SpymasterError
from spymaster.lake import Lake
from spymaster.ml.dataset import load, open_snapshot, snapshot_folder
from spymaster.ml.freeze import Frozen, freeze
from spymaster.ml.outcomes import OUTCOMES
from spymaster.settings import Settings
from spymaster.stages.vector_spec import lookback_spec, spec_hash, vector_spec_rows
from tests.e2e import scenes
from tests.e2e.runner import environment
from tests.ml import lakes

RUN_DATE = dt.date(2024, 1, 18)
NOW = int(dt.datetime(2024, 6, 1, tzinfo=dt.UTC).timestamp()) * 10**9
BEFORE = [day for day in lakes.sessions(12) if day < RUN_DATE]


def take(root: Path, run_date: dt.date = RUN_DATE, chosen: Settings | None = None) -> Frozen:
    return freeze(Lake(root), chosen or lakes.settings(root), "ES_MODEL", run_date, NOW)


def refused(root: Path, run_date: dt.date = RUN_DATE, model_id: str = "ES_MODEL") -> str:
    """What freezing says when it refuses; it changes nothing, and leaves nothing half-written."""
    before = names(root)
    with pytest.raises(SpymasterError) as caught:
        freeze(Lake(root), lakes.settings(root), model_id, run_date, NOW)
    assert names(root) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(root: Path) -> dict[str, tuple[int, int]]:
    """Every frozen file, its bytes and when it was written."""
    found = [p for p in (root / "ml-artifacts").rglob("*") if p.is_file()]
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}


def known(root: Path) -> pa.Table:
    """The lake's rows of the sessions before the run date, in the order of a dataset."""
    rows = Lake(root).scan("gold.training_view", None, {"session_date": BEFORE})
    keys = ("session_date", "vector_time", "contract_id", "episode_id")
    return rows.sort_by([(key, "ascending") for key in keys])


def test_what_is_frozen_is_what_the_lake_held_to_the_last_bit(root: Path) -> None:
    take(root)
    data, rows = load(root, "ES_MODEL", RUN_DATE), known(root)
    vectors = np.array(rows["feature_vector"].to_pylist())
    assert len(data) == rows.num_rows == 30 * len(BEFORE)
    assert data.features.tobytes() == vectors.tobytes()
    assert np.isnan(data.features).any()
    assert [OUTCOMES[code] for code in data.label] == rows["label"].to_pylist()
    assert set(data.label.tolist()) == {0, 1, 2}
    assert data.weight.tolist() == rows["weight"].to_pylist()
    assert 0.1 in data.weight.tolist()  # two episodes of five vectors side by side
    assert data.feature_hash.tolist() == rows["feature_hash"].to_pylist()
    assert [data.episode_id[code] for code in data.episode] == rows["episode_id"].to_pylist()
    assert data.session.tolist() == rows["session_date"].to_pylist()
    assert data.sessions == tuple(BEFORE)
    for name in ("vector_time", "known_at", "contract_id", "level_price", "barrier_ticks"):
        assert getattr(data, name).tolist() == rows[name].to_pylist(), name
    sides = {"FROM_BELOW": 1, "FROM_ABOVE": -1}
    assert data.direction.tolist() == [sides[d] for d in rows["direction"].to_pylist()]
    assert set(data.direction.tolist()) == {1, -1}


def test_any_reader_of_parquet_finds_the_features_by_name(root: Path) -> None:
    path = take(root).path
    data = load(root, "ES_MODEL", RUN_DATE)
    rows = pq.read_table(path / "vectors.parquet", columns=["distance_ticks", "ofi"])
    assert rows["distance_ticks"].to_pylist() == data.column("distance_ticks").tolist()
    assert rows["ofi"].to_pylist() == data.column("ofi").tolist()
    spec = pq.read_table(path / "vector_spec.parquet")
    assert spec["name"].to_pylist() == list(data.names)
    text = (path / "lookback_spec.json").read_bytes()
    assert blake2b(text, digest_size=16).hexdigest() == data.feature_contract
    assert pq.read_table(path / "data_version.parquet")["data_version"].to_pylist() == (
        ["v1"] * len(BEFORE)
    )
    with pytest.raises(ModelError, match="no feature 'ofi_9'"):
        data.column("ofi_9")


def test_the_manifest_counts_what_is_there(root: Path) -> None:
    counts, rows = take(root).manifest.counts, known(root)
    assert counts["sessions"] == len(BEFORE)
    assert counts["vectors"] == rows.num_rows
    assert counts["episodes"] == len(set(rows["episode_id"].to_pylist()))
    assert (counts["first_session"], counts["last_session"]) == (str(BEFORE[0]), str(BEFORE[-1]))
    for name in OUTCOMES:
        mine = rows.filter(pc.field("label") == name)
        assert counts["outcomes"][name]["vectors"] == mine.num_rows > 0
        assert counts["outcomes"][name]["episodes"] == len(set(mine["episode_id"].to_pylist()))


def test_a_part_of_a_dataset_keeps_its_codes(root: Path) -> None:
    take(root)
    data = load(root, "ES_MODEL", RUN_DATE)
    part = data.of((BEFORE[2], BEFORE[5]))
    assert part.sessions == (BEFORE[2], BEFORE[5])
    assert len(part) == 60
    assert part.checksum == data.checksum
    at = np.flatnonzero(data.session == np.datetime64(BEFORE[5]))
    assert part.rows(np.arange(30, 60)).feature_hash.tolist() == data.feature_hash[at].tolist()
    assert {part.episode_id[c] for c in part.episode} < set(data.episode_id)


# Once


def test_the_same_content_again_does_nothing(root: Path) -> None:
    first = take(root)
    before = names(root)
    again = take(root)
    assert (first.made, again.made) == (True, False)
    assert again.manifest == first.manifest
    assert names(root) == before


def test_the_same_rows_made_anew_by_other_code_are_the_same_content(root: Path) -> None:
    first = take(root)
    lake, spec = Lake(root), lookback_spec(lakes.settings(root).of("ES"))
    rows = lakes.rows_of(BEFORE[3], spec, data_version="v2")
    lakes.put(lake, rows.take(list(reversed(range(rows.num_rows)))))
    lakes.tell(lake, BEFORE[3], data_version="v2")
    again = take(root)
    assert (again.made, again.manifest.checksum) == (False, first.manifest.checksum)


def test_later_sessions_change_nothing_under_an_earlier_run_date(root: Path) -> None:
    first = take(root)
    lake, spec = Lake(root), lookback_spec(lakes.settings(root).of("ES"))
    for day in (RUN_DATE, dt.date(2024, 3, 1)):
        lakes.put(lake, lakes.rows_of(day, spec, seed=9))
        lakes.tell(lake, day)
    again = take(root)
    assert not again.made
    assert again.manifest.checksum == first.manifest.checksum
    assert len(again.left_out.later) == len(lakes.sessions(12)) - len(BEFORE) + 1


def test_other_values_are_refused_by_session_and_column(root: Path) -> None:
    take(root)
    lake = Lake(root)
    rows = known(root).filter(pc.field("session_date") == BEFORE[4])
    weights = pa.array([w / 2 for w in rows["weight"].to_pylist()])
    at = rows.schema.get_field_index("weight")
    lakes.put(lake, rows.set_column(at, rows.schema.field(at), weights))
    said = refused(root)
    assert f"{BEFORE[4]} has other values in its 30 rows; columns: weight." in said
    assert "Take the new rows under another --run-date" in said


def test_a_session_more_or_less_is_refused_by_its_name(root: Path) -> None:
    take(root)
    lake, spec = Lake(root), lookback_spec(lakes.settings(root).of("ES"))
    sunday = dt.date(2024, 1, 14)
    lakes.put(lake, lakes.rows_of(sunday, spec, episodes=2))
    lakes.tell(lake, sunday)
    lakes.tell(lake, BEFORE[1], status="started")
    lakes.put(lake, lakes.rows_of(BEFORE[2], spec, episodes=2))
    said = refused(root)
    assert f"{sunday} is new; {BEFORE[1]} is gone; {BEFORE[2]} has 10 rows, had 30" in said


def test_another_run_date_is_another_snapshot_of_the_same_content(root: Path) -> None:
    first, second = take(root), take(root, RUN_DATE)
    later = take(root, dt.date(2024, 1, 19))
    assert first.path == second.path != later.path
    assert later.manifest.counts["sessions"] == len(BEFORE) + 1
    weekend = take(root, dt.date(2024, 1, 13)), take(root, dt.date(2024, 1, 14))
    assert weekend[0].manifest.checksum == weekend[1].manifest.checksum


# Only what was known


def test_an_outcome_known_only_on_the_run_date_leaves_its_session_out(root: Path) -> None:
    midnight = int(dt.datetime.combine(RUN_DATE, dt.time(), dt.UTC).timestamp()) * 10**9
    lake, spec = Lake(root), lookback_spec(lakes.settings(root).of("ES"))
    lakes.put(lake, lakes.rows_of(BEFORE[-1], spec, last_known_at=midnight + 1))
    lakes.put(lake, lakes.rows_of(BEFORE[-2], spec, last_known_at=midnight))
    made = take(root)
    assert made.left_out.late == {f"ES {BEFORE[-1]}": 30}
    data = load(root, "ES_MODEL", RUN_DATE)
    assert data.sessions == tuple(BEFORE[:-1])
    assert int(data.known_at.max()) == midnight


def test_a_session_that_lineage_does_not_call_complete_is_not_seen(root: Path) -> None:
    lakes.tell(Lake(root), BEFORE[0], status="silver")
    made = take(root)
    assert made.left_out.invisible == {f"ES {BEFORE[0]}": 30}
    assert load(root, "ES_MODEL", RUN_DATE).sessions == tuple(BEFORE[1:])


def test_of_two_feature_contracts_the_settings_say_which(root: Path) -> None:
    approach = {"approach": {"scale": "fixed"}}
    other = lakes.settings(root, underlier={"ES": approach})
    spec = lookback_spec(other.of("ES"))
    lake = Lake(root)
    lake.append_rows("gold.vector_spec", vector_spec_rows(spec))
    for day in BEFORE[:4]:
        lakes.put(lake, lakes.rows_of(day, spec))
    mine = take(root)
    assert mine.left_out.other_contract == {spec_hash(spec): 120}
    assert mine.left_out.lines()[-1] == "120 rows of another feature contract (1 contract)"
    assert load(root, "ES_MODEL", RUN_DATE).sessions == tuple(BEFORE[4:])
    theirs = take(root, dt.date(2024, 1, 17), other)
    assert theirs.manifest.about["feature_contract"] == spec_hash(spec)
    assert load(root, "ES_MODEL", dt.date(2024, 1, 17)).sessions == tuple(BEFORE[:4])


# What cannot be frozen


def test_a_row_that_is_not_what_its_hash_says_is_refused(root: Path) -> None:
    lake = Lake(root)
    rows = known(root).filter(pc.field("session_date") == BEFORE[-1]).to_pylist()
    rows[7]["feature_vector"][100] += 1e-12
    lakes.put(lake, pa.Table.from_pylist(rows, lakes.rows_of(BEFORE[0], "").schema))
    said = refused(root)
    assert f"{BEFORE[-1]} {lakes.CONTRACT} vector_time {rows[7]['vector_time']}" in said
    assert f"spymaster hist gold --session {BEFORE[-1]}" in said


def test_rows_of_another_making_than_lineage_tells_are_refused(root: Path) -> None:
    lakes.tell(Lake(root), BEFORE[0], data_version="v2")
    assert "is being made anew" in refused(root)


def test_what_is_not_there_is_told(root: Path, tmp_path: Path) -> None:
    assert "allowed: ES_MODEL, TSLA_MODEL" in refused(root, model_id="SPY_MODEL")
    assert "has no training row known before 2024-01-18" in refused(root, model_id="TSLA_MODEL")
    said = refused(root, dt.date(2024, 1, 8))
    assert "360 rows of sessions on or after the run date (12 sessions)" in said
    assert "allowed: up to 2024-06-01 (UTC)" in refused(root, dt.date(2024, 6, 2))
    with pytest.raises(LakeError, match="no lake lies here yet"):
        take(tmp_path / "empty")
    bare = Lake(tmp_path / "bare")
    bare.create("bronze.mbo")
    assert "there is no gold.training_view to learn from" in refused(tmp_path / "bare")


def test_two_markets_of_one_model_must_mean_the_same(root: Path) -> None:
    chosen = lakes.settings(root, underlier={"TSLA": {"model_id": "ES_MODEL"}})
    with pytest.raises(ModelError, match="a model has exactly one feature contract"):
        take(root, chosen=chosen)


def test_a_frozen_file_that_was_touched_is_named(root: Path) -> None:
    path = take(root).path
    weights = path / "weights.parquet"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(ModelError, match=r"weights\.parquet: has sha256"):
        load(root, "ES_MODEL", RUN_DATE)
    assert "changed after it was frozen" in refused(root)
    weights.unlink()
    with pytest.raises(ModelError, match=r"weights\.parquet: is gone"):
        load(root, "ES_MODEL", RUN_DATE)
    weights.write_bytes(whole)
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows": 30', '"rows": 31', 1))
    with pytest.raises(ModelError, match="does not match its checksum"):
        load(root, "ES_MODEL", RUN_DATE)
    manifest.write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        load(root, "ES_MODEL", RUN_DATE)


def test_a_snapshot_that_is_not_there_names_those_that_are(root: Path) -> None:
    take(root)
    with pytest.raises(ModelError, match=r"there are: 2024-01-18\. Make it with: spymaster ml"):
        load(root, "ES_MODEL", dt.date(2024, 1, 19))
    with pytest.raises(ModelError, match="cannot name a folder"):
        load(root, "../ES_MODEL", RUN_DATE)
    with pytest.raises(LakeError, match="under a local root only"):
        load("abfss://lake@somewhere.dfs.core.windows.net/", "ES_MODEL", RUN_DATE)


# Never half

KILLED = """
import os, signal, sys
from pathlib import Path
from spymaster.ml import folder, freeze
from spymaster.lake import Lake
import datetime as dt
from spymaster.settings import Settings
root, at = Path(sys.argv[1]), int(sys.argv[2])
calls = 0
def deadly(path, real=folder.fsync):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
    real(path)
folder.fsync = deadly
settings = Settings.load(None, root=str(root))
freeze.freeze(Lake(root), settings, "ES_MODEL", dt.date(2024, 1, 18), {now})
""".replace("{now}", str(NOW))


@pytest.mark.parametrize(("at", "there"), [(3, False), (9, True)])
def test_a_kill_leaves_a_whole_snapshot_or_none(root: Path, at: int, there: bool) -> None:
    """Killed among the files of the stage; and between the rename and the folder's own sync."""
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), str(at)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == -9, ended.stderr
    beside = [p.name for p in snapshot_folder(root, "ES_MODEL", RUN_DATE).path.parent.iterdir()]
    assert ("2024-01-18" in beside) == there
    assert len(beside) == 1
    assert take(root).made != there
    assert load(root, "ES_MODEL", RUN_DATE).features.shape == (30 * len(BEFORE), 298)
    parent = snapshot_folder(root, "ES_MODEL", RUN_DATE).path.parent
    assert [p.name for p in parent.iterdir()] == ["2024-01-18"]


def test_a_second_maker_is_refused_while_the_first_is_at_work(root: Path) -> None:
    with Lease(Lake(root).place, "other", time.time_ns, "snapshot/ES_MODEL"):
        assert "another snapshot of ES_MODEL is at work" in refused(root)
    assert take(root).made


def test_what_mlflow_is_told(root: Path) -> None:
    from spymaster.ml.mlflow_dataset import mlflow_dataset

    path = take(root).path
    data = load(root, "ES_MODEL", RUN_DATE)
    made = mlflow_dataset(root, data)
    told = made.to_dict()
    assert made.digest == told["digest"] == data.checksum
    assert told["name"] == "ES_MODEL/2024-01-18"
    assert str(path / "vectors.parquet") in told["source"]
    assert made.profile == {"num_rows": len(data), "num_elements": len(data) * 299}
    assert made.schema.input_names() == [*data.names, "label"]
    assert (made.df["label"] == [OUTCOMES[c] for c in data.label]).all()
    assert open_snapshot(root, "ES_MODEL", RUN_DATE).manifest.checksum == made.digest


def test_what_a_run_has_computed_can_be_frozen(tmp_path: Path) -> None:
    """The real thing: files of a simulated market, history, lineage, snapshot."""
    root = tmp_path / "root"
    chosen = scenes.short(root)
    files = scenes.market(tmp_path / "market", events=6_000, windows=scenes.SHORT, seed=3)
    scenes.run(chosen, files)
    made = take(root, chosen=chosen)
    data = load(root, "ES_MODEL", RUN_DATE)
    rows = scenes.held(root, "gold.training_view")
    assert len(data) == rows.num_rows > 100
    assert set(data.feature_hash.tolist()) == set(rows["feature_hash"].to_pylist())
    assert np.bincount(data.episode, data.weight).max() <= 1 + 1e-12
    assert not made.left_out.lines()
    versions = pq.read_table(made.path / "data_version.parquet")["data_version"].to_pylist()
    assert set(versions) == set(rows["data_version"].to_pylist())
    assert not take(root, chosen=chosen).made
