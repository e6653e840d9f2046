"""Many contracts through the stages together: each as if it were alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from spymaster.contracts.event import EVENT
from spymaster.stages.contract import ContractDay
from spymaster.stages.contract_session import ContractSession
from spymaster.stages.market_session import MarketSession
from spymaster.stages.rows import Coded, Rows
from tests.scenarios import Scenario, random_scenario, walk_scenario
from tests.session_tables import SPEC, contract_day, tables_of

N = 5


def scenes() -> list[Scenario]:
    """Of one kind, in one session: the walk has levels, episodes and vectors."""
    walks = [walk_scenario(seed) for seed in (3, 4)]
    others = [random_scenario(seed, "cme") for seed in range(11, 11 + N - 2)]
    begin = int(walks[0].events["ts_recv"][0])
    for s in others:
        late = int(s.events["ts_recv"][0]) - begin
        s.events["ts_recv"] -= late
        s.events["ts_event"] -= late
    return [*walks, *others]


def days_of(scenes: list[Scenario]) -> list[ContractDay]:
    """A contract each; the first one is selected."""
    first = contract_day(scenes[0])
    return [
        replace(first, contract_id=f"ES.FUT.{202403 + i}", selected=i == 0)
        for i in range(len(scenes))
    ]


def by_contract(rows: list[Rows], days: list[ContractDay]) -> dict[str, dict[str, Any]]:
    """Rows as dicts, by contract and table, whichever way they name the contract."""
    found: dict[str, dict[str, Any]] = {d.contract_id: defaultdict(list) for d in days}
    for part in rows:
        named = part.columns["contract_id"]
        names = [named.words[c] for c in named.codes] if isinstance(named, Coded) else (
            [named] * len(part))  # fmt: skip
        for table, dicts in tables_of([part]).items():
            for name, row in zip(names, dicts, strict=True):
                found[name][table].append(row)
    return found


def interleaved(scenes: list[Scenario], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All records, each contract's in its own order, mixed at random; and whose each is."""
    whose = np.repeat(np.arange(len(scenes)), [len(s.events) for s in scenes])
    rng.shuffle(whose)
    mixed = np.zeros(len(whose), EVENT)
    for c, s in enumerate(scenes):
        mixed[whose == c] = s.events
    return mixed, whose


@pytest.mark.parametrize("seed", [1, 2])
def test_each_of_many_contracts_has_the_rows_and_the_state_it_has_alone(seed: int) -> None:
    all_of_them = scenes()
    days, rng = days_of(all_of_them), np.random.default_rng(seed)
    mixed, whose = interleaved(all_of_them, rng)
    end = int(mixed["ts_recv"].max()) + 3_600_000_000_000
    market, rows = MarketSession(days[0].session, SPEC), []
    for day in days:
        market.add(day)
    cuts = [0, *sorted(rng.integers(0, len(mixed), 6).tolist()), len(mixed)]
    for i, (a, b) in enumerate(pairwise(cuts)):
        rows += market.advance(mixed[a:b], whose[a:b])
        if i == 3:  # every contract through bytes into another market
            loaded = MarketSession(days[0].session, SPEC)
            for c, day in enumerate(days):
                assert loaded.restore(day, market.to_bytes(c)) == c
            market = loaded
    rows += market.close(end)
    together = by_contract(rows, days)
    compared: dict[str, int] = defaultdict(int)
    for c, (s, day) in enumerate(zip(all_of_them, days, strict=True)):
        one = ContractSession(day, SPEC)
        alone = by_contract(one.advance(s.events) + one.close(end), [day])[day.contract_id]
        assert set(together[day.contract_id]) == set(alone)
        for table, its in alone.items():
            assert repr(together[day.contract_id][table]) == repr(its), (day.contract_id, table)
            compared[table] += len(its)
        assert market.summary(c) == one.summary()
        assert market.to_bytes(c) == one.to_bytes()
    print(dict(compared))
    for table in (
        "silver.bar_5s",
        "silver.mbo_normalized",
        "silver.feature_primitives",
        "silver.level_book",
        "silver.level_approach_2m",
        "gold.setup_vectors",
    ):
        assert compared[table] > 0, table


def test_the_light_pass_knows_what_later_sessions_ask() -> None:
    all_of_them = scenes()
    days = days_of(all_of_them)
    mixed, whose = interleaved(all_of_them, np.random.default_rng(3))
    whole, light = (MarketSession(days[0].session, SPEC, light=x) for x in (False, True))
    for market in (whole, light):
        for day in days:
            market.add(day)
    cuts = [*range(0, len(mixed), 997), len(mixed)]
    for a, b in pairwise(cuts):
        assert light.advance(mixed[a:b], whose[a:b]) == []
        whole.advance(mixed[a:b], whose[a:b])
    mark = int(mixed["ts_recv"].max()) + 3_600_000_000_000
    assert light.close(mark) == []
    whole.close(mark)
    for c in range(len(days)):
        assert light.summary(c) == whole.summary(c)
        assert light.book(c).good_since == whole.book(c).good_since
        assert light.book(c).last_t == whole.book(c).last_t
        assert light.book(c).n_orders == 0
    assert sum(whole.summary(c)["n_trades"] for c in range(len(days))) > 0
    assert any(whole.book(c).n_orders > 0 for c in range(len(days)))
