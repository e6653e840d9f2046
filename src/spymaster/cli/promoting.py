"""Promotion, rollback and the registry, as a person sees them."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import nullcontext

from rich.table import Table

from spymaster.cli.console import errors, tell, tell_table
from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.ml.champions import PROMOTIONS
from spymaster.ml.looks import day_of, looks
from spymaster.ml.promote import promote, roll_back
from spymaster.ml.registry import Registry
from spymaster.ml.tracking import stored
from spymaster.settings import Settings
from spymaster.stages.feature_contract import contract_of

_SHOWN = ("kind", "feature_contract", "run_date", "train", "validation", "seen_until")


def run_promote(
    settings: Settings, model_id: str, version: str | None, run_date: dt.date | None
) -> None:
    """Promote; a line per check. A refusal is a ModelError."""
    shown = errors.status("opening MLflow's store, then judging") if errors.is_terminal else None
    with shown or nullcontext():
        made = promote(settings, model_id, time.time_ns, version=version, run_date=run_date)
    for check in made.checks:
        tell(check.line())
    if not made.promoted:
        raise ModelError(made.refusal())
    days = made.sessions
    tell(
        f"{model_id} version {made.version} is champion (before: {made.before or 'none'}): "
        f"{len(days)} test sessions, {days[0]} to {days[-1]}, look {made.look} at alpha "
        f"{made.alpha:.3g}"
    )


def run_rollback(settings: Settings, model_id: str, reason: str) -> None:
    """Roll back, and tell who is champion now."""
    champion, until_now = roll_back(settings, model_id, reason, time.time_ns)
    tell(f"{model_id} version {champion} is champion again, in place of {until_now}: {reason}")


def show_models(settings: Settings, model_id: str | None) -> None:
    """Versions with their aliases; looks; changes of the champion."""
    ids = sorted({u.model_id for u in settings.underlier.values()})
    if model_id is not None:
        contract_of(settings, model_id)  # names those there are
        ids = [model_id]
    lake = Lake(settings.root)
    for one in ids:
        versions = Registry(settings, one).versions() if stored(settings) else []
        tell(f"{one}: {len(versions)} version{'s' * (len(versions) != 1)}")
        if versions:
            listing = _table("version", "alias", *(name.replace("_", " ") for name in _SHOWN))
            for v in versions:
                told = (v.tags.get(name, "") for name in _SHOWN)
                listing.add_row(v.number, ", ".join(v.aliases), *told)
            tell_table(listing)
        _show_ledgers(lake, one)


def _show_ledgers(lake: Lake, model_id: str) -> None:
    if found := looks(lake, model_id):
        listing = _table(
            "look", "when", "purpose", "version", "champion", "sessions", "alpha", "came to"
        )
        for row in found:
            days = row["sessions"]
            span = f"{len(days)}, {days[0]} to {days[-1]}" if days else "0"
            came = row["verdict"] or "broke off"
            came += "".join(f"; {reason.partition(':')[0]}" for reason in row["reasons"])
            told = (row["purpose"], row["challenger"], row["champion"] or "", span)
            listing.add_row(str(row["look"]), day_of(row), *told, f"{row['alpha']:.3g}", came)
        tell_table(listing)
    asked = {"model_id": model_id}
    changes = lake.scan(PROMOTIONS, filters=asked, missing_ok=True).to_pylist()
    shown = [row for row in changes if row["event"] != "carried_out"]
    for row in sorted(shown, key=lambda r: int(r["number"])):
        tell(
            f"{day_of(row)}  {row['event'].replace('_', ' ')}: {row['version'] or 'nobody'} "
            f"(before: {row['before'] or 'nobody'}); {row['reason']}"
        )


def _table(*headings: str) -> Table:
    made = Table(box=None, header_style="bold")
    for heading in headings:
        made.add_column(heading)
    return made
