"""From probabilities to trades: who calls BREAK goes along, who calls REJECT goes against.

Decisions are taken in the order of time, each with what is known then. An episode is traded once,
by its first vector with a probability at or above its threshold while the contract is flat: no
position, no order on its way. CHOP is never traded. Of vectors of one moment the surer is first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.engines.quotes import I64
from spymaster.ml.backtest.market import Market
from spymaster.ml.dataset import Dataset

F8 = NDArray[np.float64]
CALLS = ("BREAK", "REJECT")
NEVER = float("inf")


class Rule(NamedTuple):
    """The least probabilities to trade at; NEVER: this call is not traded."""

    p_break: float
    p_reject: float

    def told(self) -> dict[str, float | None]:
        """As JSON: null is never."""
        return {name: None if value == NEVER else value for name, value in self._asdict().items()}


@dataclass(frozen=True)
class Trades:
    """Trades in the order in which they were decided; `row` and `call` index vectors and CALLS."""

    row: I64
    call: I64
    unfilled: int  #: orders that found no two-sided quote before they were called back
    blocked: int  #: episodes whose every call came while the contract was not flat

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def joined(cls, parts: list[Trades]) -> Trades:
        """Trades of several parts, in their order."""
        return cls(
            np.concatenate([np.zeros(0, np.int64), *(p.row for p in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(p.call for p in parts)]),
            sum(p.unfilled for p in parts),
            sum(p.blocked for p in parts),
        )


class Desk:
    """Trades a dataset's vectors on its market, by any rule. n rows, two calls each."""

    def __init__(self, data: Dataset, probabilities: F8, market: Market) -> None:
        self.data, self.market = data, market
        self.p = probabilities[:, : len(CALLS)]
        self.side = np.stack([data.direction, -data.direction], axis=1).astype(np.int64)
        buys = self.side > 0
        entry, out = market.entry, market.exit
        self.entry_px = np.where(buys, entry.ask[:, None], entry.bid[:, None])
        self.exit_px = np.where(buys, out.bid[:, None], out.ask[:, None])
        filled = entry.found & out.found & (entry.ts < market.exit_ordered)
        self.filled: NDArray[np.bool_] = np.asarray(filled)
        moved = np.where(self.filled.reshape(-1, 1), self.exit_px - self.entry_px, 0)
        tick = np.maximum(market.tick, 1)[:, None]
        self.gross: F8 = self.side * moved / tick
        self.net: F8 = self.gross - 2 * market.cost[:, None]
        self._busy = np.where(self.filled, out.ts, market.exit_ordered)
        surer = self.p.max(axis=1)
        _, self._contract = np.unique(data.contract_id, return_inverse=True)
        self._order = np.lexsort((data.episode, -surer, data.vector_time))

    def trade(self, rule: Rule, only: NDArray[np.bool_] | None = None) -> Trades:
        """What the rule trades, on rows `only` if given (whole sessions)."""
        called: NDArray[np.bool_] = np.asarray(self.p >= np.array(rule))
        wanted: NDArray[np.bool_] = np.asarray(called.any(axis=1))
        if only is not None:
            wanted &= only
        rows = self._order[wanted[self._order]]
        # Both called: the more probable, then BREAK.
        sure = np.where(called[rows], self.p[rows], -1.0)
        calls = np.where(sure[:, 1] > sure[:, 0], 1, 0)
        taken, unfilled = self._sequence(rows)
        traded = set(self.data.episode[rows[taken]].tolist())
        blocked = set(self.data.episode[rows].tolist()) - traded
        good = taken[self.filled[rows[taken]]]
        return Trades(rows[good], calls[good], unfilled, len(blocked))

    def _sequence(self, rows: I64) -> tuple[I64, int]:
        """The places in `rows` of those that send an order, and how many found no quote."""
        done: set[int] = set()
        free: dict[int, int] = {}
        taken = []
        unfilled = 0
        columns = (self._contract, self.data.episode, self.data.vector_time, self._busy)
        each = zip(*(column[rows].tolist() for column in columns), strict=True)
        filled = self.filled[rows].tolist()
        for i, (contract, episode, now, busy) in enumerate(each):
            if episode in done or now < free.get(contract, now):
                continue
            done.add(episode)
            free[contract] = busy
            taken.append(i)
            unfilled += not filled[i]
        return np.array(taken, np.int64), unfilled

    def net_of(self, trades: Trades) -> F8:
        """Net ticks of each trade."""
        return np.asarray(self.net[trades.row, trades.call])

    def gross_of(self, trades: Trades) -> F8:
        """Ticks of each trade before fees; the spread is paid."""
        return np.asarray(self.gross[trades.row, trades.call])
