"""`spymaster status`: one table of the processes of a root, then what waits or is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from spymaster.cli.console import tell, tell_table
from spymaster.engines.stream.report import read_statuses
from spymaster.lake import Lake
from spymaster.settings import Settings

_WEEK = 7 * 86_400.0
_COLUMNS = ("process", "state", "records", "rate", "lag", "watermark", "detail")


def show_status(settings: Settings, *, as_json: bool) -> None:
    """Every process that ever said something of itself under the root."""
    found = read_statuses(settings.root)
    gaps = Lake(settings.root).scan("bronze.gaps", missing_ok=True).to_pylist()
    if as_json:
        tell(json.dumps({"processes": found, "gaps": gaps}, default=str))
        return
    if not found:
        tell(
            f"{settings.root}: no process has run here yet. Start one: spymaster ingest, "
            "spymaster live"
        )
    else:
        listing = Table(box=None, header_style="bold")
        for heading in _COLUMNS:
            listing.add_column(
                heading, justify="right" if heading in ("records", "rate") else "left"
            )
        for told in found:
            state = str(told.get("state", "?"))
            if not told["runs"] and state not in ("stopped", "failed"):
                state = f"gone ({told['age_s']:.0f} s silent)"
            listing.add_row(
                str(told["process"]),
                state,
                f"{int(told.get('records', 0)):,}",
                f"{float(told.get('records_per_s', 0)):,.0f}/s",
                _seconds(told.get("lag_s")),
                _time(told.get("last_ts_recv")),
                str(told.get("detail") or _detail(told)),
            )
        tell_table(listing)
        for told in found:
            if told.get("last_error"):
                tell(f"{told['process']}: {told['last_error']}")
    if gaps:
        last = max(gaps, key=lambda g: g["to_ts"])
        tell(f"{len(gaps)} gaps in the feed are noted; the last: {last['reason']}")


def _time(ts: object) -> str:
    return "-" if ts is None else f"{np.datetime64(int(str(ts)), 'ns')}Z"


def _detail(told: Mapping[str, Any]) -> str:
    names = ("connections", "reconnects", "skipped", "refused", "backwards", "open_gap")
    return ", ".join(f"{told[n]} {n.replace('_', ' ')}" for n in names if told.get(n))


def _seconds(value: object) -> str:
    seconds = -1.0 if value is None else float(str(value))
    if seconds > _WEEK:
        return "a replay"
    return "-" if value is None else f"{seconds:,.1f} s"
