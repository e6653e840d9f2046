"""What real feeds do now and then, the simulated one does too, and a book survives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spymaster.feed.market_statistics import market_statistics
from spymaster.feed.simulator import Simulation, SimulationConfig, simulate
from tests.e2e.scenes import configured, run
from tests.e2e.scenes import rows as lake_rows
from tests.markets import HOUR, NS, assert_official_reader_agrees, days, live

TICK = 250_000_000
ODD = SimulationConfig(
    sessions=3,
    events_per_session=40_000,
    contracts=1,
    windows=HOUR,
    gaps_per_session=5.0,
    lost_last_share=1e-3,
    seed=5,
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(ODD, tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="module")
def records(odd: Simulation) -> np.ndarray:
    return np.concatenate([live(path) for path in days(odd)])


def test_both_readers_decode_every_file(odd: Simulation) -> None:
    assert sum(map(assert_official_reader_agrees, days(odd))) == odd.records


def test_every_oddity_is_there_and_no_order_is_unknown(odd: Simulation) -> None:
    seen = market_statistics(days(odd))
    print(seen)
    assert seen["unknown"] == 0
    for name in (
        "burst_levels",  # several T of one ns, each at another level
        "share_multi_packet",
        "share_equal_recv",
        "share_mixed_recv",
        "share_refill",
        "lost_last",
        "crossed",
    ):
        assert seen[name] > 0, name
    assert 100 < seen["lag_p50_us"] < 140
    assert seen["lag_max_us"] > 50_000


def test_events_over_several_packets_take_up_to_a_millisecond(records: np.ndarray) -> None:
    same = (np.diff(records["ts_event"]) == 0) & (records["flags"][:-1] & 128 == 0)
    gap = np.diff(records["ts_recv"])[same]
    print("packets within events", (gap > 0).sum(), "longest", gap.max())
    assert (gap > 0).sum() > 100
    assert 100_000 < gap.max() < 1_000_000


def test_events_of_one_nanosecond_each_end(records: np.ndarray) -> None:
    together = (
        (np.diff(records["ts_event"]) == 0)
        & (np.diff(records["ts_recv"]) == 0)
        & (records["flags"][:-1] & 128 > 0)
    )
    print("events in the nanosecond of the one before", together.sum())
    assert together.sum() > 10


def test_the_price_jumps_past_levels_between_two_trades(records: np.ndarray) -> None:
    trades = records[records["action"] == ord("T")]
    ticks = np.diff(trades["price"]) // TICK
    jumps = (np.abs(ticks) >= 10) & (np.diff(trades["ts_event"]) < 60 * NS)
    print("jumps", ticks[jumps])
    assert jumps.sum() >= 5
    assert np.abs(ticks[jumps]).max() > 24


def test_the_crossed_book_is_before_the_open_only(odd: Simulation, tmp_path: Path) -> None:
    settings = configured(tmp_path / "root", HOUR)
    run(settings, odd.files)
    bars = lake_rows(
        tmp_path / "root", "silver.bar_5s", "n_crossed", "n_unknown", "n_events", "valid"
    )
    print(len(bars), "bars")
    assert len(bars) == 3 * 65 * 12
    assert sum(b["n_events"] for b in bars) > 60_000
    assert sum(b["n_unknown"] + b["n_crossed"] for b in bars) == 0
    assert all(b["valid"] for b in bars)


def test_without_oddities_none_is_there(tmp_path: Path) -> None:
    plain = SimulationConfig(
        sessions=1,
        events_per_session=20_000,
        contracts=1,
        windows=HOUR,
        gaps_per_session=0.0,
        lost_last_share=0.0,
    )
    made = simulate(plain, tmp_path)
    assert market_statistics(days(made))["lost_last"] == 0
    trades = np.concatenate([live(path) for path in days(made)])
    trades = trades[trades["action"] == ord("T")]
    near = np.diff(trades["ts_event"]) < 5 * NS
    assert np.abs(np.diff(trades["price"])[near]).max() < 12 * TICK
