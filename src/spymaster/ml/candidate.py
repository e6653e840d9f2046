"""A candidate: a proposal fitted on a snapshot's rows, and calibrated on rows it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spymaster.ml.arrays import FORMAT, OUTCOMES, Model, digest
from spymaster.ml.dataset import Dataset
from spymaster.ml.fitting import fit, form
from spymaster.ml.outcomes import prior
from spymaster.ml.trust import calibration, trust


def uncalibrated(data: Dataset, knobs: Mapping[str, Any], fit_seed: int) -> Model:
    """A model fitted on all rows given, its scores taken as they are."""
    arrays = fit(knobs, data.features, data.label, data.weight, fit_seed)
    even = np.full(len(OUTCOMES), 1 / len(OUTCOMES))
    return _model(data, knobs, {**arrays, **calibration(1.0, even)})


def candidate(
    train: Dataset, validation: Dataset, knobs: Mapping[str, Any], fit_seed: int, **told: Any
) -> Model:
    """Fit on train, then trust the scores over train's prior as far as validation bears out.

    `told` goes into the model's card.
    """
    raw = uncalibrated(train, knobs, fit_seed)
    before = prior(train.label, train.weight)
    scores = raw.scores(validation.features)
    b = trust(scores, validation.label, validation.weight, before)
    return _model(
        train,
        knobs,
        {**raw.arrays, **calibration(b, before)},
        prior=before.tolist(),
        trust=b,
        **told,
    )


def _model(data: Dataset, knobs: Mapping[str, Any], arrays: dict[str, Any], **told: Any) -> Model:
    card = {
        "format": FORMAT,
        "form": form(knobs["kind"]),
        "model_id": data.model_id,
        "feature_contract": data.feature_contract,
        "outcomes": list(OUTCOMES),
        "columns": list(data.names),
        "knobs": dict(knobs),
        **told,
    }
    return Model({**card, "digest": digest(card, arrays)}, arrays)
