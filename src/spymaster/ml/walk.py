"""The scores of `arrays`, row by row in compiled loops: the same sums in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.compiled import compiled
from spymaster.ml.arrays import F8, OUTCOMES, Raw

#: Rows walked side by side: one tree is read for all of them while it is at hand.
_SIDE = 32


def linear(a: Mapping[str, NDArray[Any]], x: F8) -> F8:
    """As `arrays.linear`, to the last bit."""
    out = np.empty((len(x), len(OUTCOMES)))
    clip = float(a["clip"])
    _linear(x, a["centre"], a["inverse"], a["weight"], a["missing"], a["intercept"], clip, out)
    return out


def trees(a: Mapping[str, NDArray[Any]], x: F8) -> F8:
    """As `arrays.trees`, to the last bit."""
    out = np.empty((len(x), len(OUTCOMES)))
    wide = np.empty((min(len(x), _SIDE), 3 * x.shape[1]))
    depth = int(a["depth"])
    _trees(
        x,
        a["base"],
        a["root"],
        a["column"],
        a["threshold"],
        a["child"],
        a["value"],
        depth,
        wide,
        out,
    )
    return out


RAW: dict[str, Raw] = {"linear": linear, "trees": trees}


@compiled
def _linear(
    x: F8, centre: F8, inverse: F8, weight: F8, missing: F8, intercept: F8, clip: float, out: F8
) -> None:
    n, k = x.shape
    for i in range(n):
        for c in range(3):
            out[i, c] = 0.0
        for j in range(k):
            known = np.isfinite(x[i, j])
            z = 0.0
            if known:
                z = min(max((x[i, j] - centre[j]) * inverse[j], -clip), clip)
            for c in range(3):
                out[i, c] += z * weight[j, c] if known else missing[j, c]
        for c in range(3):
            out[i, c] += intercept[c]


@compiled
def _trees(
    x: F8,
    base: F8,
    root: NDArray[np.intp],
    column: NDArray[np.intp],
    threshold: F8,
    child: NDArray[np.intp],
    value: F8,
    depth: int,
    wide: F8,
    out: F8,
) -> None:
    n, k = x.shape
    side = len(wide)
    for first in range(0, n, side):
        some = min(side, n - first)
        for i in range(some):
            for j in range(k):
                v = x[first + i, j]
                known = np.isfinite(v)
                wide[i, j] = v if known else -np.inf
                wide[i, k + j] = v if known else np.inf
                wide[i, 2 * k + j] = v if known else 0.0
            for c in range(3):
                out[first + i, c] = base[c]
        for t in range(len(root)):
            for i in range(some):
                node = root[t]
                for _ in range(depth):  # a leaf is its own child
                    node = child[2 * node + (wide[i, column[node]] > threshold[node])]
                out[first + i, t % 3] += value[node]
