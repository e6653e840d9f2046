"""Episodes: approaches of levels, open or with what came of them."""

from __future__ import annotations

from spymaster.dashboard.tiles.expression import col, either, missing, price
from spymaster.dashboard.tiles.query import highest, lowest, rows, same
from spymaster.dashboard.tiles.tile import Shown, Tile

#: Longer than any episode runs.
_REACH = 3600 * 10**9

_ENDED = (
    rows("gold.labels", _REACH)
    .group("episode_id")
    .get(label=same(col("label")), known_at=same(col("known_at")))
)
_OUTCOME = either(
    missing(col("known_at")), "OPEN", either(missing(col("label")), "CENSORED", col("label"))
)

EPISODES = Tile(
    "episodes",
    "Episodes",
    pane="price",
    kind="spans",
    query=rows("gold.setup_vectors", _REACH)
    .group("contract_id", "episode_id", "direction", "level_price", "barrier_ticks", "touch_ticks")
    .get(
        opened=lowest(col("vector_time")),
        seen=highest(col("vector_time")),
        level_types=same(col("level_types")),
    )
    .join(_ENDED, on=("episode_id",), how="left")
    .keep(
        "contract_id",
        "episode_id",
        "opened",
        "direction",
        "level_types",
        "barrier_ticks",
        "touch_ticks",
        until=either(missing(col("known_at")), col("seen"), col("known_at")),
        level=price("level_price"),
        outcome=_OUTCOME,
    )
    .sort("contract_id", "opened", "episode_id"),
    x="opened",
    split="contract_id",
    series=(
        Shown("until", "Until", "", "until"),
        Shown("level", "Level", "currency", "line"),
        Shown("outcome", "Outcome", "", "text"),
        Shown("direction", "Side it came from", "", "text"),
        Shown("level_types", "What the level was", "", "text"),
        Shown("barrier_ticks", "Barrier", "ticks"),
        Shown("touch_ticks", "Touch", "ticks"),
    ),
    empty="No level was approached in this window.",
)

TILES = (EPISODES,)
