"""What goes in: one series or many of the same length, as rows of float64; NaN is null."""

from __future__ import annotations

from typing import Any

import numpy as np

from spymaster.anomaly.compiled import F64
from spymaster.errors import ContractError


def rows(series: Any, function: str) -> F64:
    """A series [n], or m of them [m, n], as a new float64 [m, n]; raises ContractError."""
    try:
        x = np.array(series, np.float64, order="C")
    except (TypeError, ValueError):
        raise ContractError(
            f"{function}: the series is no array of numbers. Allowed: numbers, and NaN for null, "
            "as [n] or [m, n]."
        ) from None
    if x.ndim not in (1, 2):
        raise ContractError(
            f"{function}: the series has {x.ndim} dimensions. Allowed: [n], or [m, n] for m series."
        )
    return np.atleast_2d(x)


def finite_rows(series: Any, function: str) -> F64:
    """The same, where infinity has no meaning."""
    x = rows(series, function)
    bad = np.argwhere(np.isinf(x))
    if len(bad):
        row, at = bad[0]
        raise ContractError(
            f"{function}: series {row} is infinite at {at}. Allowed: finite numbers, and NaN for "
            "null. Put NaN in its place."
        )
    return x


def like(series: Any, made: Any) -> Any:
    """A result of [m, ...] in the shape that was asked with: [...] for one series."""
    return made[0] if np.ndim(series) == 1 else made
