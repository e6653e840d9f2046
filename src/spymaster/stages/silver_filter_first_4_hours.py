"""SilverFilterFirst4Hours: only the focus window goes on to episodes and vectors."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from spymaster.stages.contract import ContractDay


class SilverFilterFirst4Hours:
    """Cuts trades and bars at the end of focus: an hour of context, three of trading by default.

    What comes before focus stays: an approach may begin there, and a window look back to it.
    """

    reads = ("silver.mbo_normalized", "silver.bar_5s")
    writes: tuple[str, ...] = ()

    def __init__(self, day: ContractDay) -> None:
        self._focus = day.session.focus

    def advance(
        self, trades: NDArray[Any], bars: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The trades (`TRADE`) and bars up to the end of focus."""
        return trades[trades["t"] < self._focus.end], bars[bars["bar_end"] <= self._focus.end]
