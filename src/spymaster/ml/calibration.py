"""Does what was called 30 % happen three times in ten? The curve, its error, and what chance makes.

Murphy & Winkler (1977) for the curve; Naeini, Cooper & Hauskrecht (2015) for the error;
Broecker & Smith (2007) for what a perfect forecaster would show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spymaster.ml.outcomes import OUTCOMES

BINS = 10


@dataclass(frozen=True)
class Curve:
    """Bins of equal width in which something was called; empty ones are left out."""

    called: NDArray[np.float64]  #: weighted mean probability per bin
    happened: NDArray[np.float64]  #: weighted share of hits per bin
    weight: NDArray[np.float64]  #: of the bin
    rows: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean |called - happened| by weight."""
        return float((self.weight * abs(self.called - self.happened)).sum() / self.weight.sum())


def curve(
    called: NDArray[np.float64],
    hit: NDArray[np.bool_],
    weight: NDArray[np.float64],
    bins: int = BINS,
) -> Curve:
    """The reliability curve of probabilities `called` and whether it happened.

    >>> made = curve(np.array([0.2, 0.2, 0.8]), np.array([False, True, True]), np.ones(3))
    >>> made.called.round(3).tolist(), made.happened.tolist(), round(made.error, 3)
    ([0.2, 0.8], [0.5, 1.0], 0.267)
    """
    at = np.minimum((called * bins).astype(np.int64), bins - 1)
    total = np.bincount(at, weight, bins)
    rows = np.bincount(at, minlength=bins)
    some = total > 0
    means = [np.bincount(at, weight * value, bins)[some] / total[some] for value in (called, hit)]
    return Curve(means[0], means[1], np.asarray(total[some], np.float64), rows[some])


def calibration_error(
    probabilities: NDArray[np.float64],
    label: NDArray[np.int8],
    weight: NDArray[np.float64],
    bins: int = BINS,
) -> float:
    """Mean over the outcomes of their curves' errors (Kull et al. 2019, class-wise).

    >>> calibration_error(np.array([[1.0, 0.0, 0.0]]), np.array([0], np.int8), np.ones(1))
    0.0
    """
    errors = [
        curve(probabilities[:, c], label == c, weight, bins).error for c in range(len(OUTCOMES))
    ]
    return float(np.mean(errors))


def chance(
    probabilities: NDArray[np.float64],
    weight: NDArray[np.float64],
    episode: NDArray[np.int64],
    *,
    seed: int,
    draws: int = 200,
    level: float = 0.95,
    bins: int = BINS,
) -> float:
    """The calibration error that these probabilities stay under by chance if they are true.

    The error of few episodes is above zero even then. Each draw gives every episode an outcome by
    its *last* vector's probabilities (rows in order of time), for all its vectors at once: if the
    probabilities are true, the earlier ones are means of the later. A model is not shown to be
    miscalibrated while its error is below this. The quantile at `level` of `draws` draws.
    """
    codes, inverse = np.unique(episode, return_inverse=True)
    last = np.zeros(len(codes), np.int64)
    np.maximum.at(last, inverse, np.arange(len(inverse)))
    edges = probabilities[last].cumsum(axis=1)[:, :-1]
    random = np.random.default_rng(seed)
    errors = np.empty(draws)
    for i in range(draws):
        drawn = (random.random((len(codes), 1)) >= edges).sum(axis=1)
        errors[i] = calibration_error(probabilities, drawn[inverse].astype(np.int8), weight, bins)
    return float(np.quantile(errors, level))
