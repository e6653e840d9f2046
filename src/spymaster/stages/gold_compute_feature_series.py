"""GoldComputeFeatureSeries: per bar, the few numbers of it that people watch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel.closed_bars import Bars
from spymaster.stages.rows import Coded, Rows
from spymaster.stages.silver_compute_bar_5s_features import BAR_5S

_SERIES = numpy_dtype(TABLES["gold.feature_series"])
_OF_BAR = tuple(name for name in _SERIES.names or () if name in (BAR_5S.names or ()))
_OF_PRIMITIVES = tuple(name for name in _SERIES.names or () if name not in _OF_BAR)


class GoldComputeFeatureSeries:
    """A row per bar of any contract; what only primitives have is missing for options."""

    reads = ("silver.bar_5s", "silver.feature_primitives")
    writes = ("gold.feature_series",)

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def advance(self, bars: Bars, primitives: Mapping[int, NDArray[Any]]) -> list[Rows]:
        """Take closed bars, and the primitives of those contracts that have them, by number."""
        if not len(bars.rows):
            return []
        series = np.empty(len(bars.rows), _SERIES)
        for name in _OF_BAR:
            series[name] = bars.rows[name]
        for name in _OF_PRIMITIVES:
            series[name] = np.nan
        for number, made in primitives.items():
            first, end = np.searchsorted(bars.contract, [number, number + 1])
            for name in _OF_PRIMITIVES:
                series[name][first:end] = made[name]
        whose = Coded(bars.contract.astype(np.int32), self._names)
        return [Rows("gold.feature_series", series, {"contract_id": whose})]
