"""Prices that traders watch: highs and lows of premarket, opening range, the day before.

A level is the highest or lowest *trade* of its window, and nobody knows it before the window ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.silver import LEVEL_TYPES
from spymaster.kernel.compiled import compiled, hot
from spymaster.kernel.layout import I64, NONE
from spymaster.kernel.state import pack, unpack

#: `type` indexes LEVEL_TYPES, `price` is in steps, `known_at` ns UTC.
LEVEL = np.dtype([("type", "<i8"), ("price", "<i8"), ("known_at", "<i8")])

# A window whose extremes become levels: a row of `windows`
W_START, W_END, W_HIGH, W_LOW, W_TRADES, W_TOLD = range(6)
_HIGH_TYPE = (LEVEL_TYPES.index("PM_HIGH"), LEVEL_TYPES.index("OR_HIGH"))
_LOW_TYPE = (LEVEL_TYPES.index("PM_LOW"), LEVEL_TYPES.index("OR_LOW"))


@hot
def extend(windows: I64, t: int, price: int) -> None:
    """A trade is part of every window it lies in."""
    for w in range(windows.shape[0]):
        if windows[w, W_START] <= t < windows[w, W_END]:
            if windows[w, W_TRADES] == 0 or price > windows[w, W_HIGH]:
                windows[w, W_HIGH] = price
            if windows[w, W_TRADES] == 0 or price < windows[w, W_LOW]:
                windows[w, W_LOW] = price
            windows[w, W_TRADES] += 1


@compiled
def _follow(windows: I64, trades: NDArray[Any]) -> None:
    for i in range(trades.shape[0]):
        extend(windows, trades[i].t, trades[i].price)


class SessionLevels:
    """The levels of one contract and session, each told once, when it is known.

    `premarket` and `opening_range` are (start, end) in ns UTC; `previous` maps PD_HIGH, PD_LOW,
    PD_CLOSE to prices in steps and may lack any; they are known at `session_start`.
    """

    def __init__(
        self,
        premarket: tuple[int, int],
        opening_range: tuple[int, int],
        previous: Mapping[str, int],
        session_start: int,
    ) -> None:
        self._windows = np.zeros((2, 6), np.int64)
        self._windows[:, :2] = premarket, opening_range
        self._previous = np.array(
            [(LEVEL_TYPES.index(k), v, session_start) for k, v in sorted(previous.items())],
            np.int64,
        ).reshape(-1, 3)

    def advance(self, trades: NDArray[Any]) -> None:
        """Take trades (`TRADE`)."""
        _follow(self._windows, trades)

    def close(self, watermark: int) -> NDArray[Any]:
        """No later trade has a t below `watermark`: the levels (`LEVEL`) that became known."""
        told: list[tuple[int, int, int]] = [(a, b, c) for a, b, c in self._previous.tolist()]
        self._previous = self._previous[:0]
        for w, row in enumerate(self._windows):
            if row[W_TOLD] == 0 and watermark != NONE and watermark >= row[W_END]:
                row[W_TOLD] = 1
                if row[W_TRADES]:
                    told.append((_HIGH_TYPE[w], int(row[W_HIGH]), int(row[W_END])))
                    told.append((_LOW_TYPE[w], int(row[W_LOW]), int(row[W_END])))
        return np.array(sorted(told, key=lambda level: (level[2], level[0])), LEVEL)

    def to_bytes(self) -> bytes:
        """The whole state."""
        return pack("LEVELS", 1, [self._windows, self._previous])

    @classmethod
    def from_bytes(cls, data: bytes) -> SessionLevels:
        """Levels that go on where `to_bytes` left off. ValueError for another version."""
        levels = cls.__new__(cls)
        levels._windows, levels._previous = unpack(data, "LEVELS", 1)[1]
        return levels
