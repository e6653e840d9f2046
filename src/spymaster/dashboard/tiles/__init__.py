"""Tiles: each declared once, answered with Polars here and written as KQL for Fabric."""

from __future__ import annotations

from collections.abc import Mapping

from spymaster.dashboard.tiles import (
    alerts,
    anomalies,
    book,
    episodes,
    features,
    health,
    movers,
    outcomes,
    price,
    scores,
    trades,
)
from spymaster.dashboard.tiles.tile import Parameter, Shown, Source, Tile, View, kql, nothing, run
from spymaster.dashboard.tiles.times import TIME

#: Every tile by its id, in the order of the page.
TILES: Mapping[str, Tile] = {
    t.id: t
    for family in (
        price,
        episodes,
        trades,
        features,
        anomalies,
        alerts,
        scores,
        outcomes,
        book,
        movers,
        health,
    )
    for t in family.TILES
}

__all__ = ["TILES", "TIME", "Parameter", "Shown", "Source", "Tile", "View", "kql", "nothing", "run"]
