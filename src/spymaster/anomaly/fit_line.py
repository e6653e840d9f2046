"""The line that fits a series best, and how well."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spymaster.anomaly.compiled import F64, compiled
from spymaster.anomaly.series import finite_rows, like
from spymaster.anomaly.trend import line, mean


class LineFit(NamedTuple):
    """In KQL's order; variances with n - 1; `interception` where x is 0, the first point's is 1."""

    rsquare: Any
    slope: Any
    variance: Any
    rvariance: Any
    interception: Any
    line_fit: F64


@compiled
def _fit(x: F64, told: F64, fit: F64) -> None:
    scratch = np.empty(x.shape[1])
    for row in range(len(x)):
        y = x[row]
        n = len(y)
        height, slope, at = line(y, n)
        count = 0
        for i in range(n):
            fit[row, i] = height + slope * (i - at)
            if y[i] == y[i]:
                count += 1
        for i in range(n):
            scratch[i] = (y[i] - height) * (y[i] - height)
        whole = mean(scratch, n) * count
        for i in range(n):
            scratch[i] = (y[i] - fit[row, i]) * (y[i] - fit[row, i])
        rest = mean(scratch, n) * count
        told[0, row] = 1.0 - rest / whole if whole > 0 else np.nan
        told[1, row] = slope
        told[2, row] = whole / (count - 1) if count > 1 else np.nan
        told[3, row] = rest / (count - 1) if count > 1 else np.nan
        told[4, row] = height - slope * (at + 1)


def series_fit_line(series: Any) -> LineFit:
    """The line of least squares through a series [n], or through each of m [m, n].

    Nulls are left out of the fit and have a place on the line. `rsquare` is null where the series
    does not vary, variances where there is one value. Raises ContractError for infinite numbers.

    >>> series_fit_line([1.0, 3.0, 5.0]).interception
    -1.0
    """
    x = finite_rows(series, "series_fit_line")
    told, fit = np.empty((5, len(x))), np.empty_like(x)
    _fit(x, told, fit)
    one = np.ndim(series) == 1
    r2, slope, variance, rest, at_0 = (float(v[0]) if one else v for v in told)
    return LineFit(r2, slope, variance, rest, at_0, like(series, fit))
