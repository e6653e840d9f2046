"""The lake from Python: any table as a Polars frame, vectors with their names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.lake.visible import visible
from spymaster.settings import Settings

if TYPE_CHECKING:
    import polars as pl

_VECTORS = ("gold.setup_vectors", "gold.training_view")


def scan(
    table: str,
    root: str | Path | None = None,
    *,
    columns: Sequence[str] | None = None,
    session: dt.date | str | None = None,
    underlier: str | None = None,
    named: bool = False,
) -> pl.DataFrame:
    """Rows of a table as a Polars DataFrame.

    Silver and gold come only from sessions whose tables are all committed (`lake/lineage` says
    `complete`). `root` is the settings' by default. `named` puts the numbers of vectors into
    columns of their own, with the names of `gold.vector_spec`, in place of `feature_vector`.
    Raises LakeError for a table that is not there.
    """
    polars = _polars()
    lake = Lake(str(root) if root is not None else Settings.load().root)
    rows = lake.scan(table, columns, visible(lake, table, session, underlier))
    frame = polars.from_arrow(rows)
    return _named(lake, table, frame) if named else frame


def _named(lake: Lake, table: str, frame: pl.DataFrame) -> pl.DataFrame:
    polars = _polars()
    if table not in _VECTORS or "feature_vector" not in frame.columns:
        raise LakeError(
            f"{table}: only {' and '.join(_VECTORS)} hold vectors with names. "
            "Leave named=True out, or keep feature_vector among the columns."
        )
    spec = lake.scan("gold.vector_spec", ["lookback_spec", "position", "name"])
    frames = []
    names = polars.from_arrow(spec).sort("position")
    for (text,), part in frame.group_by("lookback_spec", maintain_order=True):
        mine = names.filter(polars.col("lookback_spec") == text)["name"].to_list()
        wide = part["feature_vector"].list.to_struct(fields=mine).struct.unnest()
        frames.append(polars.concat([part.drop("feature_vector"), wide], how="horizontal"))
    return polars.concat(frames, how="diagonal") if frames else frame.drop("feature_vector")


def _polars() -> Any:
    try:
        import polars
    except ModuleNotFoundError:
        raise LakeError(
            "spymaster.scan needs polars: install spymaster with its extra [query]."
        ) from None
    return polars
