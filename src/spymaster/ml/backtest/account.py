"""What trades came to: an account in ticks, and how sure the sessions make us of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.silver import DIRECTIONS
from spymaster.ml.backtest.market import EXITS
from spymaster.ml.backtest.trading import CALLS, Desk, Trades
from spymaster.ml.gain import gain
from spymaster.ml.outcomes import OUTCOMES
from spymaster.settings import BacktestSettings

F8 = NDArray[np.float64]
#: Of the interval: its two sides together leave out so much.
OUTSIDE = 0.05


def drawdown(net: F8) -> float:
    """The deepest fall of the running sum from its highest point so far, the start included; ticks.

    >>> drawdown(np.array([3.0, -2.0, -2.0, 5.0]))
    4.0
    >>> drawdown(np.array([-1.0, -1.0]))
    2.0
    """
    equity = np.concatenate([[0.0], np.cumsum(net)])
    return float((np.maximum.accumulate(equity) - equity).max())


def counted(net: F8) -> dict[str, float | int | None]:
    """Trades, hit rate, and net ticks; nulls where there are none."""
    n = len(net)
    return {
        "trades": n,
        "hit_rate": float((net > 0).mean()) if n else None,
        "mean_net_ticks": float(net.mean()) if n else None,
        "median_net_ticks": float(np.median(net)) if n else None,
        "total_net_ticks": float(net.sum()),
    }


def interval(net: F8, session: NDArray[np.generic], how: BacktestSettings) -> dict[str, Any]:
    """The 95 % interval of the mean net ticks per trade, and p of one this high were it zero.

    Sessions are drawn whole, studentised, never narrower than Student's t (`spymaster.ml.gain`).
    Only sessions with trades can be drawn. Null, with the reason, for fewer than two.
    """
    days = len(np.unique(session))
    if days < 2:
        return {"lower": None, "upper": None, "p": None, "reason": f"{days} sessions have trades"}
    zero = np.zeros(len(net))
    low, high = (
        gain(own, zero, session, alpha=OUTSIDE / 2, draws=how.draws, seed=how.seed)
        for own in (-net, net)
    )
    if not np.isfinite(low.lower):
        return {"lower": None, "upper": None, "p": None, "reason": "sessions do not differ"}
    return {"lower": low.lower, "upper": -high.lower, "p": low.p, "reason": None}


def account(desk: Desk, trades: Trades, how: BacktestSettings) -> dict[str, Any]:
    """Everything that is told of some trades, as JSON values."""
    net, gross = desk.net_of(trades), desk.gross_of(trades)
    data, market = desk.data, desk.market
    rows = trades.row
    right = data.label[rows] == trades.call
    episodes = len(np.unique(data.episode))
    return {
        **counted(net),
        "episodes": episodes,
        "calls_right": float(right.mean()) if len(rows) else None,
        "deviation_net_ticks": float(net.std(ddof=1)) if len(rows) > 1 else None,
        "total_gross_ticks": float(gross.sum()),
        "total_fees_ticks": float((gross - net).sum()),
        "drawdown_ticks": drawdown(net[_by_exit(desk, trades)]),
        "interval": interval(net, data.session[rows], how),
        "unfilled_orders": trades.unfilled,
        "blocked_episodes": trades.blocked,
        "exits": {name: int((market.exit_reason[rows] == i).sum()) for i, name in enumerate(EXITS)},
        "by": _parts(desk, trades, net),
        "sessions": _sessions(desk, trades, net),
    }


def _by_exit(desk: Desk, trades: Trades) -> NDArray[np.int64]:
    """Trades in the order in which they were closed."""
    return np.lexsort((np.arange(len(trades)), desk.market.exit.ts[trades.row]))


def _parts(desk: Desk, trades: Trades, net: F8) -> dict[str, dict[str, Any]]:
    data, rows = desk.data, trades.row
    side = desk.side[rows, trades.call]
    types = [desk.market.level_types[e] for e in data.episode[rows].tolist()]
    each: dict[str, Mapping[str, Any]] = {
        "call": {name: trades.call == i for i, name in enumerate(CALLS)},
        "approach": {
            name: data.direction[rows] == sign
            for name, sign in zip(DIRECTIONS, (1, -1), strict=True)
        },
        "side": {"LONG": side > 0, "SHORT": side < 0},
        "outcome": {name: data.label[rows] == i for i, name in enumerate(OUTCOMES)},
        "level_type": {
            name: np.array([name in t for t in types], np.bool_)
            for name in sorted({name for t in types for name in t})
        },
    }
    return {
        what: {name: counted(net[mask]) for name, mask in masks.items()}
        for what, masks in each.items()
    }


def _sessions(desk: Desk, trades: Trades, net: F8) -> list[dict[str, Any]]:
    data = desk.data
    out = []
    for day in np.unique(data.session):
        mine = data.session[trades.row] == day
        out.append(
            {
                "session_date": str(day),
                "episodes": len(np.unique(data.episode[data.session == day])),
                **counted(net[mine]),
                "drawdown_ticks": drawdown(net[mine]),
            }
        )
    return out
