"""The pictures of a backtest, as SVG text: the same inputs, the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.ml.backtest.thresholds import Tried, grid
from spymaster.ml.backtest.trading import CALLS, Desk, Trades
from spymaster.ml.extra import needed
from spymaster.ml.outcomes import OUTCOMES

_INK, _GREY = "#1b2a3a", "#9aa5b1"
_COLOURS = {"BREAK": "#2a7f3f", "REJECT": "#b03030", "CHOP": "#1f4e8c"}
_STYLE = {
    "svg.hashsalt": "spymaster",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def svg(width: float, height: float, draw: Callable[[Any, Any], None]) -> str:
    """Draw on a figure of inches; its SVG without date or prolog."""
    with needed("matplotlib").rc_context(_STYLE):
        figure = needed("matplotlib.figure").Figure((width, height), layout="constrained")
        draw(figure, figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def equity(desk: Desk, trades: Trades) -> str:
    """The running account, trade by trade as they closed, in all and by call."""
    order = np.lexsort((np.arange(len(trades)), desk.market.exit.ts[trades.row]))
    net, call = desk.net_of(trades)[order], trades.call[order]
    session = desk.data.session[trades.row][order]

    def draw(figure: Any, ax: Any) -> None:
        x = np.arange(len(net) + 1)
        starts = np.flatnonzero(np.diff(session).astype(np.int64) != 0) + 1
        for start in starts.tolist():
            ax.axvline(start, color="#e4e8ec", lw=0.8, zorder=0)
        total = np.concatenate([[0.0], np.cumsum(net)])
        ax.fill_between(
            x, total, np.maximum.accumulate(total), color="#f2c9c9", lw=0, label="drawdown"
        )
        for i, name in enumerate(CALLS):
            if not (call == i).any():
                continue
            part = np.concatenate([[0.0], np.cumsum(np.where(call == i, net, 0.0))])
            ax.plot(x, part, color=_COLOURS[name], lw=1, label=f"{name} trades")
        ax.plot(x, total, color=_INK, lw=1.8, label="all trades")
        ax.axhline(0, color=_GREY, lw=0.8)
        ax.set_title("Account, net of spread and fees")
        ax.set_xlabel("trades closed (a line where a session begins)")
        ax.set_ylabel("ticks per contract traded")
        ax.legend(frameon=False, loc="upper left", fontsize=8)

    return svg(8.6, 3.4, draw)


def by_session(sessions: Sequence[Mapping[str, Any]]) -> str:
    """Net ticks of each session."""

    def draw(figure: Any, ax: Any) -> None:
        net = [s["total_net_ticks"] for s in sessions]
        colours = [_COLOURS["BREAK"] if v >= 0 else _COLOURS["REJECT"] for v in net]
        ax.bar(range(len(net)), net, color=colours)
        step = max(1, len(net) // 16)
        places = range(0, len(net), step)
        ax.set_xticks(places, [sessions[i]["session_date"][5:] for i in places], rotation=60)
        ax.axhline(0, color=_GREY, lw=0.8)
        ax.set_title("Each session")
        ax.set_xlabel("session (month-day)")
        ax.set_ylabel("net ticks")

    return svg(4.2, 3.0, draw)


def spread_of(desk: Desk, trades: Trades) -> str:
    """How the trades' net ticks are spread, by call."""
    net = desk.net_of(trades)

    def draw(figure: Any, ax: Any) -> None:
        if len(net):
            edges = np.linspace(np.floor(net.min()) - 0.5, np.ceil(net.max()) + 0.5, 31)
            parts = [net[trades.call == i] for i in range(len(CALLS))]
            ax.hist(parts, edges, stacked=True, color=[_COLOURS[c] for c in CALLS], label=CALLS)
            ax.axvline(float(net.mean()), color=_INK, lw=1.2, ls="--", label="mean")
            ax.legend(frameon=False, fontsize=8)
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set_title("Trades")
        ax.set_xlabel("net ticks of a trade")
        ax.set_ylabel("trades")

    return svg(4.2, 3.0, draw)


def calibration(curves: Mapping[str, Mapping[str, list[float]] | None]) -> str:
    """What was called against what happened, each episode counting once."""

    def draw(figure: Any, ax: Any) -> None:
        ax.plot([0, 1], [0, 1], color=_GREY, lw=1)
        for name in OUTCOMES:
            curve = curves[name]
            if curve is not None:
                weight = np.array(curve["weight"])
                sizes = 8 + 130 * weight / weight.sum()
                ax.plot(curve["called"], curve["happened"], color=_COLOURS[name], lw=1, label=name)
                ax.scatter(curve["called"], curve["happened"], s=sizes, color=_COLOURS[name])
        ax.set_title("Calibration (a dot's size: episodes)")
        ax.set_xlabel("probability called")
        ax.set_ylabel("share that happened")
        ax.legend(frameon=False, fontsize=8)

    return svg(4.2, 3.4, draw)


def thresholds(tried: Tried, chosen: Mapping[str, float | None]) -> str:
    """Net ticks per trade on validation, by both thresholds; grey: too few trades."""
    values = grid(tried.how)
    names = [f"{v:.2f}" for v in values[:-1]] + ["never"]
    count = tried.trades.sum(axis=1)
    mean = tried.total.sum(axis=1) / np.maximum(count, 1)
    shape = (len(values), len(values))
    shown: NDArray[np.float64] = np.where(count >= tried.how.min_trades, mean, np.nan)

    def draw(figure: Any, ax: Any) -> None:
        top = float(np.nanmax(abs(shown))) or 1.0
        image = ax.imshow(
            shown.reshape(shape).T, origin="lower", cmap="RdYlGn", vmin=-top, vmax=top
        )
        ax.set_facecolor("#e4e8ec")
        at = [
            len(values) - 1 if chosen[n] is None else values.index(chosen[n])
            for n in ("p_break", "p_reject")
        ]
        ax.plot(*at, "s", ms=9, mfc="none", mec=_INK, mew=1.6)
        step = max(1, len(values) // 8)
        places = [*range(0, len(values) - 1, step), len(values) - 1]
        ax.set_xticks(places, [names[i] for i in places], rotation=60)
        ax.set_yticks(places, [names[i] for i in places])
        ax.set_title("Thresholds on validation (square: chosen)")
        ax.set_xlabel("least p_break to trade along")
        ax.set_ylabel("least p_reject to trade against")
        figure.colorbar(image, ax=ax, label="net ticks per trade", shrink=0.85)

    return svg(4.6, 3.4, draw)


def importances(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What shuffling costs, block by block and series by series."""
    rows = [(r, what) for what in ("lookback_series", "blocks") for r in reversed(groups[what])]

    def draw(figure: Any, ax: Any) -> None:
        names = [f"{r['name']} ({r['columns']})" for r, _ in rows]
        colours = [_INK if what == "blocks" else _GREY for _, what in rows]
        cost = [r["cost"] for r, _ in rows]
        error = [r["deviation"] for r, _ in rows]
        ax.barh(range(len(rows)), cost, xerr=error, color=colours, error_kw={"lw": 0.8})
        ax.set_yticks(range(len(rows)), names, fontsize=8)
        ax.axvline(0, color=_GREY, lw=0.8)
        ax.set_title("What the model leans on (validation; dark: blocks, grey: lookback series)")
        ax.set_xlabel("log-loss that shuffling between episodes adds, nats per episode")

    return svg(8.6, 0.9 + 0.2 * len(rows), draw)
