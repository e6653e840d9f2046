"""The baselines: the prior, and a regression on what every trader sees."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spymaster.errors import ModelError
from spymaster.ml.baseline import FEATURES, Baseline, Prior
from spymaster.ml.dataset import Dataset, load
from spymaster.ml.freeze import freeze
from spymaster.ml.metrics import judge
from spymaster.ml.outcomes import FLOOR
from spymaster.ml.shuffle import shuffle_outcomes
from tests.ml import lakes

RUN_DATE = dt.date(2024, 2, 1)
NOW = int(dt.datetime(2024, 6, 1, tzinfo=dt.UTC).timestamp()) * 10**9


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset whose distance in barriers tells a part of the outcome."""
    root: Path = tmp_path_factory.mktemp("lesson")
    lake = lakes.make(root, lakes.sessions(12), episodes=16, vectors=3)
    freeze(lake, lakes.settings(root), "ES_MODEL", RUN_DATE, NOW)
    data = load(root, "ES_MODEL", RUN_DATE)
    features = data.features.copy()
    features[:, data.names.index("distance_barriers")] = data.column("distance_ticks")
    features[::7, data.names.index("volatility_72")] = np.nan
    return replace(data, features=features)


def parts(data: Dataset) -> tuple[Dataset, Dataset]:
    return data.of(data.sessions[:8]), data.of(data.sessions[8:])


def loss(p: np.ndarray, data: Dataset) -> float:
    return judge(p, data.label, data.weight, data.episode).per_episode.log_loss


def test_the_prior_is_the_weighted_share_of_each_outcome(lesson: Dataset) -> None:
    train, test = parts(lesson)
    made = Prior.fit(train).probabilities(test)
    naive = [train.weight[train.label == c].sum() / train.weight.sum() for c in range(3)]
    assert made.shape == (len(test), 3)
    assert made[0] == pytest.approx(naive)
    assert (made == made[0]).all()


def test_the_baseline_beats_the_prior_where_distance_tells(lesson: Dataset) -> None:
    train, test = parts(lesson)
    fitted = Baseline.fit(train)
    assert (
        loss(fitted.probabilities(test), test)
        < loss(Prior.fit(train).probabilities(test), test) - 0.1
    )
    again = Baseline.fit(train).probabilities(test)
    assert again.tobytes() == fitted.probabilities(test).tobytes()


def test_with_outcomes_dealt_anew_the_baseline_knows_no_more_than_the_prior(
    lesson: Dataset,
) -> None:
    gains = []
    for seed in range(5):
        dealt = shuffle_outcomes(lesson.label, lesson.episode, seed)
        train, test = parts(replace(lesson, label=dealt))
        gains.append(
            loss(Prior.fit(train).probabilities(test), test)
            - loss(Baseline.fit(train).probabilities(test), test)
        )
    assert np.mean(gains) < 0.02


def test_only_its_four_columns_matter_and_missing_ones_have_an_answer(lesson: Dataset) -> None:
    train, test = parts(lesson)
    fitted = Baseline.fit(train)
    kept = [test.names.index(name) for name in FEATURES]
    other = np.full_like(test.features, np.nan)
    other[:, kept] = test.features[:, kept]
    assert (fitted.probabilities(replace(test, features=other)) == fitted.probabilities(test)).all()
    blind = fitted.probabilities(replace(test, features=np.full_like(other, np.nan)))
    assert np.isfinite(blind).all()
    turned = fitted.probabilities(replace(test, direction=-test.direction))
    assert (turned != fitted.probabilities(test)).any()


def test_an_outcome_that_training_lacks_gets_the_floor(lesson: Dataset) -> None:
    train, test = parts(lesson)
    two = Baseline.fit(train.rows(train.label != 1)).probabilities(test)
    assert (two[:, 1] == FLOOR).all()
    assert two.sum(axis=1) == pytest.approx(np.ones(len(test)))
    one = Baseline.fit(train.rows(train.label == 2)).probabilities(test)
    assert one[0] == pytest.approx([FLOOR, FLOOR, 1 - 2 * FLOOR])
    with pytest.raises(ModelError, match="no rows"):
        Baseline.fit(train.rows(np.zeros(len(train), np.bool_)))
    with pytest.raises(ModelError, match="no rows"):
        Prior.fit(train.rows(np.zeros(len(train), np.bool_)))
