"""Rows and messages as JSON: null stands for NaN and for null, floats round-trip."""

from __future__ import annotations

from typing import Any

from spymaster.contracts.column import Column, Table
from spymaster.contracts.topics import Message

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_INT64 = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
_INT32 = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "int64": _INT64,
    "int32": _INT32,
    "float64": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    "list<float64>": {"type": "array", "items": {"type": ["number", "null"]}},
    "list<string>": {"type": "array", "items": {"type": "string"}},
}


def json_schema(what: Table | Message) -> dict[str, Any]:
    """The JSON Schema of one row, or of one message.

    A list's numbers may be null (NaN). Columns that may be null must still be there,
    except traces and what a message does not require.
    """
    message = what if isinstance(what, Message) else None
    table = what.table if isinstance(what, Message) else what
    required = message.required if message else None
    instead = message.instead if message else {}
    return {
        "$schema": DIALECT,
        "title": what.name,
        "description": what.meaning,
        "x-version": table.version,
        "type": "object",
        "properties": {c.name: _property(c, instead.get(c.name)) for c in table.columns},
        "required": list(required or [c.name for c in table.columns if c.kind == "fact"]),
        "additionalProperties": False,
    }


def _property(column: Column, instead: dict[str, Any] | None) -> dict[str, Any]:
    schema = dict(instead or _TYPES[column.type])
    if column.values:
        schema["enum"] = [*column.values, None] if column.null else list(column.values)
    if column.null and isinstance(schema["type"], str):
        schema["type"] = [schema["type"], "null"]
    unit = f" ({column.unit})" if column.unit and not instead else ""
    return {**schema, "description": column.meaning + unit}
