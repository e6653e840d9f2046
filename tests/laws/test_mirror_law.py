"""Mirror law: turn a market upside down, swap buyers and sellers, and a model sees the same.

Domain, section 5. Integers agree exactly; floats to 1e-12 of the value, and of 1 below 1.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spymaster.kernel.features import NAMES
from spymaster.stages.vector_spec import lookback_spec
from tests.laws.markets import (
    EARLY,
    Market,
    Tables,
    axis_of,
    es_evening,
    mirrored,
    random_market,
    run,
    settings,
    simulated,
    swapped,
    with_one_sided_books,
)

TOLERANCE = 1e-12
OPPOSITE = {"FROM_BELOW": "FROM_ABOVE", "FROM_ABOVE": "FROM_BELOW"}
SWAPPED_PRICES = {"open": "open", "high": "low", "low": "high", "close": "close", "vwap": "vwap"}
SWAPPED_PRICES |= {"bid_px": "ask_px", "ask_px": "bid_px", "mid": "mid", "tw_mid": "tw_mid"}
SWAPPED_PRICES |= {"microprice": "microprice"}
NEGATED = {"ofi", *(f"mlofi_{m}" for m in range(1, 6))}
NEGATED |= {f"imbalance_{n}" for n in (1, 3, 5, 10)}
#: Of primitives: what points up here points down there.
TURNED = {"return_ticks", "ofi_per_depth", "trade_imbalance", "pressure"}
TURNED |= {"microprice_velocity", "microprice_acceleration"}


def close(found: float | None, wanted: float | None) -> bool:
    """Both missing, or equal to 1e-12 of the value, and of 1 for values below 1."""
    if found is None or wanted is None:
        return found is wanted
    if math.isnan(found) or math.isnan(wanted):
        return math.isnan(found) and math.isnan(wanted)
    return abs(found - wanted) <= TOLERANCE * max(1.0, abs(wanted))


def partner(column: str) -> str:
    """Where a bar's column lies in the mirror."""
    if column in SWAPPED_PRICES:
        return SWAPPED_PRICES[column]
    for a, b in (("bid", "ask"), ("buy", "sell"), ("high", "low")):
        if a in column.split("_"):
            return column.replace(a, b)
        if b in column.split("_"):
            return column.replace(b, a)
    return column


def check_bars(market: Market, here: Tables, there: Tables, axis: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    whole = axis * market.day.price_step / 1e9
    assert len(here["silver.bar_5s"]) == len(there["silver.bar_5s"])
    for bar, image in zip(here["silver.bar_5s"], there["silver.bar_5s"], strict=True):
        assert set(bar) == set(image)
        for column, value in bar.items():
            other, where = image[partner(column)], f"{market.name} {bar['bar_start']} {column}"
            if column == "notional":
                other = whole * bar["volume"] - other
                # The image trades at another price: its notional is only as exact as a float.
                assert other == pytest.approx(value, rel=1e-12, abs=1e-3), where
            elif column in SWAPPED_PRICES and value is not None:
                assert other is not None, where
                assert close(whole - other, value), where
            elif column in NEGATED and value is not None:
                assert other == -value, where
            elif isinstance(value, int | str) or value is None:
                assert other == value, where
            else:
                assert close(other, value), where
            seen["bar values"] += value is not None
    return seen


def check_primitives(market: Market, here: Tables, there: Tables) -> Counter[str]:
    seen: Counter[str] = Counter()
    table = "silver.feature_primitives"
    assert len(here[table]) == len(there[table]) == len(here["silver.bar_5s"])
    for row, image in zip(here[table], there[table], strict=True):
        for column in row.keys() - {"contract_id"}:
            value = row[column]
            other, where = image[partner(column)], f"{market.name} {row['bar_start']} {column}"
            if column in TURNED and other is not None:
                other = -other
            assert close(other, value), where
            seen["primitives"] += value is not None
            seen["primitives equal in every bit"] += value is not None and other == value
        seen["vpin"] += row["vpin"] is not None
    return seen


def check_level_book(market: Market, here: Tables, there: Tables, axis: int) -> Counter[str]:
    """Bids there are asks here, and so is everything that happened to them."""
    whole = axis * market.day.price_step
    table = "silver.level_book"
    images = {(r["bar_start"], r["level_price"]): r for r in there[table]}
    assert len(images) == len(there[table]) == len(here[table])
    seen: Counter[str] = Counter()
    for row in here[table]:
        image = images[row["bar_start"], whole - row["level_price"]]
        for column in row.keys() - {"level_price", "contract_id"}:
            where = f"{market.name} {row['bar_start']} {column}"
            assert image[partner(column)] == row[column], where
            seen["at levels"] += bool(row[column])
            seen["refilled at levels"] += column.endswith("refilled_sz") and row[column] > 0
    return seen


def check_levels(market: Market, here: Tables, there: Tables, axis: int) -> Counter[str]:
    whole = axis * market.day.price_step

    def turned(x: dict[str, Any]) -> tuple[str, int, int]:
        return swapped(x["level_type"]), whole - x["level_price"], x["known_at"]

    levels = sorted(turned(x) for x in here["silver.session_levels"])
    images = [
        (x["level_type"], x["level_price"], x["known_at"]) for x in there["silver.session_levels"]
    ]
    assert levels == sorted(images)
    return Counter({"levels": len(levels)})


def check_episodes(market: Market, here: Tables, there: Tables, axis: int) -> Counter[str]:
    whole = axis * market.day.price_step
    seen: Counter[str] = Counter()
    images = {(e["trigger_bar"], e["level_price"]): e for e in there["silver.level_approach_2m"]}
    assert len(images) == len(here["silver.level_approach_2m"])
    for e in here["silver.level_approach_2m"]:
        image = images[e["trigger_bar"], whole - e["level_price"]]
        assert image["direction"] == OPPOSITE[e["direction"]]
        assert image["trigger_price"] == whole - e["trigger_price"]
        assert sorted(image["level_types"]) == sorted(map(swapped, e["level_types"]))
        assert image["episode_id"] != e["episode_id"]
        different = {"direction", "trigger_price", "level_types", "episode_id", "level_price"}
        for column in set(e) - different:
            assert image[column] == e[column], f"{market.name} {e['trigger_bar']} {column}"
        seen[e["direction"]] += 1
        seen[e["outcome"] or "censored"] += 1
    return seen


def check_vectors(market: Market, here: Tables, there: Tables, axis: int) -> Counter[str]:
    whole = axis * market.day.price_step
    seen: Counter[str] = Counter()
    images = {(v["vector_time"], v["level_price"]): v for v in there["gold.setup_vectors"]}
    labels = {x["feature_hash"]: x for x in there["gold.labels"]}
    mine = {x["feature_hash"]: x for x in here["gold.labels"]}
    assert len(images) == len(here["gold.setup_vectors"]) == len(mine) == len(labels)
    for v in here["gold.setup_vectors"]:
        image = images[v["vector_time"], whole - v["level_price"]]
        assert image["direction"] == OPPOSITE[v["direction"]]
        label, other = mine[v["feature_hash"]], labels[image["feature_hash"]]
        assert (label["label"], label["known_at"]) == (other["label"], other["known_at"])
        pairs = zip(NAMES, image["feature_vector"], v["feature_vector"], strict=True)
        wrong = {name: (a, b) for name, a, b in pairs if not close(a, b)}
        assert not wrong, f"{market.name} {v['vector_time']}"
        same = image["feature_vector"].tobytes() == v["feature_vector"].tobytes()
        seen["vectors"] += 1
        seen["vectors equal in every bit"] += same
        seen["numbers"] += int((~np.isnan(v["feature_vector"])).sum())
    return seen


def check(market: Market) -> Counter[str]:
    """Compares a market with its mirror image, and says how much was compared."""
    axis = axis_of(market)
    here, there = run(market), run(mirrored(market, axis))
    seen = check_bars(market, here, there, axis)
    seen += check_primitives(market, here, there)
    seen += check_level_book(market, here, there, axis)
    seen += check_levels(market, here, there, axis)
    seen += check_episodes(market, here, there, axis)
    seen += check_vectors(market, here, there, axis)
    print(market.name, dict(seen))
    return seen


def with_rule(market: Market, touch: int, barrier: int, timeout: int, approach: int) -> Market:
    """Another rule, and made-up levels of the day before, amid the evening's prices."""
    u = settings(touch=touch, barrier=barrier, timeout=timeout, approach=approach)
    step = market.day.price_step
    previous = {"PD_HIGH": 19_243 * step, "PD_LOW": 19_238 * step, "PD_CLOSE": 19_241 * step}
    day = replace(market.day, approach=u.approach, previous=previous)
    name = f"evening, touch {touch}, barrier {barrier}, timeout {timeout}, approach {approach}"
    return replace(market, name=name, day=day, spec=lookback_spec(u))


ALL = {"FROM_BELOW", "FROM_ABOVE", "BREAK", "REJECT", "CHOP", "censored"}
ALL |= {"primitives", "vpin", "at levels", "refilled at levels"}


def test_the_real_evening_upside_down_is_the_same_evening() -> None:
    """With the evening's rule, and with others and more levels, for all that may happen."""
    evening = es_evening()
    total = check(evening)
    assert (total["vectors"], total["REJECT"], total["FROM_ABOVE"]) == (75, 3, 3)
    for rule in ((1, 3, 20, 3), (2, 6, 30, 6)):
        total += check(with_rule(evening, *rule))
    print(dict(total))
    assert total["vectors"] >= 700
    assert all(total[what] > 0 for what in ALL)


def test_simulated_sessions_upside_down_are_the_same_sessions(tmp_path: Path) -> None:
    plain = simulated(tmp_path / "3", 3, settings())
    total = check(plain)
    total += check(with_one_sided_books(plain, every_s=400, for_s=8))
    total += check(simulated(tmp_path / "4", 4, settings(EARLY, touch=1, approach=6)))
    total += check(simulated(tmp_path / "5", 5, settings(barrier=20, timeout=30)))
    print(dict(total))
    assert total["vectors"] >= 1500
    assert all(total[what] > 0 for what in ALL)


@pytest.mark.parametrize("venue", ["cme", "nasdaq"])
def test_random_streams_upside_down_are_the_same_streams(venue: str) -> None:
    """With far prices, books that break, half-tick trades, and ticks of a hundred steps."""
    calendar = "CME_Equity" if venue == "cme" else "NASDAQ"
    total: Counter[str] = Counter()
    for seed in (3, 4, 5, 8):
        for rule in ({"barrier": 6, "timeout": 40}, {"barrier": 3, "timeout": 12}):
            u = settings(touch=1, approach=3, calendar=calendar, **rule)
            total += check(random_market(seed, venue, 3000, u))
    print(dict(total))
    assert total["vectors"] >= 200
    # NASDAQ has no M, so no refills.
    unknown_to_nasdaq = {"censored", "refilled at levels"}
    assert all(total[what] > 0 for what in ALL - unknown_to_nasdaq)
    assert venue == "nasdaq" or all(total[what] > 0 for what in unknown_to_nasdaq)
