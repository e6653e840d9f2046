"""TSLA as NASDAQ prints it, record by record, and the whole way to vectors."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from spymaster.errors import ContractError
from spymaster.feed.market_statistics import market_statistics
from spymaster.feed.simulator import Simulation, SimulationConfig, simulate
from spymaster.settings import Settings
from tests.e2e.scenes import rows as lake_rows
from tests.e2e.scenes import run
from tests.markets import (
    HOUR,
    LAST,
    NS,
    SNAPSHOT,
    assert_official_reader_agrees,
    days,
    definitions,
    rows,
)

NEW_YORK = ZoneInfo("America/New_York")
CENT = 10_000_000
A, C, F, M, R, T = (ord(letter) for letter in "ACFMRT")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    config = SimulationConfig(
        underlier="TSLA", sessions=3, events_per_session=30_000, windows=HOUR, lost_last_share=0.0
    )
    return simulate(config, tmp_path_factory.mktemp("tsla"))


@pytest.fixture(scope="module")
def records(market: Simulation) -> np.ndarray:
    return np.concatenate([rows(path) for path in days(market)])


def new_york(ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ns / NS, NEW_YORK)


def test_it_is_one_stock_of_the_nasdaq_feed(market: Simulation, records: np.ndarray) -> None:
    assert sum(map(assert_official_reader_agrees, days(market))) == market.records
    assert set(records["publisher_id"].tolist()) == {2}
    names = [p.name for p in days(market)]
    assert names[0] == "tsla-xnas-itch-20240108.mbo.dbn.zst"
    assert len(names) == 4, "the last session's evening lies in the next UTC day"
    for record in definitions(market):
        assert (record.raw_symbol, str(record.instrument_class)) == ("TSLA", "K")
        assert record.min_price_increment == CENT
        assert record.publisher_id == 2


def test_the_day_begins_with_r_and_has_no_snapshot_and_no_m(records: np.ndarray) -> None:
    actions = Counter(chr(a) for a in records["action"].tolist())
    print(actions)
    assert set(actions) == set("ACFRT")
    assert actions["R"] == 3
    assert not (records["flags"] & SNAPSHOT).any()
    starts = records["ts_event"][records["action"] == R].tolist()
    assert {new_york(t).strftime("%H:%M:%S") for t in starts} == {"03:59:59"}
    first, last = new_york(int(records["ts_event"][0])), new_york(int(records["ts_event"][-1]))
    assert first.hour == 3
    assert 18 <= last.hour < 20


def test_fills_are_t_f_c_each_an_event_and_cancels_may_be_partial(records: np.ndarray) -> None:
    orders: dict[int, list[int]] = {}
    seen: Counter[str] = Counter()
    names = ("action", "order_id", "size", "price", "side", "flags", "ts_event", "ts_recv")
    columns = [records[name].tolist() for name in names]
    whole = list(zip(*columns, strict=True))
    for k, (action, order, size, price, side, flags, event, recv) in enumerate(whole):
        if action == R:
            orders.clear()
        elif action == A:
            assert order not in orders
            orders[order] = [size, price, side]
        elif action == C:
            before = whole[k - 1]
            left = orders[order]
            assert left[1:] == [price, side]
            seen["partial" if size < left[0] else "full"] += 1
            left[0] -= size
            assert left[0] >= 0
            if not left[0]:
                del orders[order]
            if before[0] == F:
                assert before[1:4] == (order, size, price)
                assert flags & LAST
                seen["after a fill"] += 1
            elif not flags & LAST:
                new = whole[k + 1]
                assert new[0] == A
                assert new[1] != order
                assert new[4] == side
                assert new[6:] == (event, recv)
                assert new[5] & LAST
                seen["replaced"] += 1
        elif action == T and side != ord("N"):
            fill = whole[k + 1]
            assert flags & LAST
            assert fill[0] == F
            assert fill[5] & LAST
            assert {side, fill[4]} == {ord("A"), ord("B")}
    print(seen)
    assert min(seen[k] for k in ("partial", "full", "after a fill", "replaced")) > 50


def test_prices_are_cents_but_hidden_trades_may_print_at_half_cents(records: np.ndarray) -> None:
    booked = records[np.isin(records["action"], (A, C, F))]
    assert (booked["price"] % CENT == 0).all()
    hidden = records[(records["action"] == T) & (records["side"] == ord("N"))]
    half = hidden["price"] % CENT
    assert set(half.tolist()) == {0, CENT // 2}
    assert (half > 0).sum() > 10
    assert (records["price"][records["action"] != R] % 100_000 == 0).all()


def test_each_day_has_an_opening_and_a_closing_cross(records: np.ndarray) -> None:
    crosses = records[(records["action"] == T) & (records["size"] >= 100_000)]
    at = [new_york(t).strftime("%H:%M:%S") for t in crosses["ts_event"].tolist()]
    assert at == ["09:30:00", "16:00:00"] * 3
    assert set(crosses["side"].tolist()) == {ord("N")}


def test_several_trades_of_one_nanosecond_sweep_levels(market: Simulation) -> None:
    seen = market_statistics(days(market))
    assert seen["burst_levels"] > 10
    assert seen["unknown"] == seen["crossed"] == 0


def test_a_day_without_r_ends_with_its_orders_cancelled(tmp_path: Path) -> None:
    config = SimulationConfig(
        underlier="TSLA",
        sessions=1,
        events_per_session=8_000,
        windows=HOUR,
        clear_at_start=False,
        first_session=dt.date(2024, 7, 3),
    )
    made = simulate(config, tmp_path)
    found = np.concatenate([rows(path) for path in days(made)])
    assert not (found["action"] == R).any()
    assert new_york(int(found["ts_event"][-1])).strftime("%H:%M") == "17:00", "an early close"
    assert market_statistics(days(made))["orders_end"] == 0


def test_tsla_goes_the_whole_way_with_default_settings(tmp_path: Path) -> None:
    config = SimulationConfig(underlier="TSLA", sessions=4, events_per_session=60_000, seed=3)
    made = simulate(config, tmp_path / "market")
    root = tmp_path / "root"
    report = run(Settings.load(root=str(root)), made.files)
    missing = {str(o.session_date) for o in report.sessions if o.missing}
    assert missing == {"2024-01-12"}, "only its first hour in UTC lies in these files"
    bars = lake_rows(root, "silver.bar_5s", "n_unknown", "n_crossed", "n_events")
    assert sum(b["n_events"] for b in bars) > 150_000
    assert sum(b["n_unknown"] + b["n_crossed"] for b in bars) == 0
    outcomes = Counter(e["outcome"] for e in lake_rows(root, "silver.level_approach_2m"))
    print(outcomes)
    assert min(outcomes[o] for o in ("BREAK", "REJECT", "CHOP")) > 0
    assert len(lake_rows(root, "gold.setup_vectors", "contract_id")) > 1000


def test_what_no_exchange_has_is_refused() -> None:
    with pytest.raises(ContractError, match="underlier is 'NQ'; allowed: ES, TSLA"):
        SimulationConfig(underlier="NQ")
    with pytest.raises(ContractError, match="options is 5; allowed: 0 to 0"):
        SimulationConfig(underlier="TSLA", options=5)
    with pytest.raises(ContractError, match=r"start_price is 4800\.0; allowed: 100\.0 to 500\.0"):
        SimulationConfig(underlier="TSLA", start_price=4800.0)
