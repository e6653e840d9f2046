"""Trades: what buying and selling aggressors took, bar by bar."""

from __future__ import annotations

from spymaster.dashboard.tiles.expression import col
from spymaster.dashboard.tiles.price import AT, BAR
from spymaster.dashboard.tiles.query import rows, total
from spymaster.dashboard.tiles.tile import Shown, Tile

TRADES = Tile(
    "trades",
    "Volume",
    pane="volume",
    kind="bars",
    query=rows("gold.feature_series")
    .group("contract_id", at=AT)
    .get(buy=total(col("buy_volume")), sell=total(col("sell_volume")), volume=total(col("volume")))
    .sort("contract_id", "at"),
    x="at",
    split="contract_id",
    series=(
        Shown("buy", "Bought", "contracts or shares", "bar"),
        Shown("sell", "Sold", "contracts or shares", "bar"),
        Shown("volume", "Volume", "contracts or shares"),
    ),
    parameters=(BAR,),
    empty="No bars in this window.",
)

TILES = (TRADES,)
