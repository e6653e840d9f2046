"""What any model must beat: the prior, and four numbers that every trader of levels sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.dataset import Dataset
from spymaster.ml.extra import needed
from spymaster.ml.outcomes import OUTCOMES, floored, prior

#: Oriented distance in barriers, bars since the trigger, realized volatility; and the direction.
FEATURES = ("distance_barriers", "bars_since_trigger", "volatility_72")


@dataclass(frozen=True)
class Prior:
    """Says the same of every vector: how often each outcome came in training."""

    shares: NDArray[np.float64]

    @classmethod
    def fit(cls, data: Dataset) -> Prior:
        return cls(prior(data.label, data.weight))

    def probabilities(self, data: Dataset) -> NDArray[np.float64]:
        """[n, 3]."""
        return np.tile(self.shares, (len(data), 1))


@dataclass(frozen=True)
class Baseline:
    """Multinomial logistic regression (L2, C = 1) on distance, bars, volatility and direction.

    Numbers are scaled by training's mean and deviation; what is missing is training's mean, and a
    column of its own says so. An outcome that training lacks gets the floor.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    fitted: Any
    outcomes: NDArray[np.int64]  #: codes that training has

    @classmethod
    def fit(cls, data: Dataset) -> Baseline:
        """Fit to a dataset's rows and weights; the same rows give the same bits."""
        x = _columns(data)
        outcomes = np.unique(data.label).astype(np.int64)
        if not len(outcomes):
            raise ModelError("the baseline has no rows to fit. Name sessions that hold some.")
        known = np.where(np.isnan(x), 0.0, 1.0) * data.weight[:, None]
        total = np.maximum(known.sum(axis=0), np.finfo(np.float64).tiny)
        mean = (known * np.nan_to_num(x)).sum(axis=0) / total
        variance = (known * (np.nan_to_num(x) - mean) ** 2).sum(axis=0) / total
        scale = np.where(variance > 0, np.sqrt(variance), 1.0)
        fitted = None
        if len(outcomes) > 1:
            linear = needed("sklearn.linear_model")
            fitted = linear.LogisticRegression(C=1.0, solver="lbfgs", max_iter=1_000)
            # Weights of mean one, so that C means the same for few rows and many.
            weight = data.weight / data.weight.mean()
            fitted.fit(_scaled(x, mean, scale), data.label, sample_weight=weight)
        return cls(mean, scale, fitted, outcomes)

    def probabilities(self, data: Dataset) -> NDArray[np.float64]:
        """[n, 3], floored."""
        out = np.zeros((len(data), len(OUTCOMES)))
        if self.fitted is None:
            out[:, self.outcomes] = 1.0
        elif len(data):
            out[:, self.outcomes] = self.fitted.predict_proba(
                _scaled(_columns(data), self.mean, self.scale)
            )
        return floored(out)


def _columns(data: Dataset) -> NDArray[np.float64]:
    named = [data.column(name) for name in FEATURES]
    return np.column_stack([*named, data.direction.astype(np.float64)])


def _scaled(
    x: NDArray[np.float64], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    missing = np.isnan(x)
    return np.hstack([np.where(missing, 0.0, (x - mean) / scale), missing.astype(np.float64)])
