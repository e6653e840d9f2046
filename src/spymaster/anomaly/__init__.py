"""Anomalies of time series by the rules of KQL's functions, of one series or many, at once or live.

What is exact and what is an approximation: docs/anomalies.md.
"""

from __future__ import annotations

from spymaster.anomaly.decompose import (
    Anomalies,
    Decomposition,
    series_decompose,
    series_decompose_anomalies,
)
from spymaster.anomaly.fill import series_fill_linear
from spymaster.anomaly.fit_line import LineFit, series_fit_line
from spymaster.anomaly.outliers import N, series_outliers
from spymaster.anomaly.periods import Periods, series_periods_detect
from spymaster.anomaly.seasonal import series_seasonal
from spymaster.anomaly.stats import Stats, series_stats
from spymaster.anomaly.streaming import Newest, StreamingAnomalies

__all__ = [
    "Anomalies",
    "Decomposition",
    "LineFit",
    "N",
    "Newest",
    "Periods",
    "Stats",
    "StreamingAnomalies",
    "series_decompose",
    "series_decompose_anomalies",
    "series_fill_linear",
    "series_fit_line",
    "series_outliers",
    "series_periods_detect",
    "series_seasonal",
    "series_stats",
]
