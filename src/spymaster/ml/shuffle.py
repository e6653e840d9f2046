"""Outcomes dealt anew between episodes: what is left to learn is nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shuffle_outcomes(
    label: NDArray[np.int8],
    episode: NDArray[np.int64],
    seed: int,
    within: NDArray[np.int64] | None = None,
) -> NDArray[np.int8]:
    """Labels with the episodes' outcomes dealt anew among them; an episode's vectors stay together.

    As many episodes have each outcome as before. `within` (a code per row, the same for all rows of
    an episode, such as its part of the split) deals inside each of its values only. Same seed and
    rows, same labels. A model fitted on them can know no more than the prior.

    >>> shuffle_outcomes(np.array([0, 0, 1, 2], np.int8), np.array([5, 5, 6, 7]), 5).tolist()
    [1, 1, 2, 0]
    """
    codes, first, at = np.unique(episode, return_index=True, return_inverse=True)
    dealt = label[first].copy()
    random = np.random.default_rng(seed)
    part = np.zeros(len(codes), np.int64) if within is None else within[first]
    for value in np.unique(part):
        mine = np.flatnonzero(part == value)
        dealt[mine] = dealt[random.permutation(mine)]
    return np.asarray(dealt[at])
