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
def _follow(windows: I64, trigger_start: int, seen: I64, blocks: I64, trades: NDArray[Any]) -> None:
    for i in range(trades.shape[0]):
        t, price, c = trades[i].t, trades[i].price, trades[i].contract
        for w in range(2):
            if windows[w, 0] <= t < windows[w, 1]:
                row = seen[c, w]
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
            if block < blocks.shape[1]:
                if blocks[c, block, 0] == NONE or price > blocks[c, block, 0]:
                    blocks[c, block, 0] = price
                if blocks[c, block, 1] == NONE or price < blocks[c, block, 1]:
                    blocks[c, block, 1] = price


class Summaries:
    """The summaries of contracts of one session, from their trades alone.

    `hull` spans the configured windows, `regular` and `trigger` are windows; (start, end) ns UTC.
    """

    def __init__(
        self, hull: tuple[int, int], regular: tuple[int, int], trigger: tuple[int, int]
    ) -> None:
        self._windows = np.array([hull, regular], np.int64)
        self._trigger_start = trigger[0]
        blocks = max(0, trigger[1] - trigger[0]) // BLOCK_NS
        self._n = 0
        self._ticks = np.zeros(1, np.int64)  # steps per tick of each contract
        self._seen = np.zeros((1, 2, 6), np.int64)
        self._blocks = np.full((1, blocks, 2), NONE, np.int64)

    def add(self, tick_steps: int) -> int:
        """Take one more contract; returns its number, which its trades name as `contract`."""
        if self._n == len(self._ticks):
            self._ticks = np.concatenate([self._ticks, np.zeros_like(self._ticks)])
            self._seen = np.concatenate([self._seen, np.zeros_like(self._seen)])
            self._blocks = np.concatenate([self._blocks, np.full_like(self._blocks, NONE)])
        self._ticks[self._n] = tick_steps
        self._n += 1
        return self._n - 1

    def advance(self, trades: NDArray[Any]) -> None:
        """Take trades (`TRADE`)."""
        _follow(self._windows, self._trigger_start, self._seen, self._blocks, trades)

    def row(self, i: int) -> dict[str, Any]:
        """The summary so far; prices in steps, None where nothing traded, range12m in ticks."""
        whole, regular = self._seen[i, _HULL], self._seen[i, _REGULAR]

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
            "range12m": self._range12m(i),
        }

    def _range12m(self, i: int) -> float | None:
        traded = self._blocks[i][self._blocks[i, :, 0] != NONE]
        if not len(traded):
            return None
        return float(np.median(traded[:, 0] - traded[:, 1]) / self._ticks[i])

    def to_bytes(self, i: int) -> bytes:
        """A contract's whole state."""
        return pack("SUMMARY", 2, [self._seen[i], self._blocks[i]])

    def restore(self, i: int, data: bytes) -> None:
        """Let a contract go on where `to_bytes` left off. ValueError for another version."""
        self._seen[i], self._blocks[i] = unpack(data, "SUMMARY", 2)[1]
