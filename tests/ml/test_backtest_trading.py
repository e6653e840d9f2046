"""Calls become trades: a hand-made market whose account is known to the tick, and its rules."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spymaster.contracts.event import LATENESS_NS, NS
from spymaster.engines.quotes import NONE, Quotes
from spymaster.errors import ContractError, ModelError
from spymaster.ml.backtest.account import account, drawdown
from spymaster.ml.backtest.importance import elsewhere, importance
from spymaster.ml.backtest.market import Market, closed
from spymaster.ml.backtest.thresholds import attempt, grid
from spymaster.ml.backtest.trading import NEVER, Desk, Rule
from spymaster.ml.dataset import Dataset
from spymaster.settings import BacktestSettings, Settings

TICK = 250_000_000
BREAK, REJECT, CHOP = 0, 1, 2


def world(rows: list[dict[str, Any]], cost: float = 0.5) -> Desk:
    """A desk of vectors that are told one by one; times in seconds, prices in ticks.

    Of each: session, time, episode, direction, label, p (of three), bid and ask at entry and exit,
    and when the position is closed. `wait`: how long the entry's quote takes to come.
    """
    n = len(rows)

    def column(name: str, dtype: Any = np.int64, default: Any = 0) -> np.ndarray:
        return np.array([r.get(name, default) for r in rows], dtype)

    def quotes(bid: str, ask: str, ts: np.ndarray) -> Quotes:
        there = np.array([r.get(bid) is not None for r in rows])
        prices = [np.array([(r.get(c) or 0) * TICK for r in rows]) for c in (bid, ask)]
        return Quotes(np.where(there, ts, NONE), *prices, np.ones(n, int), np.ones(n, int))

    midnight = column("session") * 86_400
    time, end = (midnight + column("time")) * NS, (midnight + column("end")) * NS
    day = np.array([f"2024-01-{8 + r.get('session', 0):02d}" for r in rows], "datetime64[D]")
    data = Dataset(
        model_id="ES_MODEL",
        run_date=dt.date(2024, 2, 1),
        names=("x",),
        feature_contract="c",
        features=np.zeros((n, 1)),
        label=column("label", np.int8),
        weight=np.ones(n),
        session=day,
        episode=column("episode"),
        episode_id=tuple(f"e{i}" for i in range(200)),
        feature_hash=np.array([str(i) for i in range(n)]),
        vector_time=time,
        known_at=end,
        contract_id=np.array([r.get("contract", "ES.FUT.202403") for r in rows]),
        direction=column("direction", np.int8, 1),
        level_price=np.full(n, 100 * TICK),
        touch_ticks=np.full(n, 2),
        barrier_ticks=np.full(n, 8),
        checksum="k",
    )
    market = Market(
        ordered=time,
        entry=quotes("bid", "ask", time + column("wait") * NS),
        exit_ordered=end,
        exit=quotes("out_bid", "out_ask", end),
        exit_reason=np.zeros(n, np.int8),
        tick=np.full(n, TICK),
        cost=np.full(n, cost),
        level_types={i: ("PM_HIGH", "PD_HIGH")[: 1 + i % 2] for i in range(200)},
        censored=0,
    )
    return Desk(data, np.array([r["p"] for r in rows]), market)


def vector(time: int, episode: int, p: tuple[float, float], **more: Any) -> dict[str, Any]:
    """A vector with quotes 99/100 at entry and 107/108 at exit, a minute later."""
    told = {"time": time, "episode": episode, "p": (*p, 1 - sum(p)), "end": time + 60}
    return {**told, "bid": 99, "ask": 100, "out_bid": 107, "out_ask": 108, **more}


def nets(desk: Desk, rule: Rule) -> list[float]:
    return desk.net_of(desk.trade(rule)).tolist()


HALF = Rule(0.5, 0.5)


def test_the_account_of_a_hand_made_market_is_known_to_the_tick() -> None:
    """Up through 100: along buys at 100, sells at 107; against sells at 99, buys back at 108.

    From above, along sells and against buys. Each pays half a tick per side.
    """
    desk = world(
        [
            vector(0, 0, (0.6, 0.2), label=BREAK),
            vector(100, 1, (0.2, 0.6), label=REJECT),
            vector(200, 2, (0.6, 0.2), direction=-1, label=CHOP),
            vector(300, 3, (0.2, 0.6), direction=-1, label=REJECT),
            vector(400, 4, (0.3, 0.3), label=CHOP),
        ]
    )
    assert nets(desk, HALF) == [6.0, -10.0, -10.0, 6.0]
    assert nets(desk, Rule(0.5, NEVER)) == [6.0, -10.0]
    assert nets(desk, Rule(NEVER, NEVER)) == []
    told = account(desk, desk.trade(HALF), BacktestSettings())
    assert (told["trades"], told["episodes"], told["total_net_ticks"]) == (4, 5, -8.0)
    assert (told["total_gross_ticks"], told["total_fees_ticks"]) == (-4.0, 4.0)
    assert (told["hit_rate"], told["calls_right"], told["drawdown_ticks"]) == (0.5, 0.75, 20.0)
    assert told["mean_net_ticks"] == told["median_net_ticks"] == -2.0
    assert told["interval"]["reason"] == "1 sessions have trades"
    assert told["by"]["side"]["LONG"]["total_net_ticks"] == 12.0
    assert told["by"]["side"]["SHORT"]["total_net_ticks"] == -20.0
    assert told["by"]["call"]["BREAK"]["total_net_ticks"] == -4.0
    assert told["by"]["approach"]["FROM_BELOW"]["trades"] == 2
    assert told["by"]["level_type"]["PM_HIGH"]["trades"] == 4
    assert told["by"]["level_type"]["PD_HIGH"]["trades"] == 2
    assert told["by"]["outcome"]["CHOP"]["total_net_ticks"] == -10.0


def test_an_episode_is_traded_once_by_its_first_vector_that_is_sure_enough() -> None:
    rows = [
        vector(0, 0, (0.4, 0.2)),
        vector(5, 0, (0.55, 0.2), ask=101),
        vector(10, 0, (0.9, 0.05), ask=103),
    ]
    desk = world(rows)
    assert desk.trade(HALF).row.tolist() == [1]
    assert nets(desk, HALF) == [5.0]
    assert desk.trade(Rule(0.95, 0.95)).row.tolist() == []


def test_one_position_at_a_time_and_the_episode_waits_until_the_contract_is_flat() -> None:
    rows = [
        vector(0, 0, (0.6, 0.2)),
        vector(30, 1, (0.6, 0.2)),  # while it is open
        vector(60, 1, (0.7, 0.2), ask=102),  # it is flat from this moment on
        vector(61, 2, (0.9, 0.0), end=70),  # blocked, and over before the contract is flat
        vector(61, 3, (0.9, 0.0), contract="ES.FUT.202406"),  # another contract
    ]
    made = world(rows).trade(HALF)
    assert made.row.tolist() == [0, 2, 4]
    assert made.blocked == 1


def test_of_one_moment_the_surer_call_is_traded_and_of_one_vector_the_more_probable() -> None:
    rows = [vector(0, 0, (0.5, 0.0)), vector(0, 1, (0.0, 0.8)), vector(0, 2, (0.8, 0.0))]
    assert world(rows).trade(HALF).row.tolist() == [1]
    both = world(
        [vector(0, 0, (0.3, 0.4)), vector(100, 1, (0.45, 0.4)), vector(200, 2, (0.4, 0.4))]
    )
    assert both.trade(Rule(0.2, 0.2)).call.tolist() == [REJECT, BREAK, BREAK]


def test_an_order_without_a_quote_before_its_exit_is_no_trade_but_was_an_order() -> None:
    rows = [
        vector(0, 0, (0.6, 0.2), wait=60),
        vector(30, 1, (0.6, 0.2)),
        vector(100, 2, (0.6, 0.2), bid=None, ask=None),
        vector(200, 3, (0.6, 0.2), wait=59),
    ]
    made = world(rows).trade(HALF)
    assert (made.row.tolist(), made.unfilled) == ([3], 2)


def test_a_position_that_no_quote_comes_for_is_closed_at_the_last_one() -> None:
    ts = np.array([10, 20, NONE, NONE])
    px = np.array([5, 6, NONE, NONE])
    quotes = Quotes(ts, px, px + 1, px, px)
    got, late = closed(quotes, np.array([1, 3]), np.array([20, 44]))
    assert late.tolist() == [False, True]
    assert (got.ts.tolist(), got.bid.tolist()) == ([20, 44], [6, 6])
    none, late = closed(quotes.take(np.array([2, 3])), np.array([0, 1]), np.array([30, 44]))
    assert none.found.tolist() == late.tolist() == [False, False]


def test_later_vectors_change_no_earlier_trade() -> None:
    random = np.random.default_rng(3)
    rows = []
    for e in range(60):
        start = int(random.integers(0, 3_000))
        end = start + int(random.integers(20, 200))
        for time in range(start, end, 10):
            p = random.dirichlet([2, 2, 1])
            rows.append(
                vector(time, e, (p[0], p[1]), end=end, out_bid=int(random.integers(90, 110)))
            )
    rows.sort(key=lambda r: (r["time"], r["episode"]))
    whole = world(rows)
    made = whole.trade(HALF)
    assert len(made) > 10
    for cut in random.integers(1, len(rows), 20):
        while cut < len(rows) and rows[cut]["time"] == rows[cut - 1]["time"]:
            cut += 1
        part = world(rows[:cut]).trade(HALF)
        assert part.row.tolist() == [r for r in made.row.tolist() if r < cut]


def test_thresholds_are_those_that_make_most_and_ties_are_settled() -> None:
    how = BacktestSettings(lowest=0.4, highest=0.8, step=0.2, min_trades=2)
    assert grid(how) == (0.4, 0.6, 0.8, NEVER)
    rows = []
    for day in range(4):
        # Along wins where it is sure (0.7) and loses where it is not (0.5); against always loses.
        rows += [
            vector(0, 3 * day, (0.7, 0.1), session=day),
            vector(100, 3 * day + 1, (0.5, 0.1), session=day, out_bid=97, out_ask=98),
            vector(200, 3 * day + 2, (0.1, 0.7), session=day),
        ]
    desk = world(rows)
    tried = attempt(desk, how)
    best = tried.best()
    assert tried.rules[best] == Rule(0.6, NEVER)
    assert tried.total[best].tolist() == [6.0] * 4
    for r, rule in enumerate(tried.rules):
        assert sum(nets(desk, rule)) == pytest.approx(tried.total[r].sum())
    # p_reject 0.8 trades as much as NEVER: the higher one is taken, and 0.6 before 0.4.
    most = attempt(desk, how.model_copy(update={"objective": "total"}))
    assert most.rules[most.best()] == Rule(0.6, NEVER)
    with pytest.raises(ModelError, match=r"no rule trades 13 times in 4 .*most is 12.*min_trades"):
        tried.best(min_trades=13)


def test_a_session_is_traded_by_what_the_others_have_chosen() -> None:
    how = BacktestSettings(lowest=0.4, highest=0.6, step=0.2, min_trades=3)
    rows = [vector(0, d, (0.7, 0.1), session=d, out_bid=(80, 101, 101, 101)[d]) for d in range(4)]
    tried = attempt(world(rows), how)
    crossed = tried.crossed()
    # Three sessions win a tick: the first is traded along because of them, and loses.
    assert tried.desk.net_of(crossed)[0] == -21.0
    assert len(crossed) == 4


def test_the_interval_holds_what_sessions_allow() -> None:
    random = np.random.default_rng(5)
    rows = [
        vector(
            100 * i, 10 * d + i, (0.7, 0.1), session=d, out_bid=100 + int(random.integers(-9, 14))
        )
        for d in range(12)
        for i in range(6)
    ]
    desk = world(rows)
    told = account(desk, desk.trade(HALF), BacktestSettings(draws=2_000))
    bounds = told["interval"]
    assert bounds["lower"] < told["mean_net_ticks"] < bounds["upper"]
    assert 0 < bounds["p"] < 1
    assert told == account(desk, desk.trade(HALF), BacktestSettings(draws=2_000))
    assert drawdown(np.array([])) == 0.0


class Leaning:
    """Believes in its first column alone."""

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        s = np.exp(np.stack([features[:, 0], -features[:, 0], 0 * features[:, 0]], axis=1))
        return s / s.sum(axis=1, keepdims=True)


def test_shuffling_what_a_model_leans_on_costs_and_what_it_ignores_costs_nothing() -> None:
    random = np.random.default_rng(1)
    desk = world([vector(5 * i, i // 4, (0.5, 0.3)) for i in range(400)])
    lean = np.repeat(random.standard_normal(100), 4)
    label = np.where(lean > 0, BREAK, REJECT).astype(np.int8)
    data = replace(desk.data, features=np.stack([lean, lean, 0 * lean], axis=1), label=label)
    groups = {"ignored": [1, 2], "leant on": [0]}
    made = importance(Leaning(), data, groups, shuffles=3, seed=0)
    assert [m.name for m in made] == ["leant on", "ignored"]
    assert made[0].cost > 0.3
    assert made[1].cost == made[1].deviation == 0.0
    assert made == importance(Leaning(), data, groups, shuffles=3, seed=0)


def test_an_episode_gets_one_other_episode_whole_and_in_order() -> None:
    episode = np.repeat(np.arange(9), np.arange(1, 10))
    for seed in range(5):
        other = elsewhere(episode, np.random.default_rng(seed))
        for e in range(9):
            given = other[episode == e]
            assert len(set(episode[given].tolist())) == 1
            assert episode[given[0]] != e
            assert (np.diff(given) >= 0).all()


def test_nobody_trades_on_records_that_have_not_come_yet() -> None:
    """A vector may hold records that are received a quarter of a second after its time."""
    told = {"backtest": {"latency_ms": LATENESS_NS / 1e6}}
    assert Settings.load(ml=told).ml.backtest.latency_ms == 250
    told["backtest"]["latency_ms"] -= 1
    with pytest.raises(ContractError, match=r"ml\.backtest\.latency_ms.*250"):
        Settings.load(ml=told)
