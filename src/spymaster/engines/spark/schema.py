"""A contract as Spark spells it."""

from __future__ import annotations

from typing import Any

from spymaster.contracts.column import Column, Table

_TYPES = {
    "string": "STRING",
    "int64": "BIGINT",
    "int32": "INT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "list<float64>": "ARRAY<DOUBLE>",
    "list<string>": "ARRAY<STRING>",
}


def quoted(text: str) -> str:
    """A literal of Spark's SQL.

    >>> print(quoted("the venue's number"))
    'the venue\\'s number'
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def column_ddl(column: Column) -> str:
    """A column of CREATE TABLE, with its meaning as comment.

    >>> column_ddl(Column("price", "int64", "null when undefined", "1e-9 currency", null=True))
    "`price` BIGINT COMMENT 'null when undefined (1e-9 currency)'"
    """
    unit = f" ({column.unit})" if column.unit else ""
    null = "" if column.null else " NOT NULL"
    return f"`{column.name}` {_TYPES[column.type]}{null} COMMENT {quoted(column.meaning + unit)}"


def rows_ddl(table: Table, *more: str) -> str:
    """The schema of rows on their way to a table, and of `more` columns behind them.

    Without NOT NULL: what may be missing is checked where rows are made, and by Delta.
    """
    return ", ".join([*(f"`{c.name}` {_TYPES[c.type]}" for c in table.columns), *more])


def create_statement(
    table: Table, uri: str, properties: dict[str, Any], called: str | None = None
) -> str:
    """CREATE TABLE of a contract at a place; `called`: its name in a catalog, if it has one."""
    columns = ", ".join(column_ddl(c) for c in table.columns)
    cut = f" PARTITIONED BY ({', '.join(table.partition)})" if table.partition else ""
    told = ", ".join(f"{quoted(k)} = {quoted(str(v))}" for k, v in properties.items())
    return (
        f"CREATE TABLE IF NOT EXISTS {called or f'delta.`{uri}`'} ({columns}) USING DELTA{cut}"
        + (f" LOCATION {quoted(uri)}" if called else "")
        + f" COMMENT {quoted(table.meaning)}"
        + (f" TBLPROPERTIES ({told})" if told else "")
    )
