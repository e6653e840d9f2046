"""What a table is: columns with a type, a unit, a meaning, and whether they are facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

ColumnType = Literal[
    "string", "int64", "int32", "float64", "bool", "date", "list<float64>", "list<string>"
]
Kind = Literal["fact", "trace"]

#: The kernel's missing integer. Arrow and Delta see a null.
INT_NULL = -(2**63)


@dataclass(frozen=True)
class Column:
    """One column, declared once.

    A *fact* is what happened or was computed: two runs must agree on it bit for bit.
    A *trace* is when and how we came by it, and may differ.
    """

    name: str
    type: ColumnType
    meaning: str
    unit: str = ""
    null: bool = False
    key: bool = False
    kind: Kind = "fact"
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table: its columns in order, how it is cut into partitions, how rows arrive.

    ``append`` tables only grow; the others are replaced by whole partition. ``often``: committed
    every few seconds, so that its log is kept for a day only.
    A changed column is a new ``version`` with a line in the changelog.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    partition: tuple[str, ...] = ()
    append: bool = False
    version: int = 1
    often: bool = False

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        twice = {n for n in names if names.count(n) > 1}
        absent = set(self.partition) - set(names)
        if twice or absent or not any(c.key for c in self.columns):
            raise ValueError(
                f"{self.name}: columns twice {twice}, partition without column {absent}"
            )

    @property
    def layer(self) -> str:
        """``bronze``, ``silver``, ``gold`` or ``lineage``."""
        return self.name.split(".")[0]

    @property
    def path(self) -> str:
        """Place under the lake's root, such as ``silver/bar_5s``."""
        return self.name.replace(".", "/")

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {c.name: c for c in self.columns}

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    @property
    def keys(self) -> list[str]:
        return [c.name for c in self.columns if c.key]

    @property
    def facts(self) -> list[str]:
        return [c.name for c in self.columns if c.kind == "fact"]

    @property
    def stored(self) -> list[Column]:
        """The columns inside the Parquet files: all but the partition's."""
        return [c for c in self.columns if c.name not in self.partition]


def key(name: str, type_: ColumnType, meaning: str, unit: str = "") -> Column:
    """A column of the row's identity."""
    return Column(name, type_, meaning, unit, key=True)


def fact(
    name: str,
    type_: ColumnType,
    meaning: str,
    unit: str = "",
    *,
    null: bool = False,
    values: Iterable[str] = (),
) -> Column:
    """What happened, or was computed from what happened."""
    return Column(name, type_, meaning, unit, null=null, values=tuple(values))


def trace(
    name: str, type_: ColumnType, meaning: str, unit: str = "", *, null: bool = True
) -> Column:
    """When and how we came by a row; left out of every comparison."""
    return Column(name, type_, meaning, unit, null=null, kind="trace")


INSTRUMENT_TYPES = ("FUT", "OPT", "STK")
PARTITION = ("session_date", "underlier", "instrument_type")


def session_columns() -> tuple[Column, ...]:
    """The partition of every table that is cut by session."""
    return (
        fact("session_date", "date", "trading session, by the day it ends on (New York)"),
        fact("underlier", "string", "root the contract belongs to, such as ES or TSLA"),
        fact("instrument_type", "string", "kind of contract", values=INSTRUMENT_TYPES),
    )
