"""A topic's message as a row of its table: checked here, so that nothing later stumbles over it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from spymaster.contracts.column import INT_NULL, Column, Table
from spymaster.dashboard.times import TIME

_TYPES: Mapping[str, type] = {"string": str, "date": str, "bool": bool, "float64": float}
_BITS = {"int64": 64, "int32": 32}
_INSIDE: Mapping[str, tuple[type, ...]] = {"list<float64>": (float, int), "list<string>": (str,)}


class Rows:
    """Messages of one table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        needed = {*table.keys, "session_date", "underlier", TIME.get(table.name)}
        self._columns = [(c, _TYPES.get(c.type, int), c.name in needed) for c in table.columns]

    def row(self, told: Any, instead: Mapping[str, Any]) -> dict[str, Any]:
        """A message's columns, a date from its ISO form; what it lacks is null.

        `instead`: values that are kept in place of its own. ValueError for a value that is not of
        its column's type, and for none where a row needs one: in the key, the session, the time.
        """
        if not isinstance(told, dict):
            raise ValueError(f"it is a {type(told).__name__}; allowed: an object")
        own = {c.name: _value(c, t, needed, told.get(c.name)) for c, t, needed in self._columns}
        return {**own, **instead}


def _value(column: Column, type_: type, needed: bool, value: Any) -> Any:
    if value is None:
        if needed:
            raise ValueError(f"{column.name} has no value; allowed: {column.type}")
        return None
    found = type(value)
    if found is type_:
        if type_ is int and column.type in _BITS:
            most = 1 << (_BITS[column.type] - 1)
            if INT_NULL <= -most <= value < most:
                return value
        elif column.type == "date":
            return dt.date.fromisoformat(value)
        elif type_ is not int:
            return value
    elif column.type == "float64" and found is int:
        return float(value)
    inside = _INSIDE.get(column.type)
    if inside and found is list and all(x is None or type(x) in inside for x in value):
        return value
    raise ValueError(f"{column.name} is {value!r:.60}; allowed: {column.type}")
