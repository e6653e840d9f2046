"""SilverFilterFirst4Hours: only the focus window goes on to episodes and vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.stages.contract import ContractDay


class SilverFilterFirst4Hours:
    """Cuts trades and bars at the end of focus: an hour of context, three of trading by default.

    What comes before focus stays: an approach may begin there, and a window look back to it.
    """

    reads = ("silver.mbo_normalized", "silver.bar_5s", "silver.level_book")
    writes: tuple[str, ...] = ()

    def __init__(self, day: ContractDay) -> None:
        self._focus = day.session.focus

    def advance(
        self, trades: NDArray[Any], bars: NDArray[Any], watched: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """The trades (`TRADE`), bars, and what these saw at the levels, up to the end of focus."""
        kept = bars["bar_end"] <= self._focus.end
        return trades[trades["t"] < self._focus.end], bars[kept], watched[kept]
