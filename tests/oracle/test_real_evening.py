"""Two real hours of ES: the kernel, the oracle, the vendor's data and its mirror image agree."""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from spymaster.contracts.event import F_LAST, F_SNAPSHOT
from spymaster.kernel.contract_book import ContractBook
from tests.comparison import EPISODES, FEATURES_SEEN, Tables, census, difference
from tests.kernel_tables import BAR_5S, book_params, kernel_tables
from tests.oracle import evening
from tests.oracle.tables import oracle_tables
from tests.real_data import real
from tests.scenarios import NONE, Scenario, legal_marks, real_evening, reflected, two_real_days
from tests.session_tables import new_session, run, session_tables, tables_of

LEVEL = 19_233  # 4808.25 in ticks, the opening range's high
SECOND = 1_000_000_000
NEW_YORK = dt.timezone(dt.timedelta(hours=-5))


@pytest.fixture(scope="module")
def market() -> Scenario:
    return real_evening()


@pytest.fixture(scope="module")
def mirror(market: Scenario) -> Scenario:
    return reflected(market, LEVEL)


@pytest.fixture(scope="module")
def found(market: Scenario) -> Tables:
    return session_tables(market)


@pytest.fixture(scope="module")
def found_in_mirror(mirror: Scenario) -> Tables:
    return session_tables(mirror)


def counted(tables: Tables) -> Counter[str]:
    total = census(tables)
    print(dict(total))
    return total


def test_every_column_of_the_evening_equals_the_oracle(market: Scenario, found: Tables) -> None:
    expected = oracle_tables(market)
    assert difference(found, expected) is None
    total = counted(expected)
    assert (total["bars"], total["records"], total["levels"]) == (1440, 60_067, 4)
    assert total["refills"] > 0
    assert total["executed_old"] > 0
    assert total["partly known ages"] > 0
    assert (total["REJECT"], total["FROM_ABOVE"]) == (3, 3)
    # Two levels from 18:10, four from 18:20 to 19:00.
    assert total["level rows"] == 2 * 600 + 2 * 480
    assert min(total[name] for name in (*FEATURES_SEEN, "refilled at levels")) > 0


def test_every_column_of_its_mirror_image_equals_the_oracle(
    mirror: Scenario, found_in_mirror: Tables
) -> None:
    expected = oracle_tables(mirror)
    assert difference(found_in_mirror, expected) is None
    total = counted(expected)
    assert (total["bars"], total["records"]) == (1440, 60_067)
    assert (total["REJECT"], total["FROM_BELOW"]) == (3, 3)
    assert min(total[name] for name in (*FEATURES_SEEN, "refilled at levels")) > 0


def test_clock_marks_change_no_row_of_the_evening(market: Scenario, found: Tables) -> None:
    marks = legal_marks(np.random.default_rng(1), market.events, 0.01)
    again = kernel_tables(market.events, replace(market, marks=marks))
    assert len(marks) > 100
    assert difference(again, found, all_columns=False) is None


_SIGNED = {"ofi", *(f"mlofi_{m}" for m in range(1, 6))}
_SIGNED_FLOATS = {f"imbalance_{n}" for n in (1, 3, 5, 10)}
_SWAP = {
    "high_time": "low_time",
    "low_time": "high_time",
    "buy_volume": "sell_volume",
    "sell_volume": "buy_volume",
}
_FLOAT_PRICES = {"open", "close", "mid", "microprice", "vwap", "tw_mid"}
_PRICE_OF_OTHER = {"high": "low", "low": "high", "bid_px": "ask_px", "ask_px": "bid_px"}


def _opposite(name: str) -> str:
    for a, b in (("bid_", "ask_"), ("ask_", "bid_")):
        if name.startswith((a, f"tw_{a}")):
            return name.replace(a, b, 1)
    return _SWAP.get(name, name)


def test_integers_of_the_mirror_image_are_the_same_and_floats_to_1e_12(
    found: Tables, found_in_mirror: Tables
) -> None:
    """A price p is 2 L - p there, a bid is an ask, a buy a sale."""
    integers = floats = 0
    twice = 2 * LEVEL * 0.25
    for a, b in zip(found["silver.bar_5s"], found_in_mirror["silver.bar_5s"], strict=True):
        for name, value in a.items():
            other = b[_opposite(name)]
            if name in _PRICE_OF_OTHER or name in _FLOAT_PRICES:
                other = b[_PRICE_OF_OTHER.get(name, name)]
                other = None if other is None else twice - other
            elif name in _SIGNED | _SIGNED_FLOATS:
                other = None if other is None else -other
            elif name == "notional":
                other = twice * b["volume"] - other
            if isinstance(value, float) and isinstance(other, float):
                assert value == pytest.approx(other, rel=1e-12, abs=1e-12), (a["bar_start"], name)
                floats += 1
            else:
                assert value == other, (a["bar_start"], name)
                integers += 1
    print(f"{integers} integers, {floats} floats")
    assert integers > 50_000
    assert floats > 20_000


def test_episodes_of_the_mirror_image_come_from_the_other_side(
    found: Tables, found_in_mirror: Tables
) -> None:
    twice = 2 * LEVEL * evening.STEP
    other = {"FROM_ABOVE": "FROM_BELOW", "FROM_BELOW": "FROM_ABOVE"}
    expected = [
        e
        | {
            "level_price": twice - e["level_price"],
            "trigger_price": twice - e["trigger_price"],
            "direction": other[e["direction"]],
            "level_types": [t.replace("HIGH", "LOW") for t in e["level_types"]],
        }
        for e in found[EPISODES]
    ]
    assert all("LOW" not in t for e in found[EPISODES] for t in e["level_types"])
    assert len(expected) == 3
    assert found_in_mirror[EPISODES] == expected


def truth(name: str) -> list[dict[str, str]]:
    with real(f"es-mbo/truth_esh4_20231225_{name}.csv").open() as file:
        return list(csv.DictReader(file))


def told(row: dict[str, str], side: str) -> tuple[int, int, int]:
    return tuple(int(row[f"{side}_{what}"]) for what in ("px_1e9", "sz", "ct"))


def probe(market: Scenario, book: ContractBook, at: int, t: int) -> int:
    """Feed the records with ts_recv <= t; returns how many records that makes in all."""
    until = int(np.searchsorted(market.events["ts_recv"], t, side="right"))
    if until > at:
        book.advance(market.events[at:until])
    book.close(t)
    return until


def test_the_best_prices_are_the_truth_at_each_of_7200_seconds(market: Scenario) -> None:
    book, at, agreed = ContractBook(book_params(market.params), BAR_5S), 0, 0
    step = market.params.price_step
    for row in truth("tob_1s"):
        at = probe(market, book, at, int(row["ts_utc_ns"]))
        for side, best in zip(("bid", "ask"), book.best(), strict=True):
            px, sz, ct = best if best is not None else (0, 0, 0)
            assert (px * step, sz, ct) == told(row, side), row
        agreed += 1
    print(f"{agreed} of 7200 seconds")
    assert agreed == 7200


def test_ten_levels_are_the_truth_at_each_of_120_minutes(market: Scenario) -> None:
    book, at = ContractBook(book_params(market.params), BAR_5S), 0
    step, minutes, levels = market.params.price_step, set(), 0
    for row in truth("top10_1m"):
        at = probe(market, book, at, int(row["ts_utc_ns"]))
        assert book.n_orders == int(row["live_orders"])
        for side, prices in zip(("bid", "ask"), book.depth(10), strict=True):
            px, sz, ct = prices[int(row["level"])]
            assert (px * step, sz, ct) == told(row, side), row
            levels += 1
        minutes.add(row["ts_utc_ns"])
    print(f"{len(minutes)} minutes, {levels} levels")
    assert (len(minutes), levels) == (120, 2400)


def test_the_evening_ends_with_the_book_that_two_others_saw(market: Scenario) -> None:
    book = ContractBook(book_params(market.params), BAR_5S)
    book.advance(market.events)
    assert book.best() == ((19_240, 22, 22), (19_241, 28, 18))
    assert book.n_orders == 11_217


def test_states_cross_891_times_before_the_open_and_never_after(market: Scenario) -> None:
    always_open = replace(market.params, trading=[(evening.clock(22), evening.clock(24))])
    book = ContractBook(book_params(always_open), BAR_5S)
    _, bars = book.advance(market.events)
    more = book.close(market.last_mark)
    rows = np.concatenate([bars.rows, more.rows])
    early = rows["bar_start"] < evening.clock(23)
    last = market.events["flags"] & (F_LAST | F_SNAPSHOT) == F_LAST
    assert int(last.sum()) == 47_022
    assert int(rows["n_crossed"][early].sum()) == 891
    assert int(rows["n_crossed"][~early].sum()) == 0
    assert int(rows["n_unknown"].sum()) == 0
    assert int(rows["n_events"].sum()) == 60_067


def drift_of_the_second_day(s: Scenario) -> tuple[int, int]:
    """Orders that the second snapshot found, and in how many it differed."""
    book = ContractBook(book_params(s.params), BAR_5S)
    first = s.events["ts_recv"] < evening.ORIGIN
    _, before = book.advance(s.events[first])
    book.close(int(s.events["ts_recv"][first][-1]) + 11 * SECOND)
    stood = book.n_orders
    _, bars = book.advance(s.events[~first])
    rows = np.concatenate([before.rows, bars.rows])
    assert rows["bar_start"][0] <= evening.ORIGIN - 5 * SECOND < rows["bar_end"][-1]
    return stood, int(rows["book_drift"].sum())


def test_the_snapshots_of_both_days_agree_in_all_8725_orders() -> None:
    assert drift_of_the_second_day(two_real_days()) == (8725, 0)


def test_a_snapshot_that_lacks_an_order_and_changes_another_drifts_by_two() -> None:
    s = two_real_days()
    events = s.events.copy()
    events["size"][10] += 1
    orders = np.delete(events, 20)
    assert drift_of_the_second_day(replace(s, events=orders)) == (8724, 2)


def test_a_file_that_ends_with_its_session_closes_1439_bars_of_which_241_are_invalid(
    market: Scenario,
) -> None:
    session = new_session(market)
    rows = session.advance(market.events)
    rows += session.close(int(market.events["ts_recv"][-1]))
    bars = tables_of(rows)["silver.bar_5s"]
    invalid = [bar["bar_start"] for bar in bars if not bar["valid"]]
    assert len(bars) == 1439
    assert len(invalid) == 241
    assert max(invalid) < evening.clock(23)


def test_three_rejections_from_above(market: Scenario) -> None:
    tables = tables_of(run(market))
    seen = []
    for e in sorted(tables[EPISODES], key=lambda e: e["trigger_time"]):
        clock = dt.datetime.fromtimestamp(e["trigger_time"] // SECOND, NEW_YORK)
        seen.append(
            (
                e["level_types"],
                e["level_price"] / 1e9,
                f"{clock:%H:%M:%S}.{e['trigger_time'] % SECOND // 1_000_000:03d}",
                e["trigger_price"] / 1e9,
                round(e["time_to_outcome_ns"] / 1e9, 3),
                e["n_vectors"],
                e["direction"],
                e["outcome"],
            )
        )
    end = ("FROM_ABOVE", "REJECT")
    assert [s[:3] + s[4:] for s in seen] == [
        (["OR_HIGH"], 4808.25, "18:46:46.150", 87.122, 17, *end),
        (["OR_HIGH"], 4808.25, "18:52:20.232", 192.338, 38, *end),
        (["PM_HIGH"], 4807.75, "18:52:30.964", 102.024, 20, *end),
    ]
    assert seen[0][3] == 4809.25
    assert len(tables["gold.setup_vectors"]) == 17 + 38 + 20
    assert len(tables["gold.labels"]) == 17 + 38 + 20
    assert NONE not in [row["vector_time"] for row in tables["gold.setup_vectors"]]
