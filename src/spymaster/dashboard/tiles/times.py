"""Which column is a table's time: the one that a view's window is held against."""

from __future__ import annotations

from spymaster.contracts import TABLES
from spymaster.contracts.column import Table
from spymaster.dashboard.tiles.expression import Type
from spymaster.errors import ContractError

#: Table -> its time, ns UTC. None: rows are looked at whatever the window is.
TIME: dict[str, str | None] = {
    "gold.feature_series": "bar_start",
    "silver.orderbook_state": "bar_start",
    "silver.session_levels": "known_at",
    "gold.setup_vectors": "vector_time",
    "gold.labels": "vector_time",
    "gold.inference_scores_stream": "vector_time",
    "gold.inference_errors_stream": "vector_time",
    "gold.alerts_stream": "at",
    "gold.parity": None,
    "bronze.gaps": "from_ts",
}

_TYPES: dict[str, Type] = {
    "string": "string",
    "int64": "long",
    "int32": "long",
    "float64": "real",
    "bool": "bool",
    "date": "date",
    "list<float64>": "dynamic",
    "list<string>": "dynamic",
}


def table(name: str) -> Table:
    """A table that tiles may read. ContractError names those that they may."""
    if name not in TIME:
        raise ContractError(
            f"tiles: {name} is not a table that tiles read. Allowed: {', '.join(TIME)}. "
            "Give another table its time in dashboard/tiles/times.py"
        )
    return TABLES[name]


def columns(name: str) -> dict[str, Type]:
    """A table's columns with their types; int64 times are `datetime`."""
    return {
        c.name: "datetime" if c.unit == "ns UTC" else _TYPES[c.type] for c in table(name).columns
    }
