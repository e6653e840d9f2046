"""A backtest, as a person sees it: progress, the account, where the report lies."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import nullcontext
from typing import Any

from rich.table import Table

from spymaster.cli.console import errors, tell, tell_table
from spymaster.ml.backtest.contest import Part
from spymaster.ml.backtest.record import REPORT
from spymaster.ml.backtest.run import Backtested, backtest
from spymaster.settings import Settings


def run_backtest(
    settings: Settings,
    model_id: str,
    version: str | None,
    alias: str | None,
    part: Part,
    run_date: dt.date | None,
) -> None:
    """Backtest with progress; then what it came to, and the report's place."""
    shown = errors.status("reading the snapshot") if errors.is_terminal else None
    started = time.perf_counter()
    with shown or nullcontext():
        done = backtest(
            settings,
            model_id,
            time.time_ns,
            version=version,
            alias=alias,
            part=part,
            run_date=run_date,
            progress=shown.update if shown is not None else lambda what: None,
        )
    _show(done, time.perf_counter() - started)


def _show(done: Backtested, seconds: float) -> None:
    s, result = done.summary, done.summary["result"]
    listing = Table(box=None, header_style="bold")
    for heading in ("", "trades", "hit rate", "mean net", "median net", "total net ticks"):
        listing.add_column(heading, justify="left" if not heading else "right")
    rows = {"all": result, **result["by"]["call"], **s["references"]}
    for name, row in rows.items():
        listing.add_row(
            name,
            f"{row['trades']:,}",
            _number(row["hit_rate"], ".1%"),
            _number(row["mean_net_ticks"], "+.3f"),
            _number(row["median_net_ticks"], "+.3f"),
            f"{row['total_net_ticks']:+,.1f}",
        )
    tell_table(listing)
    rule = ", ".join(
        f"{name} >= {value:g}" if value is not None else f"{name} never"
        for name, value in s["rule"].items()
    )
    chosen = s["thresholds"]
    tell(
        f"rule      {rule}: on validation {chosen['validation_trades']} trades, "
        f"{chosen['validation_mean_net_ticks']:+.3f} net ticks each"
    )
    interval = result["interval"]
    sure = (
        f"no interval: {interval['reason']}"
        if interval["lower"] is None
        else f"95 % {interval['lower']:+.3f} to {interval['upper']:+.3f}, p {interval['p']:.3g}"
    )
    tell(
        f"account   {result['total_net_ticks']:+,.1f} net ticks in {len(s['days'])} sessions, "
        f"{s['days'][0]} to {s['days'][-1]}; per trade {sure}; drawdown "
        f"{result['drawdown_ticks']:,.1f}"
    )
    tell(_looked(done))
    tell(
        f"{done.path / REPORT}: {'written' if done.made else 'already there, the same'}, "
        f"{seconds:.1f} s; run {done.run} in {done.tracking_uri}"
    )


def _looked(done: Backtested) -> str:
    look: dict[str, Any] | None = done.look
    if look is None:
        return "look      none: validation sessions, each by the thresholds best in the others"
    if not done.made:
        return f"look      {look['look']}, when it was made; shown again it costs nothing"
    return (
        f"look      {look['look']} at these test sessions, alpha {look['alpha']:.3g}; the next one "
        "has less (spymaster ml models)"
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
