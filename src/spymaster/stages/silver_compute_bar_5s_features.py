"""SilverComputeBar5sFeatures: order books, and a bar of features every 5 seconds of each.

Of the selected contract also what the book saw at each known level in that bar.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.event import BOOK_LEVELS
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel.books import Books
from spymaster.kernel.closed_bars import Bars
from spymaster.kernel.layout import NONE
from spymaster.kernel.level_book import V_FLOW, V_PRICE, V_RESTING_CT, V_RESTING_SZ, V_TRADED
from spymaster.kernel.notes import Notes
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Coded, Rows

BAR_5S = numpy_dtype(TABLES["silver.bar_5s"])
_STATE = numpy_dtype(TABLES["silver.orderbook_state"])
_LEVEL_BOOK = numpy_dtype(TABLES["silver.level_book"])


class SilverComputeBar5sFeatures:
    """Books on the project's clock: bars, ten levels at each close, levels watched."""

    reads: tuple[str, ...] = ("bronze.mbo",)
    writes = ("silver.bar_5s", "silver.orderbook_state", "silver.level_book")

    def __init__(self, names: list[str]) -> None:
        self.books = Books(BAR_5S)
        self._names = names
        self._steps: list[int] = []

    def add(self, day: ContractDay, state: bytes | None = None, *, light: bool = False) -> None:
        """Take one more contract, which goes on from a `state` (`to_bytes`) if there is one."""
        if state is None:
            self.books.add(day.book_params(light=light))
        else:
            self.books.from_bytes(state)
        self._steps.append(day.price_step)

    def advance(
        self, events: NDArray[Any], numbers: NDArray[np.int64]
    ) -> tuple[Notes, Bars, list[Rows]]:
        """Take events (`EVENT`) and whose they are: a note for each, closed bars, their rows."""
        notes, bars = self.books.advance(events, numbers)
        return notes, bars, self._rows(bars)

    def close(self, mark: int) -> tuple[Bars, list[Rows]]:
        """Take a clock mark, ns UTC: the bars that closed, and their rows."""
        bars = self.books.close(mark)
        return bars, self._rows(bars)

    def _rows(self, bars: Bars) -> list[Rows]:
        if not len(bars.rows):
            return []
        whose = {"contract_id": Coded(bars.contract.astype(np.int32), self._names)}
        rows = [
            Rows("silver.bar_5s", bars.rows, whose),
            Rows("silver.orderbook_state", _states(bars), whose),
        ]
        bar, slot = np.nonzero(bars.levels[:, :, V_PRICE] != NONE)
        if len(bar):
            step = np.array(self._steps)[bars.contract[bar]]
            whose = {"contract_id": Coded(bars.contract[bar].astype(np.int32), self._names)}
            rows.append(Rows("silver.level_book", _level_book(bars, bar, slot, step), whose))
        return rows

    def to_bytes(self, number: int) -> bytes:
        """A contract's whole state."""
        return self.books.to_bytes(number)


def _level_book(
    bars: Bars, bar: NDArray[np.intp], slot: NDArray[np.intp], step: NDArray[np.int64]
) -> NDArray[Any]:
    """A row per bar and level, levels in the order in which they became known."""
    seen = bars.levels[bar, slot]
    out = np.zeros(len(bar), _LEVEL_BOOK)
    for name in ("bar_start", "bar_end"):
        out[name] = bars.rows[name][bar]
    out["level_price"] = seen[:, V_PRICE] * step
    for side, word in enumerate(("bid", "ask")):
        out[f"{word}_resting_sz"] = seen[:, V_RESTING_SZ + side]
        out[f"{word}_resting_ct"] = seen[:, V_RESTING_CT + side]
        for kind, effect in enumerate(("added", "cancelled", "executed", "refilled")):
            out[f"{word}_{effect}_sz"] = seen[:, V_FLOW + 2 * kind + side]
        out[f"{word}_refill_share"] = _share(out[f"{word}_refilled_sz"], out[f"{word}_executed_sz"])
    out["traded_sz"] = seen[:, V_TRADED]
    return out


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = np.full(len(part), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _states(bars: Bars) -> NDArray[Any]:
    out = np.zeros(len(bars.rows), _STATE)
    out["bar_start"], out["bar_end"] = bars.rows["bar_start"], bars.rows["bar_end"]
    for side, word in enumerate(("bid", "ask")):
        for m in range(BOOK_LEVELS):
            out[f"{word}_px_{m:02d}"] = bars.prices[:, side, m]
            out[f"{word}_sz_{m:02d}"] = bars.sizes[:, side, 0, m]
            out[f"{word}_ct_{m:02d}"] = bars.sizes[:, side, 1, m]
    return out
