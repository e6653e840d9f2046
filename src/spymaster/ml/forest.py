"""Boosted trees as one set of arrays, whoever grew them; what is missing goes where it went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: In which part of `arrays.spread` a split looks: missing goes left, right, or counts as 0.
LEFT, RIGHT, ZERO = 0, 1, 2
_LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True)
class Node:
    """A split (column, threshold, where missing goes, places of its children) or a leaf's value."""

    value: float
    column: int = -1
    threshold: float = 0.0
    missing: int = LEFT
    left: int = -1
    right: int = -1


def arrays(
    base: NDArray[np.float64], trees: Iterable[Sequence[Node]], k: int
) -> dict[str, NDArray[Any]]:
    """Lay trees (rounds of one per outcome, a tree's root first) into arrays; `k` columns."""
    root: list[int] = []
    column: list[int] = []
    threshold: list[float] = []
    child: list[int] = []
    value: list[float] = []
    deepest = 0
    for tree in trees:
        first = len(value)
        root.append(first)
        deepest = max(deepest, _depth(tree, 0))
        for place, node in enumerate(tree):
            leaf = node.column < 0
            here = first + place
            column.append(0 if leaf else node.column + k * node.missing)
            # Nothing that is known lies above the largest number; what is missing may.
            threshold.append(0.0 if leaf else min(node.threshold, _LARGEST))
            child += [here, here] if leaf else [first + node.left, first + node.right]
            value.append(node.value)
    return {
        "base": np.asarray(base, dtype=np.float64),
        "root": np.array(root, dtype=np.intp),
        "column": np.array(column, dtype=np.intp),
        "threshold": np.array(threshold, dtype=np.float64),
        "child": np.array(child, dtype=np.intp),
        "value": np.array(value, dtype=np.float64),
        "depth": np.array(deepest),
    }


def _depth(tree: Sequence[Node], place: int) -> int:
    node = tree[place]
    return 0 if node.column < 0 else 1 + max(_depth(tree, node.left), _depth(tree, node.right))
