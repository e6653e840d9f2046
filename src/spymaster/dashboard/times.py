"""Tables as Polars has them, and when a row of each happened, ns UTC."""

from __future__ import annotations

from typing import Any

import polars as pl

from spymaster.contracts import TABLES
from spymaster.contracts.column import Table
from spymaster.dashboard.tiles import TIME as TIME  # what a view's window is held against
from spymaster.dashboard.tiles.local import DTYPES


def table_of(name: str) -> Table:
    """The contract of a table."""
    return TABLES[name]


def schema(table: Table) -> dict[str, Any]:
    """Polars types of a table's columns, in the contract's order."""
    return {c.name: DTYPES[c.type] for c in table.columns}


def empty(name: str) -> pl.DataFrame:
    """No rows of a table."""
    return pl.DataFrame(schema=schema(table_of(name)))
