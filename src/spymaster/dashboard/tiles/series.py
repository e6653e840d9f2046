"""Anomalies of series on a regular grid, as `make-series` and `series_decompose_anomalies` say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from spymaster.anomaly import series_decompose_anomalies, series_fill_linear
from spymaster.dashboard.tiles.query import Anomaly


def decomposed(rows: pl.DataFrame, anomaly: Anomaly, at: str, by: Sequence[str]) -> pl.DataFrame:
    """One row per step and series, from the first value of any series to the last of any.

    A step's value is the mean of its rows; absent steps are filled linearly, at the ends with
    the nearest value.
    """
    value, step = anomaly.column, anomaly.step_s * 10**9
    found = rows.select(*by, at, pl.col(value).cast(pl.Float64)).filter(pl.col(value).is_not_null())
    keys = found.select(by).unique(maintain_order=True)
    if found.is_empty():
        return _frame(keys, at, value, np.empty(0, np.int64), np.empty((4, 0, 0)))
    which = np.zeros(len(found), np.int64)
    if by:
        places = keys.with_row_index("series")
        which = found.join(places, on=list(by), nulls_equal=True, maintain_order="left")[
            "series"
        ].to_numpy()
    else:
        keys = pl.DataFrame({"": [None]})
    times = found[at].to_numpy() // step
    grid = np.arange(times.min(), times.max() + 1)
    place, size = which * len(grid) + times - grid[0], len(keys) * len(grid)
    rows_of = np.bincount(place, minlength=size)
    sums = np.bincount(place, found[value].to_numpy(), size)
    with np.errstate(invalid="ignore"):
        series = (sums / rows_of).reshape(len(keys), len(grid))
    filled = series_fill_linear(series)
    threshold = anomaly.threshold
    assert isinstance(threshold, float), "a viewer's choice is resolved before"
    result = series_decompose_anomalies(
        filled,
        threshold,
        anomaly.seasonality,
        anomaly.trend,
        anomaly.test_points,
        anomaly.method,
    )
    parts = np.stack([filled, result.ad_flag, result.ad_score, result.baseline])
    return _frame(keys.select(by), at, value, grid * step, parts)


def _frame(
    keys: pl.DataFrame, at: str, value: str, times: np.ndarray, parts: np.ndarray
) -> pl.DataFrame:
    repeated = keys[np.repeat(np.arange(parts.shape[1]), len(times))] if keys.width else keys
    numbers = dict(zip((value, "flag", "score", "baseline"), parts.reshape(4, -1), strict=True))
    made = pl.DataFrame({at: np.tile(times, parts.shape[1]), **numbers})
    return repeated.hstack(made.with_columns(pl.col("flag").cast(pl.Int64)))
