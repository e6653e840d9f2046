"""The gate on arrays: what passes, what is refused and by how much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.check import Check, failed
from spymaster.ml.gate import Rows, gate
from spymaster.settings import GateSettings

HOW = GateSettings(draws=2_000)
SHARES = np.array([0.3, 0.4, 0.3])


def market(
    sessions: int = 16, episodes: int = 14, strength: float = 1.0, seed: int = 0
) -> tuple[Rows, NDArray[np.float64]]:
    """Rows with outcomes drawn from known probabilities, and those; `strength` 0: the prior."""
    random = np.random.default_rng(seed)
    lean = random.normal(0, strength, (sessions * episodes, 3))
    p = SHARES * np.exp(lean)
    p /= p.sum(axis=1, keepdims=True)
    label = (random.random((len(p), 1)) >= p.cumsum(axis=1)[:, :2]).sum(axis=1).astype(np.int8)
    vectors = random.integers(1, 5, len(p))
    episode = np.repeat(np.arange(len(p)), vectors)
    rows = Rows(
        label=label[episode],
        weight=random.uniform(0.1, 1.0, len(episode)),
        episode=episode,
        session=(np.datetime64("2024-01-02") + np.arange(sessions))[episode // episodes],
    )
    return rows, p[episode]


def prior(rows: Rows) -> NDArray[np.float64]:
    return np.tile(SHARES, (len(rows.label), 1))


def names(checks: tuple[Check, ...]) -> list[str]:
    return [check.name for check in failed(checks)]


def test_who_knows_the_true_probabilities_passes() -> None:
    rows, true = market()
    checks = gate(true, {"the prior": prior(rows)}, rows, HOW)
    assert [c.name for c in checks] == ["enough", "better than the prior", "calibration"]
    assert names(checks) == []
    assert checks[1].facts["gain"] > 0.1
    assert checks[1].facts["lower"] > HOW.margin_nats
    assert (checks[1].facts["sessions"], checks[1].facts["episodes"]) == (16, 224)


def test_the_same_arrays_and_settings_are_judged_the_same_to_the_last_bit() -> None:
    rows, true = market()
    assert gate(true, {"it": prior(rows)}, rows, HOW) == gate(true, {"it": prior(rows)}, rows, HOW)


def test_noise_is_no_better_than_the_prior() -> None:
    passed = 0
    for seed in range(40):
        rows, _ = market(strength=0.0, seed=seed)
        random = np.random.default_rng([seed, 1])
        own = SHARES * np.exp(random.normal(0, 0.1, (len(rows.label), 3)))
        passed += "better than the prior" not in names(
            gate(own, {"the prior": prior(rows)}, rows, HOW)
        )
    assert passed <= 6  # 40 * 0.05 and three deviations


def test_outcomes_shuffled_between_episodes_are_refused() -> None:
    rows, true = market()
    labels = rows.label[np.unique(rows.episode, return_index=True)[1]]
    shuffled = np.random.default_rng(3).permutation(labels)[rows.episode]
    found = names(gate(true, {"the prior": prior(rows)}, replace(rows, label=shuffled), HOW))
    assert "better than the prior" in found


def test_every_opponent_must_be_beaten_and_all_that_failed_are_told() -> None:
    rows, true = market()
    sharper = np.where(true == true.max(axis=1, keepdims=True), true**4, true**4 / 3)
    others = {"champion 3": true, "the prior": prior(rows), "the baseline": prior(rows) * [1, 2, 1]}
    checks = gate(sharper, others, rows, HOW)
    assert {"better than champion 3", "calibration"} <= set(names(checks))
    told = next(c.told for c in checks if c.name == "better than champion 3")
    assert "must be above +0.0050" in told
    assert "short" in told
    (bad,) = [c for c in checks if c.name == "calibration"]
    over = bad.facts["error"] - max(bad.facts["bound"], bad.facts["chance"])
    assert over > 0
    assert bad.told.endswith(f"{over:.4f} short")


def test_the_margin_is_beyond_what_chance_explains() -> None:
    rows, true = market()
    loose = gate(true, {"it": prior(rows)}, rows, HOW)[1]
    lower = loose.facts["lower"]
    within, beyond = lower - 0.01, lower + 0.01
    for margin, expected in ((within, []), (beyond, ["better than it"])):
        how = GateSettings(draws=2_000, margin_nats=margin)
        assert names(gate(true, {"it": prior(rows)}, rows, how)) == expected


def test_a_smaller_alpha_asks_for_more() -> None:
    rows, true = market(sessions=15, strength=0.5, seed=2)
    p = gate(true, {"it": prior(rows)}, rows, HOW)[1].facts["p"]
    assert names(gate(true, {"it": prior(rows)}, rows, HOW, alpha=p * 1.01)) == []
    assert names(gate(true, {"it": prior(rows)}, rows, HOW, alpha=p * 0.99)) == ["better than it"]


@pytest.mark.parametrize(("sessions", "episodes"), [(9, 40), (12, 16)])
def test_too_few_sessions_or_episodes_are_refused_before_anything_is_computed(
    sessions: int, episodes: int
) -> None:
    rows, _ = market(sessions, episodes)
    nonsense = np.full((3, 7), np.nan)
    (only,) = gate(nonsense, {"it": nonsense}, rows, HOW)
    assert not only.passed
    assert f"{sessions} test sessions with {sessions * episodes} episodes" in only.told


def test_few_episodes_are_allowed_the_calibration_error_that_chance_makes() -> None:
    rows, true = market()
    (check,) = [c for c in gate(true, {}, rows, HOW) if c.name == "calibration"]
    assert check.passed
    assert check.facts["chance"] > HOW.calibration_error
    assert "true ones reach it in 1 of 20" in check.told


def test_an_episode_in_two_sessions_is_an_error() -> None:
    rows, true = market()
    session = rows.session.copy()
    long = int(np.bincount(rows.episode).argmax())
    session[np.flatnonzero(rows.episode == long)[-1]] += 40
    with pytest.raises(ModelError, match="an episode lies in two sessions"):
        gate(true, {"it": true}, replace(rows, session=session), HOW)
