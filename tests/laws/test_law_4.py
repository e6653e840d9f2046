"""Law 4: nothing is known early. Cut the input at c: every row with time <= c - L is unchanged."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from spymaster.contracts.event import LATENESS_NS
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from tests.e2e.scenes import (
    EVENING,
    EVENING_APPROACH,
    FIXED,
    MORNING,
    configured,
    held,
    market,
    mbo,
    records,
    rewrite,
    rows,
    run,
)
from tests.real_data import es_mbo

#: The time at which a row of each table could be known.
KNOWN = {
    "bronze.mbo": "ts_recv",
    "silver.mbo_normalized": "t",
    "silver.bar_5s": "bar_end",
    "silver.orderbook_state": "bar_end",
    "silver.level_book": "bar_end",
    "silver.feature_primitives": "bar_end",
    "silver.session_levels": "known_at",
    "silver.level_approach_2m": "known_at",
    "gold.feature_series": "bar_end",
    "gold.setup_vectors": "vector_time",
    "gold.labels": "known_at",
}
#: A row of bronze is there when its record is; all others wait for the clock.
DELAY = {name: 0 if name == "bronze.mbo" else LATENESS_NS for name in KNOWN}


@dataclass
class Scene:
    """A whole run, and how to make it again from fewer records."""

    root: Path
    files: list[Path]
    windows: dict[str, str]
    approach: dict[str, Any]

    def cut(self, folder: Path, c: int) -> Path:
        """A run over the records up to `c`."""
        given = []
        for file in self.files:
            if ".mbo." not in file.name:
                given.append(file)
                continue
            whole = records(file)
            kept = whole[whole["ts_recv"] <= c]
            if len(kept):
                given.append(rewrite(file, folder / file.name, kept))
        run(configured(folder / "root", self.windows, self.approach), given)
        return folder / "root"


def known_rows(root: Path, table: str, until: int) -> pa.Table:
    """The rows that could be known at `until`, without what vectors learn later."""
    found = held(root, table)
    found = found.filter(pc.less_equal(found[KNOWN[table]], until))
    if table == "gold.setup_vectors":
        nothing = pa.nulls(found.num_rows, pa.string())
        found = found.set_column(found.column_names.index("label"), "label", nothing)
    return found


def assert_nothing_was_known_early(scene: Scene, part: Path, c: int) -> Counter[str]:
    """Compare all rows of time <= c - L, bit by bit; returns how many, and of what kind."""
    seen: Counter[str] = Counter()
    for table, delay in DELAY.items():
        want = known_rows(scene.root, table, c - delay)
        got = known_rows(part, table, c - delay)
        if table == "silver.session_levels":
            # Yesterday's levels are known when a session begins, told when its first file is there.
            begun = pa.array(held(part, "silver.session_summary")["session_date"].unique())
            want = want.filter(pc.is_in(want["session_date"], begun))
        found = diff(want, got, table)
        assert found.equal, f"cut at {c}: {found}"
        seen[table] += want.num_rows
        if table == "silver.level_approach_2m":
            seen.update(want["direction"].to_pylist())
            seen.update(str(outcome) for outcome in want["outcome"].to_pylist())
    # What vectors were labelled with by then is what the whole says.
    known = known_rows(part, "gold.labels", c - LATENESS_NS).to_pylist()
    labels = {r["feature_hash"]: r["label"] for r in known}
    later = {r["feature_hash"]: r["label"] for r in rows(scene.root, "gold.setup_vectors")}
    assert all(later[h] == label for h, label in labels.items())
    return seen


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    root = tmp_path_factory.mktemp("evening")
    scene = Scene(root, [es_mbo()], EVENING, EVENING_APPROACH)
    run(configured(root, EVENING, EVENING_APPROACH), scene.files)
    return scene


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    files = market(tmp_path_factory.mktemp("market"), sessions=2, events=15_000, seed=11)
    root = tmp_path_factory.mktemp("whole")
    run(configured(root), files)
    return Scene(root, files, MORNING, FIXED)


def _cuts(files: list[Path], n: int, seed: int, first: int) -> list[int]:
    """Random ts_recv of the feed, at or after `first`."""
    times = np.concatenate([records(f)["ts_recv"] for f in mbo("mbo", files)])
    times = np.unique(times[times >= first])
    return sorted(np.random.default_rng(seed).choice(times, n, replace=False).tolist())


def test_real_evening_cut_anywhere_changes_no_earlier_row(evening: Scene, tmp_path: Path) -> None:
    first = min(r["bar_start"] for r in rows(evening.root, "silver.bar_5s", "bar_start"))
    seen: Counter[str] = Counter()
    cuts = _cuts(evening.files, 2, 1, first)
    # And one in the midst of an episode, whose outcome must not show.
    episode = max(rows(evening.root, "silver.level_approach_2m"), key=lambda r: r["n_vectors"])
    cuts.append((episode["trigger_time"] + episode["outcome_time"]) // 2)
    for k, c in enumerate(cuts):
        (folder := tmp_path / str(k)).mkdir()
        seen += assert_nothing_was_known_early(evening, evening.cut(folder, c), c)
    print(len(cuts), "cuts:", dict(seen))
    assert all(seen[name] > 0 for name in KNOWN), seen
    assert seen["REJECT"] > 0


def test_simulated_days_cut_anywhere_change_no_earlier_row(
    simulated: Scene, tmp_path: Path
) -> None:
    first = min(r["bar_start"] for r in rows(simulated.root, "silver.bar_5s", "bar_start"))
    seen: Counter[str] = Counter()
    cuts = []
    for seed in (1, 2, 3):
        cuts += _cuts(simulated.files, 1, seed, first)
    # And at the last bar, by the feed's own time: where the feed is silent no mark closes a bar.
    last = max(r["bar_start"] for r in rows(simulated.root, "silver.bar_5s", "bar_start"))
    times = np.concatenate([records(f)["ts_recv"] for f in mbo("mbo", simulated.files)])
    cuts.append(int(times[times <= last].max()))
    for k, c in enumerate(cuts):
        (folder := tmp_path / str(k)).mkdir()
        seen += assert_nothing_was_known_early(simulated, simulated.cut(folder, c), c)
    print(len(cuts), "cuts:", dict(seen))
    assert all(seen[name] > 0 for name in KNOWN), seen
    for word in ("BREAK", "REJECT", "CHOP", "FROM_BELOW", "FROM_ABOVE"):
        assert seen[word] > 0, seen


def test_training_view_holds_only_vectors_and_labels_that_stand_by_themselves(
    simulated: Scene,
) -> None:
    vectors = {r["feature_hash"]: r for r in rows(simulated.root, "gold.setup_vectors")}
    labels = {r["feature_hash"]: r for r in rows(simulated.root, "gold.labels")}
    learnt = rows(simulated.root, "gold.training_view")
    for row in learnt:
        vector, label = vectors[row["feature_hash"]], labels[row["feature_hash"]]
        assert row["vector_time"] == vector["vector_time"] < label["known_at"] == row["known_at"]
        assert row["label"] == label["label"] is not None
        a, b = np.array(row["feature_vector"]), np.array(vector["feature_vector"])
        assert a.tobytes() == b.tobytes()
    print(len(learnt), "of", len(vectors), "vectors")
    assert len(learnt) > 0


@pytest.mark.parametrize("scene", ["evening", "simulated"])
def test_no_vector_is_made_when_its_outcome_is_known(
    scene: str, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(scene).root
    episodes = {e["episode_id"]: e for e in rows(root, "silver.level_approach_2m")}
    vectors = rows(root, "gold.setup_vectors")
    told = 0
    for v in vectors:
        e = episodes[v["episode_id"]]
        assert e["trigger_time"] < v["vector_time"] < e["known_at"]
        if e["outcome_time"] is not None:
            assert v["vector_time"] <= e["outcome_time"]
            told += v["vector_time"] == e["outcome_time"]
            # Only a trade at the very start of the outcome's bar, or CHOP's last bar, may meet it.
            assert e["outcome_time"] - v["vector_time"] >= 0
    assert told <= sum(e["outcome"] is not None for e in episodes.values())
    for row in rows(root, "gold.labels"):
        assert row["known_at"] > row["vector_time"]
        assert row["known_at"] == episodes[row["episode_id"]]["known_at"]
    per_episode = Counter(v["episode_id"] for v in vectors)
    assert all(per_episode[i] == e["n_vectors"] for i, e in episodes.items())
    print(len(vectors), "vectors", len(episodes), "episodes")
    assert len(vectors) > 0


def test_no_level_is_used_before_it_is_known(simulated: Scene) -> None:
    """Neither by an episode nor by the book that counts what happens at it."""
    known: dict[tuple[Any, int], dict[str, int]] = {}
    for row in rows(simulated.root, "silver.session_levels"):
        at = known.setdefault((row["session_date"], row["level_price"]), {})
        at[row["level_type"]] = row["known_at"]
    episodes = rows(simulated.root, "silver.level_approach_2m")
    for e in episodes:
        at = known[e["session_date"], e["level_price"]]
        assert e["level_types"]
        assert set(e["level_types"]) == {t for t, when in at.items() if when <= e["trigger_bar"]}
    bars: dict[tuple[Any, str], set[int]] = defaultdict(set)
    for row in rows(simulated.root, "silver.bar_5s"):
        bars[row["session_date"], row["contract_id"]].add(row["bar_start"])
    seen: dict[tuple[Any, str, int], set[int]] = defaultdict(set)
    for row in rows(simulated.root, "silver.level_book"):
        seen[row["session_date"], row["contract_id"], row["level_price"]].add(row["bar_start"])
    assert {(date, price) for date, _, price in seen} == known.keys()
    for (date, contract, price), starts in seen.items():
        since = min(known[date, price].values())
        assert starts == {start for start in bars[date, contract] if start >= since}
    rows_at_levels = sum(map(len, seen.values()))
    print(len(episodes), "episodes", len(seen), "prices", rows_at_levels, "rows at them")
    assert len(episodes) > 0
    assert rows_at_levels > 0


def test_distance_to_the_barrier_alone_does_not_tell_the_outcome(simulated: Scene) -> None:
    """If a vector came at the outcome's own bar, its price would lie at the barrier."""
    names = {r["name"]: r["position"] for r in rows(simulated.root, "gold.vector_spec")}
    place = names["distance_barriers"]
    every = [v for v in rows(simulated.root, "gold.setup_vectors") if v["label"] is not None]
    every.sort(key=lambda v: v["vector_time"])
    distance = np.array([v["feature_vector"][place] for v in every])
    outcome = np.array([v["label"] for v in every])
    kept = np.isfinite(distance)
    best = _best_rule(distance[kept], outcome[kept])
    last = {v["episode_id"]: abs(v["feature_vector"][place]) for v in every if v["label"] != "CHOP"}
    there = float(np.mean([d >= 1.0 for d in last.values()]))
    print(Counter(outcome.tolist()), "best rule:", round(best, 3), "last at the barrier:", there)
    assert len(set(outcome.tolist())) == 3
    assert len(last) > 10
    assert best < 0.9
    assert there < 0.5


def _best_rule(distance: np.ndarray, outcome: np.ndarray) -> float:
    """Accuracy of the best two thresholds: one outcome below, one between, one above."""
    marks = np.quantile(distance, np.linspace(0, 1, 41))
    right = 0
    for low in marks:
        for high in marks[marks >= low]:
            parts = outcome[distance < low], outcome[distance > high]
            middle = outcome[(distance >= low) & (distance <= high)]
            for below, above in (("BREAK", "REJECT"), ("REJECT", "BREAK")):
                hits = (parts[0] == below).sum() + (parts[1] == above).sum()
                right = max(right, int(hits + (middle == "CHOP").sum()))
    return right / len(outcome)


def test_lake_has_no_table_that_this_law_forgets(simulated: Scene) -> None:
    """Tables by session that carry no time of their own are told here, so that none is missed."""
    lake = Lake(simulated.root)
    timeless = {"silver.session_summary", "silver.contract_day", "gold.training_view"}
    cut = {n for n in lake.existing() if lake.table(n).partition}
    assert cut - timeless == set(KNOWN)
