"""The scores of `arrays`, row by row in compiled loops: the same sums in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.compiled import compiled
from spymaster.ml.arrays import F8, OUTCOMES, Raw


def linear(a: Mapping[str, NDArray[Any]], x: F8) -> F8:
    """As `arrays.linear`, to the last bit."""
    out = np.empty((len(x), len(OUTCOMES)))
    names = ("centre", "inverse", "weight", "missing", "intercept")
    _linear(x, *(a[name] for name in names), float(a["clip"]), out)
    return out


def trees(a: Mapping[str, NDArray[Any]], x: F8) -> F8:
    """As `arrays.trees`, to the last bit."""
    out = np.empty((len(x), len(OUTCOMES)))
    names = ("base", "root", "column", "threshold", "child", "value")
    _trees(x, *(a[name] for name in names), out)
    return out


RAW: dict[str, Raw] = {"linear": linear, "trees": trees}


@compiled
def _linear(
    x: F8, centre: F8, inverse: F8, weight: F8, missing: F8, intercept: F8, clip: float, out: F8
) -> None:
    n, k = x.shape
    for i in range(n):
        for c in range(3):
            total = 0.0
            for j in range(k):
                if np.isfinite(x[i, j]):
                    z = min(max((x[i, j] - centre[j]) * inverse[j], -clip), clip)
                    part = z * weight[j, c]
                else:
                    part = missing[j, c]
                total = part if j == 0 else total + part
            out[i, c] = total + intercept[c]


@compiled
def _trees(
    x: F8,
    base: F8,
    root: NDArray[np.intp],
    column: NDArray[np.intp],
    threshold: F8,
    child: NDArray[np.intp],
    value: F8,
    out: F8,
) -> None:
    n, k = x.shape
    wide = np.empty(3 * k)
    for i in range(n):
        for j in range(k):
            known = np.isfinite(x[i, j])
            wide[j] = x[i, j] if known else -np.inf
            wide[k + j] = x[i, j] if known else np.inf
            wide[2 * k + j] = x[i, j] if known else 0.0
        for c in range(3):
            out[i, c] = base[c]
        for t in range(len(root)):
            node = root[t]
            while True:
                after = child[2 * node + (wide[column[node]] > threshold[node])]
                if after == node:
                    break
                node = after
            out[i, t % 3] += value[node]
