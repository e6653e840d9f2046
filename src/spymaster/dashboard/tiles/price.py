"""Price: candles, and the levels that traders watch."""

from __future__ import annotations

from spymaster.dashboard.tiles.expression import Bin, col, pick, present, price
from spymaster.dashboard.tiles.query import DAY_NS, first, highest, last, lowest, rows, total
from spymaster.dashboard.tiles.tile import Parameter, Shown, Tile

_BARS = {"5": "5 s", "15": "15 s", "60": "1 min", "300": "5 min", "900": "15 min"}
BAR = Parameter("bar", "Bar", _BARS, "5")
AT = pick("bar", {k: Bin(col("bar_start"), int(k)) for k in _BARS})

PRICE = Tile(
    "price",
    "Price",
    pane="price",
    kind="candles",
    query=rows("gold.feature_series")
    .where(present(col("close")))
    .group("contract_id", at=AT)
    .get(
        open=first("open", "bar_start"),
        high=highest(col("high")),
        low=lowest(col("low")),
        close=last("close", "bar_start"),
        volume=total(col("volume")),
    )
    .sort("contract_id", "at"),
    x="at",
    split="contract_id",
    series=(
        Shown("open", "Open", "currency", "open"),
        Shown("high", "High", "currency", "high"),
        Shown("low", "Low", "currency", "low"),
        Shown("close", "Close", "currency", "close"),
        Shown("volume", "Volume", "contracts or shares"),
    ),
    parameters=(BAR,),
    empty="No trades in this window.",
)

#: The part of each session that the window shows.
_SEEN = (
    rows("gold.feature_series")
    .group("contract_id", "session_date")
    .get(seen=lowest(col("bar_start")), until=highest(col("bar_end")))
)

LEVELS = Tile(
    "levels",
    "Levels",
    pane="price",
    kind="segments",
    query=rows("silver.session_levels", reach_ns=2 * DAY_NS)
    .join(_SEEN, on=("contract_id", "session_date"))
    .keep("contract_id", "level_type", "known_at", "until", level=price("level_price"))
    .sort("contract_id", "known_at", "level_type"),
    x="known_at",
    split="contract_id",
    series=(
        Shown("level", "Level", "currency", "line"),
        Shown("until", "Until", "", "until"),
        Shown("level_type", "What it was", "", "text"),
    ),
    empty="No level is known yet in this window.",
)

TILES = (PRICE, LEVELS)
