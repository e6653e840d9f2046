"""Every table and topic, declared once; everything else about them is generated."""

from __future__ import annotations

from spymaster.contracts import alerts, bronze, gold, learning, lineage, scores, silver, stream
from spymaster.contracts.column import Column, Table

TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        *bronze.TABLES,
        *silver.TABLES,
        *gold.TABLES,
        *lineage.TABLES,
        *stream.TABLES,
        *scores.TABLES,
        *alerts.TABLES,
        *learning.TABLES,
    )
}

__all__ = ["TABLES", "Column", "Table"]
