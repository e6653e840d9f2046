"""The report: one page of HTML that needs nothing else, to be read by a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from spymaster.ml.backtest import pictures
from spymaster.ml.backtest.thresholds import Tried
from spymaster.ml.backtest.trading import Desk, Trades
from spymaster.ml.outcomes import OUTCOMES

_CSS = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b2a3a;max-width:920px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em;margin-bottom:.1em} h2{font-size:1.1em;margin:1.8em 0 .4em}
.lead{color:#53616f;margin:.2em 0 1em} .note{border-left:4px solid #d08000;background:#fff6e6;
padding:.5em .9em;margin:.8em 0} table{border-collapse:collapse;font-size:13px;margin:.4em 0}
th,td{min-width:5.2em;padding:.22em .8em;text-align:right;border-bottom:1px solid #e4e8ec}
th:first-child,td:first-child{text-align:left;padding-left:0;min-width:11em}
th{color:#53616f;font-weight:600}
.cards{display:flex;flex-wrap:wrap;gap:.6em;margin:.8em 0} .card{border:1px solid #e4e8ec;
border-radius:6px;padding:.5em .8em;min-width:7em} .card b{display:block;font-size:1.35em}
.card span{color:#53616f;font-size:12px} .row{display:flex;flex-wrap:wrap;gap:1em}
svg{max-width:100%;height:auto} code{font-size:12px}
"""
_HEADS = ("", "trades", "hit rate", "mean net", "median net", "total net")


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    look: Mapping[str, Any] | None,
    desk: Desk,
    trades: Trades,
    tried: Tried,
) -> None:
    """Write the page. Ticks are of one contract (or share), net of spread and fees."""
    result = summary["result"]
    body = [
        *_head(summary, look),
        _cards(result),
        pictures.equity(desk, trades),
        f'<div class="row">{pictures.by_session(result["sessions"])}'
        f"{pictures.spread_of(desk, trades)}</div>",
        "<h2>Where it comes from</h2>",
        *(_table(what.replace("_", " "), result["by"][what]) for what in result["by"]),
        "<h2>Beside doing without a model</h2>",
        "<p>Every episode is traded at its first vector while the contract is flat, along with "
        "the approach or against it.</p>",
        _table("rule", {"this backtest": result, **summary["references"]}),
        "<h2>The probabilities behind it</h2>",
        f'<div class="row">{pictures.calibration(summary["metrics"]["calibration"])}'
        f"{pictures.thresholds(tried, summary['rule'])}</div>",
        *_metrics(summary["metrics"]),
        "<h2>What the model leans on</h2>",
        pictures.importances(summary["importance"]),
        "<p>An episode is given the block of another one, at the same share of its length. Blocks "
        "that say the same share their importance.</p>",
        "<h2>Sessions</h2>",
        _table("session", {s["session_date"]: s for s in result["sessions"]}),
        "<h2>How it was traded</h2>",
        _how(summary),
    ]
    title = f"Backtest of {summary['model_id']} version {summary['version']}"
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_CSS}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _head(summary: Mapping[str, Any], look: Mapping[str, Any] | None) -> Iterable[str]:
    days = summary["days"]
    yield f"<h1>{escape(summary['model_id'])} version {escape(summary['version'])}, backtest</h1>"
    yield (
        f'<p class="lead">{len(days)} {summary["sessions"]} sessions, {days[0]} to {days[-1]}, '
        f"snapshot {summary['run_date']}. "
        f"{'Trades' if look else 'The rule that is best in all of them trades'} where "
        f"{_rule(summary['rule'])}.</p>"
    )
    interval, alpha = summary["result"]["interval"], look["alpha"] if look else None
    if look is not None:
        p = interval["p"]
        told = "no p can be told" if p is None else f"p of a mean this high is {p:.3g}"
        enough = p is not None and alpha is not None and p <= alpha
        yield (
            f'<p class="note">This was look {look["look"]} at these test sessions (or some of '
            f"them): it may use a significance of {alpha:.3g}; {told}, which is "
            f"{'enough' if enough else 'not enough'} to call it profitable. The next look at them "
            "has less.</p>"
        )
    else:
        yield (
            '<p class="note">Validation sessions: the model was calibrated on them, so this is '
            "kinder than the future. Each session is traded by the thresholds that are best in the "
            "others. No test session was looked at.</p>"
        )
    chosen = summary["thresholds"]
    if chosen["validation_mean_net_ticks"] <= 0:
        yield (
            '<p class="note">No rule with trades enough made money on validation: the least bad '
            "one is shown. It is not worth trading.</p>"
        )


def _rule(rule: Mapping[str, float | None]) -> str:
    said = [
        f"{name} &ge; {value:.2f} ({how} the approach)"
        for (name, value), how in zip(rule.items(), ("along with", "against"), strict=True)
        if value is not None
    ]
    return " or ".join(said) or "nothing is sure enough"


def _cards(result: Mapping[str, Any]) -> str:
    interval = result["interval"]
    sure = (
        interval["reason"]
        if interval["lower"] is None
        else f"95 %: {interval['lower']:+.2f} to {interval['upper']:+.2f}"
    )
    cards = [
        (_number(result["mean_net_ticks"], "+.2f"), f"net ticks per trade<br>{sure}"),
        (_number(result["total_net_ticks"], "+,.1f"), "net ticks in all"),
        (f"{result['trades']:,}", f"trades of {result['episodes']:,} episodes"),
        (_number(result["hit_rate"], ".1%"), "trades that made money"),
        (_number(result["calls_right"], ".1%"), "calls that came true"),
        (_number(-result["drawdown_ticks"], ",.1f"), "ticks, deepest drawdown"),
    ]
    inner = "".join(f'<div class="card"><b>{b}</b><span>{s}</span></div>' for b, s in cards)
    return f'<div class="cards">{inner}</div>'


def _table(name: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    shown = [
        (
            escape(key),
            f"{r['trades']:,}",
            _number(r["hit_rate"], ".1%"),
            _number(r["mean_net_ticks"], "+.2f"),
            _number(r["median_net_ticks"], "+.2f"),
            _number(r["total_net_ticks"], "+,.1f"),
        )
        for key, r in rows.items()
    ]
    return _html((name, *_HEADS[1:]), shown)


def _metrics(told: Mapping[str, Any]) -> Iterable[str]:
    own = told["model"]["metrics"]
    rows = [
        (what, *(_number(values.get(what.replace(" ", "_")), ".4f") for values in
                 (own, told["baseline"], told["prior"])))
        for what in ("episode log loss", "vector log loss", "episode brier", "vector brier")
    ]  # fmt: skip
    yield _html(("nats, or 0..2", "model", "baseline", "prior"), rows)
    yield _html(
        ("outcome", "AUC per vector", "AUC per episode", "calibration error per episode"),
        [
            (o, *(_number(own[f"{m}_{o.lower()}"], ".3f") for m in
                  ("vector_auc", "episode_auc", "episode_calibration_error")))
            for o in OUTCOMES
        ],
    )  # fmt: skip
    yield _html(
        ("predicted (most probable)", "vectors", "share of episodes", "came true", *OUTCOMES),
        [
            (
                o,
                f"{r['vectors']:,}",
                _number(r["share"], ".1%"),
                _number(r["hit_rate"], ".1%"),
                *(f"{r['came'][c]:,.1f}" for c in OUTCOMES),
            )
            for o, r in told["predictions"].items()
        ],
    )


def _how(summary: Mapping[str, Any]) -> str:
    how, result, chosen = summary["settings"], summary["result"], summary["thresholds"]
    exits = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in result["exits"].items())
    costs = f"{how['cost_ticks']:g} ticks per side" + "".join(
        f", {name} {value:g}" for name, value in how["underlier_cost_ticks"].items()
    )
    facts = {
        "thresholds": f"best of {chosen['rules']:,} pairs by net ticks "
        f"{'per trade' if chosen['objective'] == 'per_trade' else 'in all'}, with at least "
        f"{how['min_trades']} trades on {len(summary['validation_days'])} validation sessions: "
        f"{chosen['validation_trades']} trades, "
        f"{chosen['validation_mean_net_ticks']:+.2f} ticks each",
        "entry": f"first two-sided quote at or after vector_time + {how['latency_ms']:g} ms: buys "
        "at the ask, sells at the bid",
        "exit": f"the same after the episode's outcome, or at the windows' end: {exits}",
        "fees": costs,
        "one position": f"{result['blocked_episodes']} episodes were called only while the "
        f"contract was not flat; {result['unfilled_orders']} orders found no quote",
        "left out": f"{summary['censored_episodes']} episodes whose outcome nobody knows (a gap, "
        "an invalid bar): no snapshot holds them",
        "model": f"digest <code>{summary['digest']}</code>",
        "snapshot": f"<code>{summary['traded_snapshot']}</code>",
    }
    return _html(
        ("", ""), [(k, f'<div style="text-align:left">{v}</div>') for k, v in facts.items()]
    )


def _html(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{h}</th>" for h in heads)
    lines = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _number(value: float | None, form: str) -> str:
    return "&ndash;" if value is None else format(value, form)
