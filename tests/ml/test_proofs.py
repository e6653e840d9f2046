"""What is learnt passes the gate when there is something to learn, and never when there is nothing.

The sweep's own trials, the saved model's own fit and the gate's own checks, on outcomes drawn by a
known law: distance tells something, which the baseline knows, and flow tells more, by `strength`.
`bench/learning_proof.py` asks the same of whole simulated markets.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from spymaster.ml import sweep as sweeping
from spymaster.ml.baseline import FEATURES, Baseline, Prior
from spymaster.ml.candidate import candidate
from spymaster.ml.check import Check, failed
from spymaster.ml.dataset import Dataset
from spymaster.ml.gate import Rows, gate
from spymaster.ml.shuffle import shuffle_outcomes
from spymaster.ml.split import split
from spymaster.ml.trial_log import TrialLog, identity
from spymaster.settings import GateSettings
from tests.ml import lakes

SESSIONS, EPISODES, VECTORS = 60, 20, 2
WEAK, MIDDLE, STRONG = 0.5, 1.0, 1.5
#: Two logistic regressions and two forests.
TRIALS, SEED = 4, 1
HOW = GateSettings(draws=2_000)
#: The first look at these sessions.
ALPHA = 0.025
PRIOR, BASELINE = "better than the prior", "better than the baseline"


class Learnt(NamedTuple):
    """What the gate says of the model that a sweep has found, and how far scores are trusted."""

    checks: dict[str, Check]
    trust: float

    @property
    def passed(self) -> bool:
        return not failed(tuple(self.checks.values()))


@cache
def market(strength: float, seed: int = 0) -> Dataset:
    """Outcomes that lean on distance, and on flow as strongly as said."""
    random = np.random.default_rng([seed, 7])
    n = SESSIONS * EPISODES
    episode = np.repeat(np.arange(n), VECTORS)
    flow, far = random.standard_normal(n), random.standard_normal(n)
    latent = 0.7 * far + strength * flow + random.standard_normal(n)
    names = (*FEATURES, "flow", *(f"noise_{i}" for i in range(12)))
    x = random.standard_normal((n * VECTORS, len(names)))
    x[:, 0] = far[episode] + 0.3 * x[:, 0]
    x[:, 3] = flow[episode] + 0.3 * x[:, 3]
    x[random.random(x.shape) < 0.02] = np.nan
    rows = len(episode)
    number = np.arange(rows, dtype=np.int64)
    days = np.array(lakes.sessions(SESSIONS), "datetime64[D]")
    return Dataset(
        model_id="ES_MODEL",
        run_date=dt.date(2024, 12, 1),
        names=names,
        feature_contract="0" * 32,
        features=x,
        label=np.digitize(latent, [-0.6, 0.6]).astype(np.int8)[episode],
        weight=np.full(rows, 1 / VECTORS),
        session=days[episode // EPISODES],
        episode=episode,
        episode_id=tuple(f"episode {i}" for i in range(n)),
        feature_hash=number.astype(str),
        vector_time=number,
        known_at=number,
        contract_id=np.full(rows, lakes.CONTRACT),
        direction=np.where(episode % 2, 1, -1).astype(np.int8),
        level_price=number,
        touch_ticks=number,
        barrier_ticks=number,
        checksum=f"{strength} {seed}",
    )


def learn(data: Dataset, folder: Path) -> Learnt:
    """Sweep, fit the best, and ask the gate."""
    cut = split(data.sessions)
    kept = TrialLog(folder, identity(data, cut, SEED))
    made = sweeping._trials(kept, data, cut, str(folder), SEED, TRIALS, 1)
    best = sweeping._best([record for record, _ in made], kept.path)
    train, validation, test = (data.of(part) for part in (cut.train, cut.validation, cut.test))
    model = candidate(train, validation, best["knobs"], best["fit_seed"])
    seen = data.of(cut.train + cut.validation)
    others = {
        "the prior": Prior.fit(seen).probabilities(test),
        "the baseline": Baseline.fit(seen).probabilities(test),
    }
    checks = gate(model.probabilities(test.features), others, Rows.of(test), HOW, ALPHA)
    return Learnt({check.name: check for check in checks}, model.card["trust"])


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    return learn(market(STRONG), tmp_path_factory.mktemp("strong"))


def test_what_can_be_learnt_passes_every_check(strong: Learnt) -> None:
    assert strong.passed, strong
    assert set(strong.checks) == {"enough", PRIOR, BASELINE, "calibration"}
    assert strong.checks[BASELINE].facts["lower"] > 0.05
    assert strong.checks[PRIOR].facts["gain"] > strong.checks[BASELINE].facts["gain"] + 0.01


def test_with_the_signal_off_no_seed_of_ten_passes(strong: Learnt, tmp_path: Path) -> None:
    found = [learn(market(0.0, seed), tmp_path / str(seed)) for seed in range(10)]
    assert strong.passed  # by the same code
    assert not any(one.passed for one in found)
    assert all(not one.checks[BASELINE].passed for one in found)
    # Distance still tells: these models are no fools, and yet not better than who knows it.
    assert np.mean([one.checks[PRIOR].facts["gain"] for one in found]) > 0.05
    assert abs(np.mean([one.checks[BASELINE].facts["gain"] for one in found])) < 0.03


def test_outcomes_shuffled_between_episodes_leave_the_prior_and_are_refused(
    strong: Learnt, tmp_path: Path
) -> None:
    data = market(STRONG)
    found = []
    for seed in range(5):
        dealt = shuffle_outcomes(data.label, data.episode, seed)
        assert (dealt != data.label).mean() > 0.5
        found.append(learn(replace(data, label=dealt, checksum=str(seed)), tmp_path / str(seed)))
    assert strong.passed  # the same rows, as they were
    for one in found:
        assert not one.checks[PRIOR].passed
        facts = one.checks[PRIOR].facts
        assert abs(facts["gain"]) <= 3 * facts["error"] + 1e-3
    assert np.mean([one.trust for one in found]) < 0.5 < strong.trust


def test_the_gain_grows_with_the_strength_of_the_signal(strong: Learnt, tmp_path: Path) -> None:
    weak, middle = (learn(market(s), tmp_path / str(s)) for s in (WEAK, MIDDLE))
    for name in (PRIOR, BASELINE):
        gains = [one.checks[name].facts["gain"] for one in (weak, middle, strong)]
        assert gains[0] > 0
        assert gains[1] > gains[0] + 0.02
        assert gains[2] > gains[1] + 0.02
    assert middle.passed
