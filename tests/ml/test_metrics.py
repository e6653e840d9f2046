"""The judge, against scikit-learn and against reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from spymaster.errors import ModelError
from spymaster.ml.calibration import calibration_error, chance, curve
from spymaster.ml.metrics import (
    auc,
    brier,
    episode_losses,
    judge,
    losses,
    per_episode,
)
from spymaster.ml.outcomes import FLOOR, OUTCOMES, floored
from spymaster.ml.shuffle import shuffle_outcomes

CODES = [0, 1, 2]


class Rows:
    """Random episodes of vectors, some probabilities equal, all three outcomes."""

    def __init__(self, seed: int, episodes: int = 30) -> None:
        random = np.random.default_rng(seed)
        sizes = random.integers(1, 9, episodes)
        outcome = np.concatenate([CODES, random.integers(0, 3, episodes - 3)])
        self.episode = np.repeat(random.permutation(episodes) + 100, sizes)
        self.label = np.repeat(outcome, sizes).astype(np.int8)
        n = len(self.label)
        self.p = floored(random.integers(1, 6, (n, 3)).astype(np.float64))
        self.weight = random.uniform(0.1, 1.0, n) / np.repeat(sizes, sizes)

    def judge(self) -> Any:
        return judge(self.p, self.label, self.weight, self.episode)


@given(st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_metrics_are_scikit_learns(seed: int) -> None:
    rows = Rows(seed)
    made = rows.judge()
    votes = per_episode(rows.weight, rows.episode)
    for judged, weight in ((made.per_vector, rows.weight), (made.per_episode, votes)):
        how: dict[str, Any] = {"sample_weight": weight}
        assert judged.log_loss == pytest.approx(
            sk.log_loss(rows.label, rows.p, labels=CODES, **how)
        )
        assert judged.brier == pytest.approx(
            sk.brier_score_loss(rows.label, rows.p, labels=CODES, **how)
        )
        said = rows.p.argmax(axis=1)
        assert judged.accuracy == pytest.approx(sk.accuracy_score(rows.label, said, **how))
        for code, name in enumerate(OUTCOMES):
            one, hit = judged.classes[name], rows.label == code
            assert one.auc == pytest.approx(sk.roc_auc_score(hit, rows.p[:, code], **how))
            assert one.brier == pytest.approx(sk.brier_score_loss(hit, rows.p[:, code], **how))
            assert one.share == pytest.approx(np.average(hit, weights=weight))
        assert not judged.reasons
    losses_by_class = [made.per_vector.classes[n].log_loss for n in OUTCOMES]
    shares = [made.per_vector.classes[n].share for n in OUTCOMES]
    assert np.dot(losses_by_class, shares) == pytest.approx(made.per_vector.log_loss)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_an_episode_has_one_vote_however_many_vectors_it_has(seed: int, factor: float) -> None:
    rows = Rows(seed)
    before = rows.judge()
    longer = rows.episode == rows.episode[0]
    again = np.concatenate([np.arange(len(rows.label)), np.repeat(np.flatnonzero(longer), 3)])
    weight = rows.weight * np.where(rows.episode % 2 == 0, factor, 1.0)
    after = judge(rows.p[again], rows.label[again], weight[again], rows.episode[again])
    assert after.episodes == before.episodes
    assert after.vectors > before.vectors
    for name, value in before.per_episode.flat().items():
        assert after.per_episode.flat()[name] == pytest.approx(value), name


def test_the_mean_over_episodes_is_what_a_bootstrap_draws_from() -> None:
    rows = Rows(1)
    codes, loss = episode_losses(rows.p, rows.label, rows.weight, rows.episode)
    assert codes.tolist() == sorted(set(rows.episode.tolist()))
    assert loss.mean() == pytest.approx(rows.judge().per_episode.log_loss)
    mine = rows.episode == codes[7]
    naive = -np.log(rows.p[mine, rows.label[mine]])
    assert loss[7] == pytest.approx(np.average(naive, weights=rows.weight[mine]))


def test_a_metric_of_an_absent_outcome_is_null_and_says_why() -> None:
    rows = Rows(2)
    label = np.where(rows.label == 2, 1, rows.label).astype(np.int8)
    made = judge(rows.p, label, rows.weight, rows.episode)
    told = made.to_json()
    for metric in ("log_loss", "brier", "auc", "calibration_error"):
        assert told["metrics"][f"vector_{metric}_chop"] is None
        assert told["metrics"][f"episode_{metric}_chop"] is None
        assert told["null"][f"{metric}_chop"] == "no row has the outcome CHOP"
    assert len(told["null"]) == 4
    assert told["metrics"]["vector_auc_break"] > 0
    one = judge(rows.p, np.zeros_like(label), rows.weight, rows.episode)
    assert one.per_vector.classes["BREAK"].auc is None
    assert one.per_vector.reasons["auc_break"] == "every row has the outcome BREAK"
    assert one.per_vector.classes["BREAK"].brier is not None
    assert all(np.isfinite(v) for v in one.flat().values() if v is not None)


def test_certainty_that_is_wrong_costs_a_finite_loss() -> None:
    wrong = losses(np.array([[0.0, 1.0, 0.0]]), np.array([0], np.int8))
    assert wrong.tolist() == [-np.log(FLOOR)]


@given(st.lists(st.tuples(*[st.floats(0, 1e6)] * 3), min_size=1, max_size=20))
def test_probabilities_have_a_floor_and_make_one(given_rows: list[tuple[float, ...]]) -> None:
    raw = np.array(given_rows)
    assume((raw.sum(axis=1) > 1e-300).all())
    made = floored(raw)
    assert (made >= FLOOR).all()
    assert made.sum(axis=1) == pytest.approx(np.ones(len(raw)), abs=1e-15)
    assert floored(made).tobytes() == made.tobytes()
    keeps = (raw / raw.sum(axis=1, keepdims=True) >= FLOOR).all(axis=1)
    assert made[keeps] == pytest.approx((raw / raw.sum(axis=1, keepdims=True))[keeps])
    assert (made.argmax(axis=1) == raw.argmax(axis=1)).all()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ([[np.nan, 0.5, 0.5]], "row 0 is"),
        ([[0.2, 0.4, 0.4], [-0.1, 0.5, 0.6]], "row 1 is"),
        ([[0.0, 0.0, 0.0]], "row 0 is"),
        ([[0.5, 0.5]], "the shape"),
    ],
)
def test_what_is_no_probability_is_refused(bad: list[list[float]], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        floored(np.array(bad))


def test_what_cannot_be_judged_is_refused() -> None:
    p, one = np.full((2, 3), 1 / 3), np.ones(2)
    labels, episodes = np.array([0, 1], np.int8), np.array([1, 2])
    none = np.zeros(0)
    for arguments, said in (
        ((np.zeros((0, 3)), none.astype(np.int8), none, none.astype(np.int64)), "no rows"),
        ((p, labels[:1], one, episodes), "one each per row"),
        ((p, labels, np.array([1.0, 0.0]), episodes), "above zero"),
        ((p, labels, np.array([1.0, np.nan]), episodes), "finite"),
        ((p, labels + 2, one, episodes), "codes of BREAK"),
        ((p, labels, one, np.array([1, 1])), "two outcomes"),
    ):
        with pytest.raises(ModelError, match=said):
            judge(*arguments)  # type: ignore[arg-type]


@given(st.integers(0, 1_000))
@settings(max_examples=20, deadline=None)
def test_auc_of_pairs_counted_one_by_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    score, weight = random.integers(0, 5, 25) / 4.0, random.uniform(0.1, 2, 25)
    hit = np.arange(25) % 3 == 0
    pairs = [(i, j) for i in np.flatnonzero(hit) for j in np.flatnonzero(~hit)]
    won = sum(
        weight[i] * weight[j] * (1.0 if score[i] > score[j] else 0.5 * (score[i] == score[j]))
        for i, j in pairs
    )
    assert auc(score, hit, weight) == pytest.approx(
        won / sum(weight[i] * weight[j] for i, j in pairs)
    )


def test_brier_runs_from_zero_to_two() -> None:
    label, weight = np.array([1, 1], np.int8), np.ones(2)
    assert brier(np.array([[0.0, 1.0, 0.0]] * 2), label, weight) == 0.0
    assert brier(np.array([[1.0, 0.0, 0.0]] * 2), label, weight) == 2.0


# Calibration


def _called(seed: int, episodes: int, sharpen: float) -> tuple[NDArray[Any], ...]:
    """Episodes of four vectors whose probabilities are a martingale; said sharper than they are."""
    random = np.random.default_rng(seed)
    signal = random.standard_normal((episodes, 4, 3)).cumsum(axis=1) * 0.9
    # Exact posteriors: an outcome is drawn first, and each step leans towards it.
    outcome = random.integers(0, 3, episodes)
    drift = np.eye(3)[outcome][:, None, :] * np.arange(1, 5)[None, :, None] * 0.81
    true = np.exp(signal + drift)
    p = true**sharpen
    p = floored((p / p.sum(axis=2, keepdims=True)).reshape(-1, 3))
    label = np.repeat(outcome, 4).astype(np.int8)
    return p, label, np.full(len(label), 0.25), np.repeat(np.arange(episodes), 4)


def test_true_probabilities_stay_below_what_chance_makes_and_sharpened_ones_do_not() -> None:
    below = 0
    for seed in range(20):
        p, label, weight, episode = _called(seed, 200, 1.0)
        bound = chance(p, weight, episode, seed=seed, draws=100)
        below += calibration_error(p, label, weight) <= bound
    assert below >= 16  # 19 expected; fewer than 16 in one of 400 such tests
    for seed in range(5):
        p, label, weight, episode = _called(seed, 200, 3.0)
        bound = chance(p, weight, episode, seed=seed, draws=100)
        assert calibration_error(p, label, weight) > bound


def test_chance_has_less_room_with_more_episodes_and_the_same_seed_says_the_same() -> None:
    few, many = _called(1, 50, 1.0), _called(1, 2_000, 1.0)
    bounds = [chance(p, w, e, seed=3, draws=50) for p, _, w, e in (few, many)]
    assert bounds[0] > 2 * bounds[1]
    p, _, w, e = few
    assert chance(p, w, e, seed=3, draws=50) == bounds[0]


def test_the_curve_says_what_happened_in_each_bin() -> None:
    called = np.array([0.05, 0.15, 0.15, 0.95, 1.0])
    hit = np.array([False, False, True, True, True])
    made = curve(called, hit, np.array([1.0, 1.0, 3.0, 1.0, 1.0]))
    assert made.called == pytest.approx([0.05, 0.15, 0.975])
    assert made.happened.tolist() == [0.0, 0.75, 1.0]
    assert made.weight.tolist() == [1.0, 4.0, 2.0]
    assert made.rows.tolist() == [1, 2, 2]
    assert made.error == pytest.approx((1 * 0.05 + 4 * 0.6 + 2 * 0.025) / 7)


# Outcomes dealt anew


@given(st.integers(0, 1_000), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_dealing_outcomes_anew_keeps_episodes_whole_and_counts_equal(data: int, seed: int) -> None:
    rows = Rows(data)
    dealt = shuffle_outcomes(rows.label, rows.episode, seed)
    assert dealt.dtype == np.int8
    _, first = np.unique(rows.episode, return_index=True)
    assert sorted(dealt[first]) == sorted(rows.label[first])
    for code in np.unique(rows.episode):
        assert len(set(dealt[rows.episode == code].tolist())) == 1
    assert (dealt == shuffle_outcomes(rows.label, rows.episode, seed)).all()
    part = (rows.episode % 3).astype(np.int64)
    inside = shuffle_outcomes(rows.label, rows.episode, seed, part)
    for value in range(3):
        mine = part[first] == value
        assert sorted(inside[first][mine]) == sorted(rows.label[first][mine])


def test_dealing_outcomes_anew_takes_the_signal_away() -> None:
    rows = Rows(5, episodes=600)
    told = floored(np.eye(3)[rows.label] * 4 + 1)
    assert judge(told, rows.label, rows.weight, rows.episode).per_episode.log_loss < 0.4
    dealt = shuffle_outcomes(rows.label, rows.episode, 1)
    after = judge(told, dealt, rows.weight, rows.episode).per_episode
    assert after.log_loss > np.log(3)
    assert all(abs((one.auc or 0) - 0.5) < 0.1 for one in after.classes.values())
