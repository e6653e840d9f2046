"""Thresholds: chosen on validation sessions, then left alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.backtest.trading import NEVER, Desk, Rule, Trades
from spymaster.settings import BacktestSettings


@dataclass(frozen=True)
class Tried:
    """What each of r rules came to in each of s sessions. No position outlives its session."""

    desk: Desk
    how: BacktestSettings
    rules: tuple[Rule, ...]
    sessions: NDArray[np.datetime64]
    trades: NDArray[np.int64]  # [r, s]
    total: NDArray[np.float64]  # [r, s] net ticks

    def best(self, only: NDArray[np.bool_] | None = None, min_trades: int | None = None) -> int:
        """The rule that makes most in the sessions (`only` some), of those with trades enough.

        Most by `objective`. Of equal ones that with more trades, then with the higher thresholds,
        BREAK's first. Raises ModelError when no rule has `min_trades` (the settings' if None).
        """
        least = self.how.min_trades if min_trades is None else min_trades
        some = np.ones(len(self.sessions), np.bool_) if only is None else only
        trades, total = self.trades[:, some].sum(axis=1), self.total[:, some].sum(axis=1)
        enough = np.flatnonzero(trades >= max(1, least)).tolist()
        if not enough:
            data = self.desk.data
            raise ModelError(
                f"{data.model_id} {data.run_date}: thresholds cannot be chosen: no rule trades "
                f"{least} times in {int(some.sum())} validation sessions, the most is "
                f"{trades.max()}. Lower [ml.backtest] min_trades (--min-trades) or lowest, or take "
                "a snapshot of more sessions."
            )
        worth = total / np.maximum(trades, 1) if self.how.objective == "per_trade" else total
        return max(enough, key=lambda r: (worth[r], trades[r], *self.rules[r]))

    def crossed(self) -> Trades:
        """Each session traded by the rule that is best in the others: what choosing costs shows.

        Without a session a rule needs its share of `min_trades`. Raises ModelError as `best` does.
        """
        days = len(self.sessions)
        least = ceil(self.how.min_trades * (days - 1) / days)
        parts = []
        for s, day in enumerate(self.sessions):
            rule = self.rules[self.best(np.arange(days) != s, least)]
            parts.append(self.desk.trade(rule, self.desk.data.session == day))
        return Trades.joined(parts)


def grid(how: BacktestSettings) -> tuple[float, ...]:
    """The thresholds that are tried, the last one NEVER.

    >>> grid(BacktestSettings(lowest=0.5, highest=0.6, step=0.05))
    (0.5, 0.55, 0.6, inf)
    """
    count = int((how.highest - how.lowest) / how.step + 1e-9)
    return (*(round(how.lowest + i * how.step, 9) for i in range(count + 1)), NEVER)


def attempt(desk: Desk, how: BacktestSettings) -> Tried:
    """Trade the desk by every pair of thresholds of the grid."""
    sessions, at = np.unique(desk.data.session, return_inverse=True)
    rules = tuple(Rule(*pair) for pair in product(grid(how), grid(how)))
    trades = np.zeros((len(rules), len(sessions)), np.int64)
    total = np.zeros((len(rules), len(sessions)))
    for r, rule in enumerate(rules):
        made = desk.trade(rule)
        trades[r] = np.bincount(at[made.row], minlength=len(sessions))
        total[r] = np.bincount(at[made.row], desk.net_of(made), len(sessions))
    return Tried(desk, how, rules, sessions, trades, total)
