"""How much each vector weighs in training: an episode counts once, and so does a moment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def training_weights(
    episodes: NDArray[np.int64], vector_times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """1 / (vectors of the episode x episodes of the contract active at that bar), per vector.

    `episodes` numbers each vector's episode; both of one contract, one entry per vector. An
    active episode has exactly one vector per bar. Domain, section 6; uniqueness weights after
    Lopez de Prado (2018).

    >>> training_weights(np.array([0, 0, 1]), np.array([5, 10, 10])).tolist()
    [0.5, 0.25, 0.5]
    """
    _, episode, per_episode = np.unique(episodes, return_inverse=True, return_counts=True)
    _, bar, per_bar = np.unique(vector_times, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (per_episode[episode] * per_bar[bar]), np.float64)
