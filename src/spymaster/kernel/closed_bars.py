"""Closed bars: the room that the loop writes them into, and how they are handed on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import BOOK_LEVELS
from spymaster.kernel.layout import I64
from spymaster.kernel.level_book import MAX_WATCHED, V_SIZE

_LEAST, _MOST = 16, 32_768


class Bars(NamedTuple):
    """Closed bars: rows of silver.bar_5s, ten levels per side at each close, watched prices.

    Those of one call come contract by contract, in the order of their numbers.
    """

    rows: NDArray[Any]  # [n]
    prices: NDArray[np.float64]  # [n, side, level], NaN: none
    sizes: I64  # [n, side, (size, count), level]
    contract: I64  # [n], which of the books each bar is of
    levels: I64  # [n, MAX_WATCHED, V_SIZE], rows as level_book.py has them

    def first(self, k: int) -> Bars:
        """The first `k` of them."""
        return self._part(slice(0, k))

    def contracts(self) -> list[int]:
        """The contracts that bars are of, ascending."""
        return [int(c) for c in np.unique(self.contract)]

    def of(self, contract: int) -> Bars:
        """The bars of one contract."""
        first, end = np.searchsorted(self.contract, [contract, contract + 1])
        return self._part(slice(int(first), int(end)))

    def _part(self, part: slice) -> Bars:
        return Bars(
            self.rows[part],
            self.prices[part],
            self.sizes[part],
            self.contract[part],
            self.levels[part],
        )


def blank_bars(dtype: np.dtype[Any], n: int) -> Bars:
    """Room for `n` bars, not filled in."""
    return Bars(
        np.empty(n, dtype),
        np.empty((n, 2, BOOK_LEVELS)),
        np.empty((n, 2, 2, BOOK_LEVELS), np.int64),
        np.empty(n, np.int64),
        np.empty((n, MAX_WATCHED, V_SIZE), np.int64),
    )


class BarRoom:
    """Room for one call's bars: as much as the last call needed, and twice that when it is full."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._usual = _LEAST
        self._full: list[Bars] = []
        self.open = blank_bars(dtype, 0)

    def begin(self, expected: int = 0) -> None:
        """Room for a call's first bars; what is not written to costs next to nothing."""
        self._full = []
        self.open = blank_bars(self._dtype, max(self._usual, min(expected, _MOST)))

    def more(self) -> None:
        """The open room is full."""
        self._full.append(self.open)
        self.open = blank_bars(self._dtype, 2 * len(self.open.rows))

    def take(self, k: int) -> Bars:
        """All bars of the call: those in full rooms, and `k` in the open one."""
        parts = [*self._full, self.open.first(k)]
        self._full, self.open = [], blank_bars(self._dtype, 0)
        n = sum(len(part.rows) for part in parts)
        self._usual = n + n // 8 + _LEAST
        if len(parts) == 1:
            return parts[0]
        plain = np.dtype((np.void, self._dtype.itemsize))  # numpy copies records field by field
        rows = np.concatenate([part.rows.view(plain) for part in parts]).view(self._dtype)
        rest = zip(*(part[1:] for part in parts), strict=True)
        return Bars(rows, *(np.concatenate(columns) for columns in rest))
