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
    found = found.with_columns(pl.col(at) // step)
    means = found.group_by([*by, at], maintain_order=True).agg(pl.col(value).mean())
    keys = means.select(by).unique(maintain_order=True).with_row_index("series")
    if means.is_empty():
        return _frame(keys.drop("series"), at, value, np.empty(0, np.int64), np.empty((4, 0, 0)))
    if by:
        means = means.join(keys, on=list(by), nulls_equal=True)
    else:
        keys = pl.DataFrame({"series": [0]}, schema={"series": pl.UInt32})
        means = means.with_columns(series=pl.lit(0))
    times = means[at].to_numpy()
    grid = np.arange(times.min(), times.max() + 1)
    series = np.full((len(keys), len(grid)), np.nan)
    series[means["series"].to_numpy(), times - grid[0]] = means[value].to_numpy()
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
    return _frame(keys.drop("series"), at, value, grid * step, parts)


def _frame(
    keys: pl.DataFrame, at: str, value: str, times: np.ndarray, parts: np.ndarray
) -> pl.DataFrame:
    n = len(times)
    repeated = keys.select(pl.all().repeat_by(n).explode(empty_as_null=False)) if n else keys
    numbers = dict(zip((value, "flag", "score", "baseline"), parts.reshape(4, -1), strict=True))
    made = pl.DataFrame({at: np.tile(times, parts.shape[1]), **numbers})
    return repeated.hstack(made.with_columns(pl.col("flag").cast(pl.Int64)))
