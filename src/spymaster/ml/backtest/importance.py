"""Which features a model leans on: shuffle some between episodes, and see what it costs.

Permutation importance (Breiman 2001), by blocks of the vector spec and by series of the lookback.
An episode gets the block of another one whole: its vector at a share of its own length takes the
values that the other had at that share. So what is shuffled still is one episode's story, only of
the wrong one. What other features say too costs little: importance of correlated blocks is shared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.features import STATISTICS
from spymaster.ml.dataset import Dataset
from spymaster.ml.metrics import episode_losses

I64 = NDArray[np.int64]
_LOOKBACK = re.compile(rf"(.+)_(?:{'|'.join(STATISTICS)})_\d+")


class Asked(Protocol):
    """A model's fast path: `spymaster.ml.model.Scorer`."""

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Importance:
    """What shuffling some columns costs, in nats per episode; `deviation`: between shuffles."""

    name: str
    columns: int
    cost: float
    deviation: float


def series_of(names: Sequence[str], blocks: Sequence[str]) -> dict[str, list[int]]:
    """The columns of each series of the lookback.

    >>> series_of(["ofi", "ofi_mean_3", "ofi_slope_12"], ["now", "lookback", "lookback"])
    {'ofi': [1, 2]}
    """
    found: dict[str, list[int]] = {}
    for i, (name, block) in enumerate(zip(names, blocks, strict=True)):
        if block == "lookback" and (m := _LOOKBACK.fullmatch(name)):
            found.setdefault(m[1], []).append(i)
    return found


def blocks_of(blocks: Sequence[str]) -> dict[str, list[int]]:
    """The columns of each block.

    >>> blocks_of(["now", "now", "context"])
    {'now': [0, 1], 'context': [2]}
    """
    found: dict[str, list[int]] = {}
    for i, block in enumerate(blocks):
        found.setdefault(block, []).append(i)
    return found


def importance(
    scorer: Asked, data: Dataset, groups: Mapping[str, list[int]], *, shuffles: int, seed: int
) -> list[Importance]:
    """The cost of shuffling each group of columns, greatest first; the same for the same seed."""
    whole = _loss(scorer, data, data.features)
    made = []
    for g, (name, columns) in enumerate(groups.items()):
        costs = []
        for i in range(shuffles):
            x = data.features.copy()
            other = elsewhere(data.episode, np.random.default_rng([seed, g, i]))
            x[:, columns] = data.features[other][:, columns]
            costs.append(_loss(scorer, data, x) - whole)
        made.append(Importance(name, len(columns), float(np.mean(costs)), float(np.std(costs))))
    return sorted(made, key=lambda m: (-m.cost, m.name))


def elsewhere(episode: I64, random: np.random.Generator) -> I64:
    """For each row (in order of time) one of another episode, at the same share of its length.

    >>> elsewhere(np.array([7, 7, 7, 7, 8, 8]), np.random.default_rng(1)).tolist()
    [4, 4, 5, 5, 0, 2]
    """
    codes, at, length = np.unique(episode, return_inverse=True, return_counts=True)
    rows = np.argsort(at, kind="stable")
    first = np.concatenate([[0], np.cumsum(length)[:-1]])
    rank = np.empty(len(episode), np.int64)
    rank[rows] = np.arange(len(episode)) - first[at[rows]]
    # A cycle through all episodes in random order: none stays with its own.
    order = random.permutation(len(codes))
    gets = np.empty(len(codes), np.int64)
    gets[order] = np.roll(order, 1)
    other = gets[at]
    return np.asarray(rows[first[other] + rank * length[other] // length[at]])


def _loss(scorer: Asked, data: Dataset, features: NDArray[np.float64]) -> float:
    p = scorer.probabilities(features)
    return float(episode_losses(p, data.label, data.weight, data.episode)[1].mean())
