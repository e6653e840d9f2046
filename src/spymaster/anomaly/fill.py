"""Missing values of a series, put on the line between their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.anomaly.compiled import F64, compiled
from spymaster.anomaly.series import like, rows


@compiled
def _fill(x: F64, missing: NDArray[np.bool_], edges: bool, constant: float) -> None:
    n = len(x)
    before = -1
    for i in range(n):
        if missing[i]:
            continue
        if before >= 0:
            for k in range(before + 1, i):
                x[k] = x[before] + (x[i] - x[before]) * (k - before) / (i - before)
        elif edges:
            x[:i] = x[i]
        before = i
    if before < 0:
        x[:] = constant
    elif edges:
        x[before + 1 :] = x[before]


def series_fill_linear(
    series: Any,
    missing_value_placeholder: float | None = None,
    fill_edges: bool = True,
    constant_value: float | None = 0,
) -> NDArray[Any]:
    """A series [n], or m of them [m, n], with missing values on the line between their neighbours.

    Missing is NaN, or the placeholder if one is given; at the edges the nearest value is taken,
    unless `fill_edges` is false. Where all are missing: `constant_value` (None: null, of floats).
    Integers stay integers, cut off as the service does.

    >>> series_fill_linear([None, 111.0, None, 36.0, None]).tolist()
    [111.0, 111.0, 73.5, 36.0, 36.0]
    """
    given = np.asarray(series)
    x = rows(series, "series_fill_linear")
    nothing = (
        missing_value_placeholder is None or missing_value_placeholder != missing_value_placeholder
    )
    missing = np.isnan(x) if nothing else x == missing_value_placeholder
    constant = np.nan if constant_value is None else float(constant_value)
    whole = np.issubdtype(given.dtype, np.integer)
    for row, gaps in zip(x, missing, strict=True):
        if whole and constant != constant and gaps.all():
            continue
        _fill(row, gaps, fill_edges, constant)
    made: NDArray[Any] = like(series, np.trunc(x).astype(given.dtype) if whole else x)
    return made
