"""The Bayes gain, against walks played by hand and against the simulated market itself."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from spymaster.feed.simulator import simulate
from spymaster.feed.simulator.information import Information, information
from spymaster.feed.simulator.path import DRIFT, SPREAD
from spymaster.ml.learning_market import MIDDLE, STRONG, WEAK, learning_market
from tests.markets import days, live

NS, TICK_PX = 1_000_000_000, 250_000_000
BREAK, REJECT, CHOP = range(3)


def of(strength: float) -> Information:
    c = learning_market(strength)
    return information(strength, c.touch_ticks, c.barrier_ticks, c.timeout_bars)


def test_the_gain_is_nothing_without_a_signal_and_grows_with_it() -> None:
    gains = [of(strength).gain for strength in (0.0, WEAK, MIDDLE, STRONG)]
    assert gains[0] == 0.0
    assert 0.04 < gains[1] < 0.08
    assert 0.10 <= gains[2] <= 0.15
    assert 0.20 < gains[3] < 0.25
    assert of(1.0).informed > 0.3, "even who knows where the price wants to go is often surprised"
    assert of(MIDDLE).prior > of(MIDDLE).baseline + 0.3, "the price tells much by itself"


def test_only_the_ratio_of_touch_to_barrier_counts() -> None:
    assert information(0.5, 2, 12, 36) == information(0.5, 4, 24, 36)
    assert information(0.5, 2, 12, 36) != information(0.5, 6, 12, 36)


class Walks:
    """Many episodes played second by second, and a vector at each bar's close before the end."""

    def __init__(self, n: int, touch: float, seconds: int, right: float) -> None:
        rng = np.random.default_rng(5)
        self.z = rng.choice([-1, 1], n)
        w = np.where(rng.random(n) < right, self.z, -self.z)
        at, outcome = np.full(n, -touch), np.full(n, CHOP)
        alive, episode, bar, where = np.ones(n, bool), [], [], []
        for second in range(1, seconds + 3):
            at += self.z * DRIFT / seconds + SPREAD / math.sqrt(seconds) * rng.standard_normal(n)
            outcome[alive & (at >= 1.0)] = BREAK
            outcome[alive & (at <= -1.0)] = REJECT
            alive &= np.abs(at) < 1.0
            if second % 5 == 3:
                episode.append(np.flatnonzero(alive))
                bar.append(np.full(alive.sum(), second // 5))
                where.append(at[alive].copy())
        self.outcome = outcome
        self.episode, self.bar = np.concatenate(episode), np.concatenate(bar)
        self.where, self.w = np.concatenate(where), w[self.episode]
        self.weight = 1.0 / np.bincount(self.episode, minlength=n)[self.episode]

    def loss(self, cell: np.ndarray) -> float:
        """The log-loss of who knows how often each outcome came in each cell."""
        joint = cell * 3 + self.outcome[self.episode]
        count = np.bincount(joint, self.weight, 3 * int(cell.max()) + 3).reshape(-1, 3)
        share = count / np.maximum(count.sum(axis=1, keepdims=True), 1e-300)
        return float(-(self.weight * np.log(share.ravel()[joint])).sum() / self.weight.sum())


def test_played_walks_come_to_the_same_outcomes_and_losses() -> None:
    told = information(MIDDLE, 2, 12, 72)
    played = Walks(40_000, 2 / 12, 360, (1 + MIDDLE) / 2)
    for z, shares in zip((1, -1), told.outcomes, strict=True):
        mine = np.bincount(played.outcome[played.z == z], minlength=3) / (played.z == z).sum()
        assert mine == pytest.approx(shares, abs=0.012)
    cell = (np.floor(played.where * 12).astype(int) + 12) * 24 + played.bar // 3
    assert played.loss(np.zeros_like(cell)) == pytest.approx(told.prior, abs=0.01)
    baseline = played.loss(cell)
    informed = played.loss(cell * 2 + (played.w > 0))
    assert baseline == pytest.approx(told.baseline, abs=0.012)
    assert informed == pytest.approx(told.informed, abs=0.012)
    assert baseline - informed == pytest.approx(told.gain, abs=0.008)


def test_the_market_keeps_the_law_that_the_gain_is_worked_out_by(tmp_path: Path) -> None:
    config = learning_market(STRONG, sessions=14)
    simulation = simulate(config, tmp_path)
    trades = [r[r["action"] == ord("T")] for r in map(live, days(simulation))]
    ts = np.concatenate([t["ts_event"] for t in trades]).astype(np.int64)
    px = np.concatenate([t["price"] for t in trades]) // TICK_PX
    with simulation.truth.open() as file:
        truth = list(csv.DictReader(file))
    found = np.zeros((2, 3))
    for touch in truth:
        s = 1 if touch["direction"] == "from_below" else -1
        since, until = np.searchsorted(ts, int(touch["time"]) + np.array([0, 362 * NS]))
        path = s * (px[since:until] - round(float(touch["level_price"]) * 4))
        hit = path[np.abs(path) >= config.barrier_ticks]
        outcome = CHOP if not len(hit) else BREAK if hit[0] > 0 else REJECT
        found[0 if touch["z"] == "1" else 1, outcome] += 1
    assert len(truth) > 10 * config.sessions
    shares = found / found.sum(axis=1, keepdims=True)
    print(len(truth), "touches, outcomes by z", shares.round(3), "by law", of(STRONG).outcomes)
    assert shares == pytest.approx(np.array(of(STRONG).outcomes), abs=0.13)
