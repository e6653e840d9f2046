"""A snapshot and its split, as a person sees them."""

from __future__ import annotations

import datetime as dt

from rich.table import Table

from spymaster.cli.console import tell, tell_table
from spymaster.lake import Lake
from spymaster.ml.dataset import load
from spymaster.ml.freeze import freeze
from spymaster.ml.outcomes import OUTCOMES
from spymaster.ml.split_file import freeze_split
from spymaster.settings import Settings


def take_snapshot(settings: Settings, model_id: str, run_date: dt.date, now: int) -> None:
    """Freeze, and tell what it holds and what was left out."""
    made = freeze(Lake(settings.root), settings, model_id, run_date, now)
    counts = made.manifest.counts
    for line in made.left_out.lines():
        tell(f"left out  {line}")
    outcomes = ", ".join(f"{counts['outcomes'][name]['episodes']:,} {name}" for name in OUTCOMES)
    tell(
        f"rows      {counts['vectors']:,} vectors of {counts['episodes']:,} episodes ({outcomes}) "
        f"in {counts['sessions']} sessions, {counts['first_session']} to {counts['last_session']}"
    )
    about = made.manifest.about
    tell(f"contract  {about['feature_contract']}, {len(about['names'])} features")
    how = "frozen" if made.made else "already there, the same content"
    tell(f"{made.path}: {how}, checksum {made.manifest.checksum}")


def make_split(settings: Settings, model_id: str, run_date: dt.date) -> None:
    """Split, and show what each part holds."""
    made, new = freeze_split(settings.root, model_id, run_date, settings.ml.split)
    data = load(settings.root, model_id, run_date)
    listing = Table(box=None, header_style="bold")
    for heading in ("part", "from", "to", "sessions", "vectors", "episodes", *OUTCOMES):
        listing.add_column(
            heading, justify="left" if heading in ("part", "from", "to") else "right"
        )
    parts = [("train", made.train)]
    for i, fold in enumerate(made.folds, 1):
        parts += [(f"  fold {i} fit", fold.fit), (f"  fold {i} judge", fold.judge)]
    parts += [("validation", made.validation), ("test", made.test), ("embargo", made.embargo)]
    for name, days in parts:
        part = data.of(days)
        episodes = dict(zip(part.episode.tolist(), part.label.tolist(), strict=True))
        came = [sum(code == c for code in episodes.values()) for c in range(len(OUTCOMES))]
        ends = (str(days[0]), str(days[-1])) if days else ("", "")
        numbers = (len(days), len(part), len(episodes), *came)
        listing.add_row(name, *ends, *(f"{n:,}" for n in numbers))
    tell_table(listing)
    how = "written beside the snapshot" if new else "already there, the same"
    tell(f"split of {data.checksum}: {how}")
