"""The gain over sessions: right about chance, able to see what is there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.gain import Gain, gain

MARKETS = 500


def market(
    random: np.random.Generator, sessions: int, tail: bool, true_gain: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Gains of 6 to 15 episodes a session, which share its weather; `tail`: a few great losses."""
    day = np.repeat(np.arange(sessions), random.integers(6, 16, sessions))
    if tail:
        each = 0.45 * (1 - random.exponential(1, len(day)))
    else:
        each = random.normal(0, 0.35, len(day))
    return each + random.normal(0, 0.08, sessions)[day] + true_gain, day


def chances(
    sessions: int, tail: bool, true_gain: float, margin: float = 0.0
) -> NDArray[np.float64]:
    """p of many markets."""
    random = np.random.default_rng(7)
    found = []
    for _ in range(MARKETS):
        each, day = market(random, sessions, tail, true_gain)
        told = gain(np.zeros(len(day)), each, day, alpha=0.05, margin=margin, draws=999, seed=3)
        assert told.passed == (told.lower > margin)
        found.append(told.p)
    return np.array(found)


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize(("sessions", "margin"), [(10, 0.0), (16, 0.02)])
def test_what_is_no_better_than_the_margin_passes_at_most_alpha_of_the_time(
    sessions: int, tail: bool, margin: float
) -> None:
    p = chances(sessions, tail, margin, margin)
    for alpha in (0.05, 0.025, 0.025 / 3):
        assert (p <= alpha).mean() <= alpha + 3 * (alpha * (1 - alpha) / MARKETS) ** 0.5


@pytest.mark.parametrize("tail", [False, True])
def test_what_is_better_is_seen_the_more_sessions_the_surer(tail: bool) -> None:
    few = (chances(10, tail, 0.15) <= 0.025).mean()
    more = (chances(20, tail, 0.15) <= 0.025).mean()
    assert few > 0.5
    assert more > 0.85
    assert more > few


def plain_p(found: NDArray[np.float64], day: NDArray[np.int64], draws: int, seed: int) -> float:
    """The same with lists and loops."""
    days = sorted(set(day.tolist()))
    groups = [found[day == d] for d in days]

    def ratio(chosen: list[NDArray[np.float64]]) -> tuple[float, float]:
        n = sum(len(g) for g in chosen)
        mean = sum(g.sum() for g in chosen) / n
        squares = sum((g.sum() - mean * len(g)) ** 2 for g in chosen)
        return mean, (len(chosen) / (len(chosen) - 1) * squares) ** 0.5 / n

    mean, error = ratio(groups)
    drawn = np.random.default_rng(seed).integers(len(days), size=(draws, len(days)))
    reached = 0
    for row in drawn:
        m, e = ratio([groups[i] for i in row])
        reached += (m - mean) / e >= mean / error
    return (1 + reached) / (draws + 1)


def test_p_is_that_of_a_plain_loop_over_whole_sessions() -> None:
    found, day = market(np.random.default_rng(11), 12, True, 0.05)
    told = gain(np.zeros(len(day)), found, day, alpha=0.05, draws=400, seed=5)
    assert told.p == pytest.approx(plain_p(found, day, 400, 5), abs=1e-12)
    assert told.gain == pytest.approx(found.mean())


def test_the_order_of_episodes_and_the_names_of_sessions_do_not_matter() -> None:
    found, day = market(np.random.default_rng(1), 10, False, 0.1)
    dates = np.datetime64("2024-01-02") + day.astype("timedelta64[D]")
    turned = np.random.default_rng(2).permutation(len(day))

    def told(order: NDArray[np.int64]) -> Gain:
        return gain(np.zeros(len(day)), found[order], dates[order], alpha=0.05, draws=1000)

    assert told(turned).p == told(np.arange(len(day))).p
    assert told(turned).gain == pytest.approx(told(np.arange(len(day))).gain, abs=1e-15)


def test_episodes_of_one_session_are_not_independent_witnesses() -> None:
    random = np.random.default_rng(4)
    weather = random.normal(0.05, 0.2, 12)
    day = np.repeat(np.arange(12), 40)
    found = weather[day] + random.normal(0, 0.01, len(day))
    whole = gain(np.zeros(len(day)), found, day, alpha=0.05)
    apart = gain(np.zeros(len(day)), found, np.arange(len(day)), alpha=0.05)
    assert whole.error > 4 * apart.error
    assert not whole.passed
    assert apart.passed


def test_a_model_is_not_better_than_itself_and_one_session_shows_nothing() -> None:
    loss = np.random.default_rng(0).exponential(1, 50)
    day = np.repeat(np.arange(10), 5)
    itself = gain(loss, loss, day, alpha=0.4)
    assert (itself.gain, itself.p, itself.passed) == (0.0, 1.0, False)
    with pytest.raises(ModelError, match="1 sessions to draw from; at least 2"):
        gain(loss, loss + 1, np.zeros(50), alpha=0.05)
