"""The book: ten levels at the last bar's close, and where size rested over time."""

from __future__ import annotations

from collections.abc import Sequence

from spymaster.contracts.event import BOOK_LEVELS
from spymaster.dashboard.tiles.expression import Bin, Operand, col, pick, present
from spymaster.dashboard.tiles.query import Query, highest, mean, rows
from spymaster.dashboard.tiles.tile import Parameter, Shown, Tile

_TABLE = "silver.orderbook_state"
_SIDES = ("bid", "ask")


def _places(what: str) -> Sequence[Operand]:
    return [col(f"{side}_{what}_{m:02d}") for side in _SIDES for m in range(BOOK_LEVELS)]


def _by_level(query: Query, **more: Sequence[Operand]) -> Query:
    sides: list[Operand] = [side for side in _SIDES for _ in range(BOOK_LEVELS)]
    wide = query.unpivot("place", side=sides, price=_places("px"), size=_places("sz"), **more)
    return wide.where(present(col("price")))


_LATEST = rows(_TABLE).group("contract_id").get(bar_start=highest(col("bar_start")))

LADDER = Tile(
    "ladder",
    "Depth",
    pane="ladder",
    kind="ladder",
    query=_by_level(
        rows(_TABLE).join(_LATEST, on=("contract_id", "bar_start")),
        level=[m + 1 for _ in _SIDES for m in range(BOOK_LEVELS)],
        orders=_places("ct"),
    )
    .keep("contract_id", "side", "level", "price", "size", "orders", at=col("bar_end"))
    .sort("contract_id", "-price", "side"),
    split="contract_id",
    series=(
        Shown("side", "Side", "", "text"),
        Shown("price", "Price", "currency"),
        Shown("size", "Size", "contracts or shares", "bar"),
        Shown("orders", "Orders", "orders"),
        Shown("level", "Level"),
        Shown("at", "As of", "", "text"),
    ),
    empty="No book in this window.",
)

_CELLS = {"5": "5 s", "15": "15 s", "60": "1 min", "300": "5 min"}
CELL = Parameter("cell", "Width", _CELLS, "60")

HEATMAP = Tile(
    "heatmap",
    "Liquidity",
    pane="heatmap",
    kind="heatmap",
    query=_by_level(rows(_TABLE))
    .group(
        "contract_id",
        "side",
        "price",
        at=pick("cell", {k: Bin(col("bar_start"), int(k)) for k in _CELLS}),
    )
    .get(size=mean(col("size")))
    .sort("contract_id", "at", "price", "side"),
    x="at",
    split="contract_id",
    series=(
        Shown("price", "Price", "currency", "line"),
        Shown("size", "Resting size, mean of bars that show the price", "contracts or shares"),
        Shown("side", "Side", "", "text"),
    ),
    parameters=(CELL,),
    empty="No book in this window.",
)

TILES = (LADDER, HEATMAP)
