"""Any feature's time-series: the viewer picks the column."""

from __future__ import annotations

from spymaster.contracts.gold import FEATURE_SERIES
from spymaster.dashboard.tiles.expression import Unary, col, pick, present
from spymaster.dashboard.tiles.query import rows
from spymaster.dashboard.tiles.tile import Parameter, Shown, Tile

#: Every number of a bar: name -> its column of the contract.
FEATURES = {
    c.name: c for c in FEATURE_SERIES.columns if c.type in ("int64", "float64") and not c.key
}


def label(name: str) -> str:
    """A feature's name with its unit."""
    unit = FEATURES[name].unit
    return f"{name} ({unit})" if unit else name


FEATURE = Parameter("feature", "Feature", {n: label(n) for n in FEATURES}, "ofi")
CHOSEN = pick("feature", {n: Unary("real", col(n)) for n in FEATURES})

SERIES = Tile(
    "feature",
    "Feature",
    pane="feature",
    kind="lines",
    query=rows("gold.feature_series")
    .keep("contract_id", at=col("bar_start"), value=CHOSEN)
    .where(present(col("value")))
    .sort("contract_id", "at"),
    x="at",
    split="contract_id",
    series=(Shown("value", "Value", "of the feature", "line"),),
    parameters=(FEATURE,),
    empty="No value of this feature in this window.",
)

TILES = (SERIES,)
