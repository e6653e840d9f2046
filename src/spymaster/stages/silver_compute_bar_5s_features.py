"""SilverComputeBar5sFeatures: the order book, and a bar of features every 5 seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.event import BOOK_LEVELS
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel.contract_book import Bars, ContractBook, Notes
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Rows

BAR_5S = numpy_dtype(TABLES["silver.bar_5s"])
_STATE = numpy_dtype(TABLES["silver.orderbook_state"])
_SERIES = numpy_dtype(TABLES["gold.feature_series"])


class SilverComputeBar5sFeatures:
    """A contract's book on the project's clock: bars, ten levels at each close, a series."""

    reads: tuple[str, ...] = ("bronze.mbo",)
    writes = ("silver.bar_5s", "silver.orderbook_state", "gold.feature_series")

    def __init__(self, day: ContractDay) -> None:
        self._id = {"contract_id": day.contract_id}
        self.book = ContractBook(day.book_params(), BAR_5S)

    def advance(self, events: NDArray[Any]) -> tuple[Notes, NDArray[Any], list[Rows]]:
        """Take events (`EVENT`): a note for each, the bars that closed, and their rows."""
        notes, bars = self.book.advance(events)
        return notes, bars.rows, self._rows(bars)

    def close(self, mark: int) -> tuple[NDArray[Any], list[Rows]]:
        """Take a clock mark, ns UTC: the bars that closed, and their rows."""
        bars = self.book.close(mark)
        return bars.rows, self._rows(bars)

    def _rows(self, bars: Bars) -> list[Rows]:
        if not len(bars.rows):
            return []
        series = np.zeros(len(bars.rows), _SERIES)
        for name in _SERIES.names or ():
            series[name] = bars.rows[name]
        return [
            Rows("silver.bar_5s", bars.rows, self._id),
            Rows("silver.orderbook_state", _states(bars), self._id),
            Rows("gold.feature_series", series, self._id),
        ]

    def to_bytes(self) -> bytes:
        """The whole state."""
        return self.book.to_bytes()

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off."""
        self.book = ContractBook.from_bytes(data, BAR_5S)


def _states(bars: Bars) -> NDArray[Any]:
    out = np.zeros(len(bars.rows), _STATE)
    out["bar_start"], out["bar_end"] = bars.rows["bar_start"], bars.rows["bar_end"]
    for side, word in enumerate(("bid", "ask")):
        for m in range(BOOK_LEVELS):
            out[f"{word}_px_{m:02d}"] = bars.prices[:, side, m]
            out[f"{word}_sz_{m:02d}"] = bars.sizes[:, side, 0, m]
            out[f"{word}_ct_{m:02d}"] = bars.sizes[:, side, 1, m]
    return out
