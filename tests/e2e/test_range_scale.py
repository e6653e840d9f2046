"""Touch and barrier by the range of the sessions before: from the fourth session on."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.scenes import SHORT, TICK, assert_equal, configured, market, rows, run

DAYS = [date(2024, 1, d) for d in (8, 9, 10, 11, 12)]
CONFIGURED = (3, 14)
BY_RANGE = {
    "scale": "range", "touch_ticks": CONFIGURED[0], "barrier_ticks": CONFIGURED[1],
    "approach_bars": 8, "timeout_bars": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return market(tmp_path_factory.mktemp("market"), len(DAYS), 8_000, SHORT)


@pytest.fixture(scope="module")
def root(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    run(configured(root, SHORT, BY_RANGE), files)
    return root


def ranges(root: Path) -> dict[date, float]:
    """Of the watched contract of each session."""
    watched = {
        (r["session_date"], r["contract_id"])
        for r in rows(root, "silver.contract_day")
        if r["selected"]
    }
    summaries = rows(root, "silver.session_summary")
    assert all(r["complete"] and not r["short_session"] for r in summaries)
    return {
        r["session_date"]: r["range12m"]
        for r in summaries
        if (r["session_date"], r["contract_id"]) in watched
    }


def rounded_half_up(twice_the_value: float) -> int:
    whole, half = divmod(twice_the_value, 2)
    return int(whole) + (half >= 1)


def wanted(root: Path, day: date) -> tuple[int, int]:
    before = sorted(r for d, r in ranges(root).items() if d < day)
    if len(before) < 3:
        return CONFIGURED
    middle = (before[(len(before) - 1) // 2] + before[len(before) // 2]) / 2
    barrier = max(8, rounded_half_up(middle))
    return max(2, rounded_half_up(barrier / 3)), barrier


def told(row: dict[str, Any]) -> tuple[int, int]:
    return row["touch_ticks"], row["barrier_ticks"]


@pytest.mark.parametrize("table", ["silver.level_approach_2m", "gold.setup_vectors"])
def test_every_row_of_a_session_tells_the_days_touch_and_barrier(root: Path, table: str) -> None:
    found = defaultdict(set)
    for row in rows(root, table):
        found[row["session_date"]].add(told(row))
    print(ranges(root), dict(found))
    assert set(found) == set(DAYS)
    assert found == {day: {wanted(root, day)} for day in DAYS}
    assert all(found[day] == {CONFIGURED} for day in DAYS[:3])
    assert all(found[day] != {CONFIGURED} for day in DAYS[3:])


def test_outcomes_are_told_by_the_days_barrier(root: Path) -> None:
    seen: Counter[tuple[bool, str | None]] = Counter()
    for e in rows(root, "silver.level_approach_2m"):
        far = {"BREAK": e["favourable_ticks"], "REJECT": e["adverse_ticks"]}
        for outcome, reached in far.items():
            assert (reached >= e["barrier_ticks"]) == (e["outcome"] == outcome), e
        seen[e["session_date"] in DAYS[3:], e["outcome"]] += 1
    print(dict(seen))
    assert seen[True, "BREAK"] + seen[True, "REJECT"] > 0
    assert seen[False, "BREAK"] + seen[False, "REJECT"] > 0


def test_what_traded_at_a_level_is_what_traded_within_the_days_touch(root: Path) -> None:
    """Trades from bronze, their times from silver: nothing that the book counted itself."""
    volume: Counter[date] = Counter()
    by_place = ("contract_id", "ts_recv", "event_index", "is_snapshot")
    times = {tuple(r[n] for n in by_place): r["t"] for r in rows(root, "silver.mbo_normalized")}
    trades = defaultdict(list)
    for r in rows(root, "bronze.mbo", *by_place, "session_date", "price", "size", "action"):
        t = times.get(tuple(r[n] for n in by_place))
        if r["action"] == "T" and t is not None:
            trades[r["contract_id"], t // 5_000_000_000].append((r["price"], r["size"]))
    touches = {day: wanted(root, day)[0] * TICK for day in DAYS}
    for r in rows(root, "silver.level_book"):
        touch = touches[r["session_date"]]
        here = trades[r["contract_id"], r["bar_start"] // 5_000_000_000]
        near = sum(size for price, size in here if abs(price - r["level_price"]) <= touch)
        assert r["traded_sz"] == near
        volume[r["session_date"]] += near
    print(dict(volume))
    assert all(volume[day] > 0 for day in DAYS)


def test_vpin_needs_the_volume_of_the_session_before(root: Path) -> None:
    known = Counter(
        r["session_date"]
        for r in rows(root, "silver.feature_primitives", "session_date", "vpin")
        if r["vpin"] is not None
    )
    print(dict(known))
    assert known[DAYS[0]] == 0
    assert all(known[day] > 0 for day in DAYS[1:])


def test_days_one_by_one_from_bronze_are_the_days_in_a_row(
    root: Path, files: list[Path], tmp_path: Path
) -> None:
    alone = configured(tmp_path, SHORT, BY_RANGE)
    for day in DAYS:
        run(alone, [f for f in files if f"{day:%Y%m%d}" in f.name])
    assert_equal(root, tmp_path, ("silver", "gold"))
