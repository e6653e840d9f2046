"""What a session takes from the one before: levels, the front month, the right to teach."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from spymaster.contracts.event import BAR_NS, LATENESS_NS
from spymaster.market.sessions import session
from tests.e2e.scenes import configured, market, mbo, records, rewrite, rows, run

MONDAY, TUESDAY = date(2024, 1, 8), date(2024, 1, 9)
PREVIOUS = {
    "PD_HIGH": "regular_high_px",
    "PD_LOW": "regular_low_px",
    "PD_CLOSE": "regular_last_px",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return market(tmp_path_factory.mktemp("market"), sessions=2, events=15_000, first=MONDAY)


@pytest.fixture(scope="module")
def root(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    run(configured(root), files)
    return root


def levels(root: Path, day: date) -> dict[str, tuple[int, int]]:
    found = rows(root, "silver.session_levels", session_date=day)
    return {r["level_type"]: (r["level_price"], r["known_at"]) for r in found}


def test_prior_day_levels_are_those_of_the_complete_session_before(root: Path) -> None:
    chosen = next(
        r["contract_id"] for r in rows(root, "silver.contract_day", session_date=TUESDAY)
        if r["selected"]
    )  # fmt: skip
    (before,) = rows(root, "silver.session_summary", session_date=MONDAY, contract_id=chosen)
    found = levels(root, TUESDAY)
    start = session(configured(root).of("ES"), "ES", TUESDAY).start
    print(found)
    assert before["complete"]
    assert {k: found[k] for k in PREVIOUS} == {k: (before[c], start) for k, c in PREVIOUS.items()}
    assert set(levels(root, MONDAY)) == {"PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW"}


def test_prior_day_levels_are_absent_when_the_day_before_is_missing(
    files: list[Path], tmp_path: Path
) -> None:
    run(configured(tmp_path), [f for f in files if "20240109" in f.name])
    assert set(levels(tmp_path, TUESDAY)) == {"PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW"}


def test_prior_day_levels_are_absent_when_the_day_before_is_incomplete(
    files: list[Path], tmp_path: Path
) -> None:
    (monday,) = (f for f in mbo("mbo", files) if "20240108" in f.name)
    end = session(configured(tmp_path).of("ES"), "ES", MONDAY).hull.end
    whole = records(monday)
    cut = rewrite(monday, tmp_path / monday.name, whole[whole["ts_recv"] < end + LATENESS_NS // 2])
    root = tmp_path / "root"
    run(configured(root), [cut, *(f for f in files if f.name != monday.name)])
    assert not any(r["complete"] for r in rows(root, "silver.session_summary", session_date=MONDAY))
    assert set(levels(root, TUESDAY)) == {"PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW"}
    assert rows(root, "gold.training_view", session_date=MONDAY) == []
    assert rows(root, "gold.training_view", session_date=TUESDAY) != []


def test_prior_day_levels_are_absent_after_a_holidays_half_session(tmp_path: Path) -> None:
    """2023-11-24, the Friday after Thanksgiving, closes at 12:15 Chicago: known, but not used."""
    friday, monday = date(2023, 11, 24), date(2023, 11, 27)
    windows = {"bars": "09:00-14:00", "focus": "09:00-11:20", "regular": "09:30-14:00"}
    from tests.e2e.scenes import MORNING

    wide = {**MORNING, **windows}
    files = market(tmp_path / "m", sessions=2, events=6_000, first=friday, windows=wide)
    root = tmp_path / "root"
    run(configured(root, wide), files)
    summary = rows(root, "silver.session_summary")
    short = {r["session_date"]: r["short_session"] for r in summary}
    print(short)
    assert short[friday]
    assert not short[monday]
    assert set(levels(root, monday)) == {"PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW"}
    assert rows(root, "gold.training_view", session_date=friday) == []
    volumes = [r["previous_volume"] for r in rows(root, "silver.contract_day", session_date=monday)]
    assert set(volumes) == {None}


def test_front_month_is_the_contract_that_traded_most_in_the_session_before(
    files: list[Path], tmp_path: Path
) -> None:
    """Monday's records of the two contracts change places: on Tuesday the watch rolls."""
    (monday,) = (f for f in mbo("mbo", files) if "20240108" in f.name)
    whole = records(monday)
    one, other = sorted(set(whole["instrument_id"].tolist()))
    swapped = whole.copy()
    swapped["instrument_id"] = np.where(whole["instrument_id"] == one, other, one)
    root = tmp_path / "root"
    given = [rewrite(monday, tmp_path / monday.name, swapped)]
    run(configured(root), [*given, *(f for f in files if f.name != monday.name)])
    days = {(r["session_date"], r["contract_id"]): r for r in rows(root, "silver.contract_day")}
    volume = {
        r["contract_id"]: r["volume"]
        for r in rows(root, "silver.session_summary", session_date=MONDAY)
    }
    print(volume, {k: (r["selected"], r["rolled"]) for k, r in days.items()})
    most = max(volume, key=lambda name: volume[name])
    (nearest,) = (c for (d, c), r in days.items() if d == MONDAY and r["selected"])
    assert nearest == "ES.FUT.202403" != most
    assert days[TUESDAY, most]["selected"]
    assert days[TUESDAY, most]["rolled"]
    assert not days[TUESDAY, nearest]["selected"]
    assert {c: days[TUESDAY, c]["previous_volume"] for c in volume} == volume
    for table in ("silver.session_levels", "silver.level_approach_2m", "gold.setup_vectors"):
        found = {r["contract_id"] for r in rows(root, table, "contract_id", session_date=TUESDAY)}
        assert found == {most}, table


def test_weights_share_an_episode_and_a_moment_as_counted_naively(root: Path) -> None:
    vectors = rows(root, "gold.setup_vectors", "feature_hash", "episode_id", "vector_time",
                   "contract_id")  # fmt: skip
    per_episode = Counter(v["episode_id"] for v in vectors)
    active = defaultdict(set)
    for v in vectors:
        active[v["contract_id"], v["vector_time"]].add(v["episode_id"])
    learnt = rows(root, "gold.training_view")
    for row in learnt:
        together = len(active[row["contract_id"], row["vector_time"]])
        assert row["weight"] == 1.0 / (per_episode[row["episode_id"]] * together)
    shared = sum(len(s) > 1 for s in active.values())
    print(len(learnt), "weights,", shared, "moments shared")
    assert len(learnt) > 0
    assert shared > 0


def test_episodes_too_near_the_end_of_focus_are_left_out_whatever_their_outcome(
    root: Path,
) -> None:
    settings = configured(root).of("ES")
    learnt = {r["episode_id"] for r in rows(root, "gold.training_view", "episode_id")}
    kept, late = Counter(), Counter()
    for e in rows(root, "silver.level_approach_2m"):
        end = session(settings, "ES", e["session_date"]).focus.end
        in_time = e["trigger_bar"] + BAR_NS + settings.approach.timeout_bars * BAR_NS <= end
        counts = in_time and e["outcome"] is not None and e["n_vectors"] > 0
        assert (e["episode_id"] in learnt) == counts, e
        (kept if in_time else late)[str(e["outcome"])] += 1
    print("in time", kept, "late", late)
    assert all(kept[w] > 0 for w in ("BREAK", "REJECT", "CHOP"))
    assert sum(late.values()) > 0
