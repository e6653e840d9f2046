"""A simulated ES day looks about like the real one: shares, depth and latency within bands."""

from __future__ import annotations

from pathlib import Path

import pytest

from spymaster.feed.market_statistics import market_statistics, statistics_table
from spymaster.feed.simulator import SimulationConfig, simulate
from tests.markets import days
from tests.real_data import es_mbo

#: Simulated over real, at least and at most. Bands, not values: the real file is two hours of a
#: holiday's evening, the simulated one a whole busy day.
BANDS = {
    "share_A": (0.85, 1.15),
    "share_C": (0.85, 1.2),
    "share_M": (0.75, 1.25),
    "share_T": (0.7, 1.3),
    "share_F": (0.7, 1.3),
    "share_last": (0.92, 1.08),
    "records_per_event": (0.9, 1.1),
    "records_per_sequence": (0.85, 1.15),
    "share_multi_packet": (0.6, 1.4),
    "share_equal_recv": (0.6, 1.5),
    "share_mixed_recv": (0.5, 1.6),
    "share_moved": (0.85, 1.15),
    "share_refill": (0.4, 2.5),
    "share_burst": (0.3, 2.0),
    "orders_start": (0.7, 1.4),
    "orders_median": (0.7, 1.4),
    "orders_end": (0.6, 1.4),
    "levels": (0.7, 1.4),
    "best_sz": (0.33, 1.5),
    "best_ct": (0.33, 1.5),
    "order_sz": (0.75, 1.3),
    "ten_sz": (0.6, 1.5),
    "ten_ct": (0.6, 1.5),
    "spread": (0.9, 1.1),
    "lag_p50_us": (0.9, 1.1),
    "lag_p99_us": (0.5, 2.0),
}


def test_a_busy_day_is_about_like_the_real_evening(tmp_path: Path) -> None:
    real = market_statistics([es_mbo()])
    made = simulate(SimulationConfig(sessions=1, events_per_session=2_000_000), tmp_path)
    simulated = market_statistics(days(made))
    print(statistics_table({"real": real, "simulated": simulated}))
    assert simulated["unknown"] == real["unknown"] == 0
    outside = {
        key: round(simulated[key] / real[key], 2)
        for key, (low, high) in BANDS.items()
        if not low <= simulated[key] / real[key] <= high
    }
    assert outside == {}


@pytest.mark.parametrize("events", [20_000, 150_000])
def test_records_are_about_as_many_as_were_asked_for(tmp_path: Path, events: int) -> None:
    made = simulate(SimulationConfig(sessions=1, events_per_session=events), tmp_path)
    live = market_statistics(days(made))["records"]
    assert 0.7 * events < live < 1.3 * events
