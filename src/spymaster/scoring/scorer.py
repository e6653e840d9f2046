"""What the service needs of a model, and how what it says is checked."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.silver import OUTCOMES
from spymaster.errors import ScoringError


class Scorer(Protocol):
    """A model's fast path. `probabilities` is called from several threads."""

    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def feature_contract(self) -> str: ...
    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]: ...


def scores(scorer: Scorer, features: NDArray[np.float64], who: str) -> NDArray[np.float64]:
    """Probabilities [n, 3] of vectors [n, k], NaN where a value is missing; finite, or no answer.

    Raises ScoringError when the model, called `who`, answers with anything else.
    """
    found = np.asarray(scorer.probabilities(features), dtype=np.float64)
    wanted = (len(features), len(OUTCOMES))
    if found.shape != wanted:
        raise ScoringError(
            f"{who}: answered with shape {found.shape}, not {wanted}. Register a model whose "
            "answer is a row of p_break, p_reject, p_chop for each vector."
        )
    if not np.isfinite(found).all():
        raise ScoringError(
            f"{who}: answered with {int((~np.isfinite(found)).any(axis=1).sum())} rows that are "
            "not finite. Register a model that imputes what is missing."
        )
    return found
