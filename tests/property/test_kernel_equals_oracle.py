"""The compiled kernel against a slow and obvious second opinion, on feeds that break books."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from spymaster.contracts.event import ACTION_GAP
from spymaster.feed.simulator import SimulationConfig, simulate
from spymaster.market.sessions import session
from spymaster.settings import UnderlierSettings
from tests.comparison import FEATURES_SEEN, census, difference
from tests.kernel_tables import kernel_tables
from tests.oracle.params import ApproachParams, Params
from tests.oracle.tables import oracle_tables
from tests.scenarios import (
    NONE,
    Scenario,
    events_of,
    random_scenario,
    raw_records,
    reflected,
    walk_scenario,
)
from tests.session_tables import run, session_tables, tables_of

#: A morning in which everything happens soon.
MORNING = {
    "bars": "09:00-10:30",
    "premarket": "09:00-09:10",
    "opening_range": "09:10-09:15",
    "focus": "09:00-10:30",
    "trigger": "09:10-10:30",
    "regular": "09:30-10:30",
}
EVERY_OUTCOME = ("BREAK", "REJECT", "CHOP", "censored", "FROM_BELOW", "FROM_ABOVE")
TROUBLES = ("n_unknown", "n_backwards", "executed_old", "gaps")
FUTURES_ONLY = ("n_lost_last", "book_drift", "refills", "partly known ages")


def compared(scenarios: list[Scenario]) -> Counter[str]:
    """Kernel, stages and oracle agree on every scenario; what there was to agree on."""
    total: Counter[str] = Counter()
    for s in scenarios:
        expected = oracle_tables(s)
        assert difference(session_tables(s), expected) is None, s.name
        assert difference(kernel_tables(s.events, s), expected, all_columns=False) is None, s.name
        total += census(expected)
        total["gaps"] += int((s.events["action"] == ACTION_GAP).sum())
        total["marks"] += len(s.marks)
    print(dict(total))
    return total


@pytest.mark.parametrize(
    ("venue", "kind", "seeds", "wanted"),
    [
        (
            "cme",
            "FUT",
            range(20),
            (
                *TROUBLES,
                *FUTURES_ONLY,
                "n_crossed",
                *EVERY_OUTCOME,
                *FEATURES_SEEN,
                "refilled at levels",
            ),
        ),
        (
            "nasdaq",
            "STK",
            range(16),
            (*TROUBLES, "n_crossed", *EVERY_OUTCOME, *FEATURES_SEEN),
        ),
        ("cme", "OPT", range(8), (*TROUBLES, *FUTURES_ONLY)),
    ],
)
def test_every_column_equals_the_oracle_on_random_feeds(
    venue: str, kind: str, seeds: range, wanted: tuple[str, ...]
) -> None:
    total = compared([random_scenario(seed, venue, kind) for seed in seeds])
    always = ("bars", "records", "values", "marks", "valid bars", "invalid bars")
    absent = [name for name in (*always, *wanted) if total[name] == 0]
    assert not absent, f"the feeds never had {absent}: {dict(total)}"


def test_every_column_equals_the_oracle_on_random_walks_of_trades() -> None:
    total = compared([walk_scenario(seed) for seed in range(12)])
    assert min(total[name] for name in EVERY_OUTCOME) >= 10, dict(total)


def simulated(folder, seed: int) -> Scenario:
    """The front contract of one simulated morning."""
    config = SimulationConfig(
        first_session=dt.date(2024, 1, 9),
        sessions=1,
        seed=seed,
        events_per_session=30_000,
        contracts=1,
        windows=MORNING,
        touch_ticks=2,
        barrier_ticks=10,
        approach_bars=12,
        timeout_bars=48,
    )
    made = simulate(config, folder)
    path = next(p for p in made.files if f"{config.first_session:%Y%m%d}.mbo." in p.name)
    events = events_of(raw_records(path), 250_000_000)
    u = UnderlierSettings(
        model_id="ES_MODEL", venue="GLBX.MDP3", calendar="CME_Equity", windows=MORNING
    )
    day = session(u, "ES", config.first_session)
    windows = {name: (getattr(day, name).start, getattr(day, name).end) for name in MORNING}
    trading = [(w.start, w.end) for w in day.trading]
    events = events[events["ts_recv"] < windows["bars"][1] + 60_000_000_000]
    params = Params("FUT", 250_000_000, 1, day.input_start, windows, trading)
    rule = ApproachParams(
        touch_ticks=2, barrier_ticks=10, approach_bars=12, timeout_bars=48, max_episodes=10
    )
    return Scenario(f"simulated {seed}", events, params, rule, previous_volume=20_000)


@pytest.fixture(scope="module")
def mornings(tmp_path_factory: pytest.TempPathFactory) -> list[Scenario]:
    return [simulated(tmp_path_factory.mktemp(f"market{seed}"), seed) for seed in (3, 11)]


def test_every_column_equals_the_oracle_on_simulated_mornings(mornings: list[Scenario]) -> None:
    prices = mornings[0].events["price"]
    level = int(np.median(prices[prices != NONE]))
    total = compared([*mornings, reflected(mornings[0], level)])
    wanted = ("refills", "executed_old", "valid bars", "refilled at levels", *EVERY_OUTCOME)
    absent = [x for x in (*wanted, *FEATURES_SEEN) if not total[x]]
    assert absent in ([], ["censored"]), f"the mornings never had {absent}: {dict(total)}"


def test_option_bars_without_events_are_no_rows() -> None:
    dense = random_scenario(3, "cme", "FUT")
    sparse = replace(dense, params=replace(dense.params, kind="OPT"))
    all_bars = tables_of(run(dense))["silver.bar_5s"]
    some = tables_of(run(sparse))["silver.bar_5s"]
    assert some == [bar for bar in all_bars if bar["n_events"] > 0]
    assert 0 < len(some) < len(all_bars)
