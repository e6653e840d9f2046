"""Statistics of a market: a small file counted by hand, and a refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spymaster.errors import ContractError
from spymaster.feed.dbn_records import MBO_RECORD
from spymaster.feed.dbn_write import make_metadata, write_dbn
from spymaster.feed.market_statistics import market_statistics, statistics_table
from spymaster.feed.simulator import SimulationConfig, simulate

NS = 1_000_000_000
DAY = 1_704_672_000 * NS
TICK = 250_000_000

# action, side, ticks, size, order, flags, ts_event us, ts_recv us, sequence
ROWS = [
    ("A", "B", 100, 5, 1, 32, 0, 0, 1),
    ("A", "A", 102, 5, 2, 32, 0, 0, 1),
    ("A", "A", 105, 5, 3, 32, 0, 0, 1),
    ("A", "B", 101, 3, 4, 128, 10, 110, 2),
    ("A", "A", 102, 2, 5, 128, 20, 110, 2),  # equal ts_recv, another ts_event
    ("T", "B", 102, 6, 6, 0, 1_000_000, 1_000_200, 3),  # an event over two packets
    ("F", "A", 102, 5, 2, 0, 1_000_000, 1_000_200, 3),
    ("F", "A", 102, 1, 5, 0, 1_000_000, 1_000_200, 3),
    ("M", "A", 102, 4, 2, 0, 1_000_000, 1_000_300, 4),  # an iceberg shows its next part
    ("M", "A", 102, 1, 5, 128, 1_000_000, 1_000_300, 4),  # what a fill left
    ("M", "B", 99, 3, 4, 128, 2_000_000, 2_000_100, 5),  # moved
    ("M", "B", 100, 2, 1, 128, 3_000_000, 3_000_100, 6),  # made smaller
    ("T", "N", 102, 1, 7, 128, 4_000_000, 4_000_100, 7),
    ("T", "N", 101, 1, 8, 128, 4_000_000, 4_000_100, 7),  # another level, the same ns
    ("C", "A", 105, 5, 3, 0, 5_000_000, 5_000_100, 8),  # lost F_LAST
    ("C", "A", 105, 5, 99, 128, 6_000_000, 6_500_100, 9),  # unknown, late
]


def written(path: Path, rows: list[tuple[object, ...]]) -> Path:
    out = np.zeros(len(rows), MBO_RECORD)
    for i, (action, side, ticks, size, order, flags, event, recv, sequence) in enumerate(rows):
        out[i] = (
            *(14, 160, 1, 77, DAY + int(event) * 1000, order, int(ticks) * TICK, size, flags, 0),
            *(ord(str(action)), ord(str(side)), DAY + int(recv) * 1000, 0, sequence),
        )
    return write_dbn(path, make_metadata("GLBX.MDP3", {"ESH4": 77}, DAY, DAY + 86_400 * NS), out)


def test_a_small_file_is_counted_right(tmp_path: Path) -> None:
    got = market_statistics([written(tmp_path / "a.dbn.zst", ROWS)])
    live, events = 13, 9
    expected = {
        "records": live,
        "share_A": 2 / live,
        "share_C": 2 / live,
        "share_M": 4 / live,
        "share_T": 3 / live,
        "share_F": 2 / live,
        "share_R": 0,
        "share_last": 8 / live,
        "records_per_event": live / events,
        "records_per_sequence": live / 8,
        "share_multi_packet": 1 / events,
        "share_equal_recv": 4 / 8,
        "share_mixed_recv": 1 / 8,
        "share_moved": 1 / 4,
        "share_resized": 1 / 4,
        "share_partial": 1 / 4,
        "share_refill": 1 / 4,
        "share_no_aggressor": 2 / 3,
        "share_burst": 1 / 3,
        "burst_levels": 1,
        "orders_start": 3,
        "orders_end": 4,
        "levels": (np.median([2, 2, 2, 2, 2, 2]) + np.median([2, 2, 2, 2, 2, 1])) / 2,
        "lag_p50_us": 100,
        "lag_max_us": 500_100,
        "unknown": 1,
        "crossed": 0,
        "lost_last": 1,
    }
    assert {k: got[k] for k in expected} == pytest.approx(expected)
    # Seconds 0 to 6 but 5 (its event never ended): spreads 1, 1, 2, 2, 2, 2.
    assert got["spread"] == pytest.approx(10 / 6)
    assert got["best_ct"] == pytest.approx(np.median([2, 3, 3, 3, 3, 3]) / 2)


def test_a_table_has_a_line_per_figure_and_a_column_per_market(tmp_path: Path) -> None:
    got = market_statistics([written(tmp_path / "a.dbn.zst", ROWS)])
    lines = statistics_table({"real": got, "simulated": got}).splitlines()
    assert lines[0] == "| statistic | real | simulated |"
    assert "| live records | 13 | 13 |" in lines
    assert all(line.count("|") == 4 for line in lines)


def test_files_without_a_live_order_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dbn.zst", ROWS[:3])
    with pytest.raises(ContractError, match="has no added order of instrument any"):
        market_statistics([path])
    with pytest.raises(ContractError, match=r"instrument 78; allowed: \[77\]"):
        market_statistics([written(tmp_path / "b.dbn.zst", ROWS)], 78)


def test_the_benchmarks_table_has_the_simulated_market(tmp_path: Path) -> None:
    real = market_statistics([written(tmp_path / "a.dbn.zst", ROWS)])
    made = simulate(SimulationConfig(sessions=1, events_per_session=5_000), tmp_path / "market")
    simulated = market_statistics(p for p in made.files if ".mbo." in p.name)
    table = statistics_table({"real": real, "simulated": simulated})
    assert table.splitlines()[0] == "| statistic | real | simulated |"
    assert "| live records | 13 |" in table
