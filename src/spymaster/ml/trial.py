"""One trial: fit on each fold, judge on what follows it; validation and test are not looked at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from spymaster.errors import ModelError
from spymaster.ml.candidate import uncalibrated
from spymaster.ml.dataset import Dataset
from spymaster.ml.metrics import Metrics, judge
from spymaster.ml.search import Proposal
from spymaster.ml.split import Fold
from spymaster.ml.trial_log import Record


def attempt(data: Dataset, folds: Sequence[Fold], trial: int, proposal: Proposal) -> Record:
    """A trial's record: the mean weighted log-loss over the folds, and all that was judged.

    `metrics` and `curves` are those of every fold's judged rows together. What cannot be fitted
    is a failed trial with its reason, and the search goes on.
    """
    started = time.time_ns()
    told = {
        "trial": trial,
        "values": proposal.values,
        "knobs": proposal.knobs,
        "fit_seed": proposal.fit_seed,
    }
    try:
        found = _judged(data, folds, proposal)
    except (ModelError, ValueError, ArithmeticError) as error:
        found = {"loss": None, "folds": [], "reason": f"{type(error).__name__}: {error}"}
    clock = {"started_ms": started // 10**6, "ended_ms": time.time_ns() // 10**6}
    return {**told, **found, **clock}


def _judged(data: Dataset, folds: Sequence[Fold], proposal: Proposal) -> dict[str, Any]:
    losses, parts = [], []
    for fold in folds:
        judged = data.of(fold.judge)
        model = uncalibrated(data.of(fold.fit), proposal.knobs, proposal.fit_seed)
        p = model.probabilities(judged.features)
        part = (p, judged.label, judged.weight, judged.episode)
        losses.append(judge(*part).per_vector.log_loss)
        parts.append(part)
    p, label, weight, episode = (np.concatenate(column) for column in zip(*parts, strict=True))
    metrics = judge(p, label, weight, episode)
    return {
        "loss": float(np.mean(losses)),
        "folds": losses,
        **metrics.to_json(),
        "curves": curves(metrics),
    }


def curves(metrics: Metrics) -> dict[str, Any]:
    """The calibration curves per vector, by outcome, as JSON values."""
    return {
        name: {
            "called": one.curve.called.tolist(),
            "happened": one.curve.happened.tolist(),
            "weight": one.curve.weight.tolist(),
        }
        for name, one in metrics.per_vector.classes.items()
        if one.curve is not None
    }
