"""Top movers: the contracts whose book changed most between the window's ends."""

from __future__ import annotations

from spymaster.dashboard.tiles.expression import Unary, col, pick, present
from spymaster.dashboard.tiles.query import first, highest, last, lowest, rows
from spymaster.dashboard.tiles.tile import Parameter, Shown, Tile

_DEPTH = col("bid_depth_10") + col("ask_depth_10")
_MEASURES = {
    "ofi": ("Order flow imbalance (contracts or shares)", col("ofi")),
    "depth": ("Depth, both sides over 10 levels (contracts or shares)", _DEPTH),
    "pressure": ("Pressure (-1..1)", col("pressure")),
}

MEASURE = Parameter("measure", "Measure", {k: v[0] for k, v in _MEASURES.items()}, "ofi")

MOVERS = Tile(
    "movers",
    "Top movers",
    pane="movers",
    kind="table",
    query=rows("gold.feature_series")
    .keep(
        "contract_id",
        "bar_end",
        value=pick("measure", {k: Unary("real", v[1]) for k, v in _MEASURES.items()}),
    )
    .where(present(col("value")))
    .group("contract_id")
    .get(
        before=first("value", "bar_end"),
        after=last("value", "bar_end"),
        since=lowest(col("bar_end")),
        until=highest(col("bar_end")),
    )
    .extend(change=col("after") - col("before"))
    .extend(distance=Unary("abs", col("change")))
    .top(20, "-distance", "contract_id"),
    series=(
        Shown("contract_id", "Contract", "", "text"),
        Shown("before", "First", "of the measure"),
        Shown("after", "Last", "of the measure"),
        Shown("change", "Change", "of the measure"),
        Shown("since", "From", "", "text"),
        Shown("until", "To", "", "text"),
    ),
    parameters=(MEASURE,),
    empty="No contract has bars in this window.",
)

TILES = (MOVERS,)
