"""The kernel's vectors against a slow second opinion, number by number and name by name."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from spymaster.contracts.event import ACTION_TRADE, BAR_NS, F_SNAPSHOT
from spymaster.kernel.features import NAMES
from tests.laws.markets import (
    EARLY,
    Market,
    Tables,
    es_evening,
    random_market,
    run,
    settings,
    simulated,
    with_auction_trades,
    with_one_sided_books,
)
from tests.oracle import evening, oracle_bars, oracle_episodes, oracle_levels
from tests.oracle.params import Watched
from tests.oracle.vectors import Market as Terms
from tests.oracle.vectors import Setup, oracle_vector

TOLERANCE = 1e-9


@dataclass
class Compared:
    """How often each name was compared, and where it differed."""

    rows: list[list[float]] = field(default_factory=list)
    values: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    nonzero: Counter[str] = field(default_factory=Counter)

    def add(self, kernel: list[float], oracle: dict[str, float], vector_time: int) -> None:
        assert set(oracle) == set(NAMES)
        assert len(kernel) == len(NAMES)
        self.rows.append(kernel)
        for name, found in zip(NAMES, kernel, strict=True):
            wanted = oracle[name]
            if not same(found, wanted):
                self.wrong.setdefault(name, (found, wanted, vector_time))
            elif math.isnan(wanted):
                self.missing[name] += 1
            else:
                self.values[name] += 1
                self.nonzero[name] += wanted != 0

    @property
    def vectors(self) -> int:
        return len(self.rows)

    def __add__(self, other: Compared) -> Compared:
        return Compared(
            self.rows + other.rows,
            self.values + other.values,
            self.missing + other.missing,
            self.wrong | other.wrong,
            self.nonzero + other.nonzero,
        )


def same(found: float, wanted: float) -> bool:
    """Both missing, or equal to 1e-9 of the value, and of 1 for values below 1."""
    if math.isnan(found) or math.isnan(wanted):
        return math.isnan(found) and math.isnan(wanted)
    return abs(found - wanted) <= TOLERANCE * max(1.0, abs(wanted))


def terms(market: Market) -> Terms:
    day = market.day
    return Terms(
        day.price_step,
        day.tick_steps,
        day.session.focus.start,
        day.touch_ticks,
        day.barrier_ticks,
    )


def trades_in_steps(market: Market, tables: Tables) -> list[tuple[int, int, int, str, int]]:
    """Trades as the oracle of bars has them, their times from silver.mbo_normalized."""
    e = market.events
    live = (e["action"] == ACTION_TRADE) & (e["flags"] & F_SNAPSHOT == 0)
    times = {
        (r["ts_recv"], r["event_index"]): r["t"]
        for r in tables["silver.mbo_normalized"]
        if not r["is_snapshot"]
    }
    out = []
    for x in e[live]:
        t = times.get((int(x["ts_recv"]), int(x["event_index"])))
        if t is not None:
            out.append((t, int(x["price"]), int(x["size"]), chr(x["side"]), t // BAR_NS * BAR_NS))
    return out


def telling(bar: dict[str, Any], n: int) -> bool:
    """Few bars behind it, a refill, fills that are not what aggressors traded, unknown ages."""
    fills = (bar["bid_executed_sz"], bar["ask_executed_sz"])
    refills = bar["bid_refilled_sz"] + bar["ask_refilled_sz"]
    partly_known = 0 < bar["bid_age_known_share"] + bar["ask_age_known_share"] < 2
    return (
        n <= 60 or refills > 0 or partly_known or fills != (bar["sell_volume"], bar["buy_volume"])
    )


def compare(market: Market, tables: Tables, keep: int = 1) -> Compared:
    """Each `keep`-th vector, and all that are telling, given the kernel's own bars."""
    step, bars = market.day.price_step, tables["silver.bar_5s"]
    trades = trades_in_steps(market, tables)
    levels = [
        {"level_price": x["level_price"] // step, "known_at": x["known_at"]}
        for x in tables["silver.session_levels"]
    ]
    episodes = tables["silver.level_approach_2m"]
    by_id = {e["episode_id"]: e for e in episodes}
    place = {b["bar_end"]: i for i, b in enumerate(bars)}
    at_levels = {(r["bar_end"], r["level_price"]): r for r in tables["silver.level_book"]}
    compared = Compared()
    for k, vector in enumerate(tables["gold.setup_vectors"]):
        n = place[vector["vector_time"]] + 1
        news = any(x["known_at"] == vector["vector_time"] for x in levels)
        if k % keep and not news and not telling(bars[n - 1], n):
            continue
        e = by_id[vector["episode_id"]]
        before = [x for x in episodes if x["trigger_bar"] < e["trigger_bar"]]
        setup = Setup(
            e["level_price"] // step,
            1 if e["direction"] == "FROM_BELOW" else -1,
            e["trigger_bar"],
            sum(x["level_price"] == e["level_price"] for x in before),
        )
        at_level = at_levels[vector["vector_time"], vector["level_price"]]
        wanted = oracle_vector(bars[:n], trades, levels, setup, terms(market), at_level)
        compared.add(vector["feature_vector"].tolist(), wanted, vector["vector_time"])
    return compared


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Market, Tables]]:
    """Synthetic markets: usual, with one-sided books, with little behind them, with half ticks."""
    folder = tmp_path_factory.mktemp("markets")
    plain = simulated(folder / "3", 3, settings())
    early = simulated(folder / "4", 4, settings(EARLY, touch=1, approach=6))
    rough = {"touch": 1, "barrier": 6, "timeout": 40, "approach": 3}
    markets = {
        "plain": plain,
        "one-sided": with_auction_trades(
            with_one_sided_books(plain, every_s=400, for_s=8), every=7
        ),
        "early": early,
        "half ticks": random_market(5, "nasdaq", 4000, settings(**rough, calendar="NASDAQ")),
        "wild": random_market(4, "cme", 4000, settings(**rough)),
    }
    return {name: (market, run(market)) for name, market in markets.items()}


@pytest.fixture(scope="module")
def compared(streams: dict[str, tuple[Market, Tables]]) -> dict[str, Compared]:
    keep = {"plain": 16, "one-sided": 8, "early": 20, "half ticks": 6, "wild": 6}
    return {name: compare(*streams[name], keep=k) for name, k in keep.items()}


def test_every_number_of_the_real_evening_is_what_its_name_says() -> None:
    """Bars, trades, levels and episodes are the oracle's here, too: nothing is the kernel's."""
    market = es_evening()
    vectors = run(market)["gold.setup_vectors"]
    marks, watched = [(len(market.events), market.last_mark)], Watched(evening.APPROACH.touch_ticks)
    oracle = oracle_bars(market.events, evening.PARAMS, marks, watched)
    at_levels = {(r["bar_end"], r["level_price"]): r for r in oracle.level_book}
    levels = oracle_levels(oracle.trades, evening.WINDOWS)
    episodes = oracle_episodes(
        oracle.bars,
        oracle.trades,
        levels,
        evening.APPROACH,
        evening.WINDOWS,
        1,
        closed_until=oracle.closed_until,
    )
    wanted = {}
    for k, e in enumerate(episodes):
        earlier = sum(x["level_price"] == e["level_price"] for x in episodes[:k])
        side = 1 if e["direction"] == "FROM_BELOW" else -1
        setup = Setup(e["level_price"], side, e["trigger_bar"], earlier)
        for n, bar in enumerate(oracle.bars, 1):
            if e["trigger_bar"] <= bar["bar_start"] < e["outcome_bar"]:
                at = (bar["bar_end"], e["level_price"] * evening.STEP)
                what = (oracle.bars[:n], oracle.trades, levels, setup, terms(market))
                wanted[at] = oracle_vector(*what, at_levels[at])
    assert len(wanted) == len(vectors) == 75
    compared = Compared()
    for v in vectors:
        at = (v["vector_time"], v["level_price"])
        compared.add(v["feature_vector"].tolist(), wanted[at], v["vector_time"])
    report("evening", compared)
    assert not compared.wrong
    never = {name for name in NAMES if not compared.values[name]}
    assert never == {f"trade_imbalance_{s}_72" for s in ("mean", "slope", "curvature")}


@pytest.mark.parametrize("name", ["plain", "one-sided", "early", "half ticks", "wild"])
def test_every_number_of_a_synthetic_stream_is_what_its_name_says(
    compared: dict[str, Compared], name: str
) -> None:
    report(name, compared[name])
    assert not compared[name].wrong
    assert compared[name].vectors >= 20


def test_the_streams_hold_what_could_go_wrong(streams: dict[str, tuple[Market, Tables]]) -> None:
    """Both directions, invalid bars inside windows, bars without trades, one-sided closes."""
    seen: Counter[str] = Counter()
    for market, tables in streams.values():
        bars, start = tables["silver.bar_5s"], market.day.session.bars.start
        place = {b["bar_end"]: i for i, b in enumerate(bars)}
        for v in tables["gold.setup_vectors"]:
            i = place[v["vector_time"]]
            window = bars[max(0, i - 71) : i + 1]
            seen[v["direction"]] += 1
            seen["fewer than 72 bars"] += v["vector_time"] - start < 72 * BAR_NS
            seen["invalid bar in window"] += not all(b["valid"] for b in window)
            seen["bar without trades"] += bars[i]["n_trades"] == 0
            seen["one-sided close in window"] += any(
                (b["bid_px"] is None) != (b["ask_px"] is None) for b in window
            )
            seen["tick of several steps"] += market.day.tick_steps > 1
    print(dict(seen))
    assert {
        "FROM_BELOW",
        "FROM_ABOVE",
        "fewer than 72 bars",
        "invalid bar in window",
        "bar without trades",
        "one-sided close in window",
        "tick of several steps",
    } == {what for what, n in seen.items() if n >= 5}


def test_every_feature_has_a_value_and_is_missing_where_it_may_be(
    compared: dict[str, Compared],
) -> None:
    total = sum(compared.values(), Compared())
    report("all synthetic", total)
    assert not total.wrong
    assert {name for name in NAMES if not total.values[name]} == set()
    # A number that is always 0 would be right under any other name that is always 0.
    assert {name for name in NAMES if not total.nonzero[name]} == set()
    assert min(total.values.values()) >= 5
    assert {"volume", "ofi_slope_72", "volatility_72", "executed_old_ahead"} <= set(total.missing)


def test_no_two_names_could_change_places(compared: dict[str, Compared]) -> None:
    """Any two columns differ somewhere by more than the tolerance, so a swap would be seen."""
    total = sum(compared.values(), Compared())
    assert not total.wrong
    columns = np.nan_to_num(np.array(total.rows), nan=-1e9).T
    alike = [
        (NAMES[i], NAMES[j])
        for i in range(len(NAMES))
        for j in range(i)
        if (np.abs(columns[i] - columns[j]) <= 1e-6).all()
    ]
    assert alike == []


def report(name: str, compared: Compared) -> None:
    few = sorted(compared.values.items(), key=lambda x: x[1])[:3]
    print(
        f"{name}: {compared.vectors} vectors, {compared.values.total()} values and "
        f"{compared.missing.total()} missing agree; fewest values: {few}; wrong: {compared.wrong}"
    )
