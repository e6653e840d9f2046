"""What a session was, for the sessions after it: prices, volume, its range in 12 minutes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.compiled import compiled
from spymaster.kernel.layout import I64, NONE
from spymaster.kernel.state import pack, unpack

BLOCK_NS = 12 * 60 * 1_000_000_000
_FIRST, _HIGH, _LOW, _LAST, _VOLUME, _TRADES = range(6)
_HULL, _REGULAR = range(2)


@compiled
def _follow(windows: I64, seen: I64, trigger_start: int, blocks: I64, trades: NDArray[Any]) -> None:
    for i in range(trades.shape[0]):
        t, price = trades[i].t, trades[i].price
        for w in range(2):
            if windows[w, 0] <= t < windows[w, 1]:
                row = seen[w]
                if row[_TRADES] == 0:
                    row[_FIRST] = price
                    row[_HIGH] = price
                    row[_LOW] = price
                row[_HIGH] = max(row[_HIGH], price)
                row[_LOW] = min(row[_LOW], price)
                row[_LAST] = price
                row[_VOLUME] += trades[i].size
                row[_TRADES] += 1
        if t >= trigger_start:
            block = (t - trigger_start) // BLOCK_NS
            if block < blocks.shape[0]:
                if blocks[block, 0] == NONE or price > blocks[block, 0]:
                    blocks[block, 0] = price
                if blocks[block, 1] == NONE or price < blocks[block, 1]:
                    blocks[block, 1] = price


class SessionSummary:
    """The summary of one contract and session, from its trades alone.

    `hull` spans the configured windows, `regular` and `trigger` are windows; (start, end) ns UTC.
    """

    def __init__(
        self,
        hull: tuple[int, int],
        regular: tuple[int, int],
        trigger: tuple[int, int],
        tick_steps: int,
    ) -> None:
        self._windows = np.array([hull, regular], np.int64)
        self._seen = np.zeros((2, 6), np.int64)
        self._fixed = np.array([trigger[0], tick_steps], np.int64)
        blocks = max(0, trigger[1] - trigger[0]) // BLOCK_NS
        self._blocks = np.full((blocks, 2), NONE, np.int64)

    def advance(self, trades: NDArray[Any]) -> None:
        """Take trades (`TRADE`)."""
        _follow(self._windows, self._seen, int(self._fixed[0]), self._blocks, trades)

    def row(self) -> dict[str, Any]:
        """The summary so far; prices in steps, None where nothing traded, range12m in ticks."""
        whole, regular = self._seen[_HULL], self._seen[_REGULAR]

        def price(row: I64, what: int) -> int | None:
            return int(row[what]) if row[_TRADES] else None

        return {
            "first_px": price(whole, _FIRST),
            "high_px": price(whole, _HIGH),
            "low_px": price(whole, _LOW),
            "last_px": price(whole, _LAST),
            "regular_first_px": price(regular, _FIRST),
            "regular_high_px": price(regular, _HIGH),
            "regular_low_px": price(regular, _LOW),
            "regular_last_px": price(regular, _LAST),
            "volume": int(whole[_VOLUME]),
            "n_trades": int(whole[_TRADES]),
            "range12m": self._range12m(),
        }

    def _range12m(self) -> float | None:
        traded = self._blocks[self._blocks[:, 0] != NONE]
        if not len(traded):
            return None
        return float(np.median(traded[:, 0] - traded[:, 1]) / self._fixed[1])

    def to_bytes(self) -> bytes:
        """The whole state."""
        return pack("SUMMARY", 1, [self._windows, self._seen, self._fixed, self._blocks])

    @classmethod
    def from_bytes(cls, data: bytes) -> SessionSummary:
        """A summary that goes on where `to_bytes` left off. ValueError for another version."""
        s = cls.__new__(cls)
        s._windows, s._seen, s._fixed, s._blocks = unpack(data, "SUMMARY", 1)[1]
        return s
