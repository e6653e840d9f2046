"""One trial: fit on each fold, judge on what follows it; validation and test are not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.arrays import F8, OUTCOMES, Model, digest
from spymaster.ml.dataset import Dataset
from spymaster.ml.fitting import fit, form
from spymaster.ml.metrics import Metrics, judge
from spymaster.ml.search import Proposal
from spymaster.ml.split import Fold
from spymaster.ml.trust import calibration


@dataclass(frozen=True)
class Tried:
    """What came of a trial: the mean log-loss over the folds, each fold's, and all of the metrics.

    `told` are the probabilities of every judged row, fold after fold, with their labels, weights
    and episodes: for pictures. A failed trial has a reason in place of all.
    """

    loss: float | None
    folds: tuple[float, ...] = ()
    metrics: Metrics | None = None
    told: tuple[F8, NDArray[np.int8], F8, NDArray[np.int64]] | None = None
    reason: str = ""


def model_of(data: Dataset, knobs: dict[str, Any], arrays: dict[str, Any], **more: Any) -> Model:
    """A model of this snapshot's feature contract. `arrays` hold the calibration too."""
    card = {
        "format": 1,
        "form": form(knobs["kind"]),
        "model_id": data.model_id,
        "feature_contract": data.feature_contract,
        "outcomes": list(OUTCOMES),
        "columns": list(data.names),
        "knobs": knobs,
        **more,
    }
    return Model({**card, "digest": digest(card, arrays)}, arrays)


def uncalibrated(data: Dataset, knobs: dict[str, Any], fit_seed: int) -> Model:
    """A model fitted on all rows given, its scores taken as they are."""
    arrays = fit(knobs, data.features, data.label, data.weight, fit_seed)
    return model_of(data, knobs, {**arrays, **calibration(1.0, np.full(3, 1 / 3))})


def attempt(data: Dataset, folds: Sequence[Fold], proposal: Proposal) -> Tried:
    """Try a proposal. What cannot be fitted is a failed trial, and the search goes on."""
    losses, told = [], []
    for fold in folds:
        judged = data.of(fold.judge)
        try:
            model = uncalibrated(data.of(fold.fit), proposal.knobs, proposal.fit_seed)
        except (ModelError, ValueError, ArithmeticError) as error:
            return Tried(None, reason=f"{type(error).__name__}: {error}")
        p = model.probabilities(judged.features)
        found = judge(p, judged.label, judged.weight, judged.episode)
        losses.append(found.per_vector.log_loss)
        told.append((p, judged.label, judged.weight, judged.episode))
    p, label, weight, episode = (np.concatenate(column) for column in zip(*told, strict=True))
    return Tried(
        loss=float(np.mean(losses)),
        folds=tuple(losses),
        metrics=judge(p, label, weight, episode),
        told=(p, label, weight, episode),
    )
