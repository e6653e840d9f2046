"""A small closed query language: what it says means the same in Polars and in KQL.

Each node is a table made of tables. Methods chain them in the order a reader expects:

>>> from spymaster.dashboard.tiles.expression import col
>>> rows("gold.feature_series").where(col("ofi") > 0).keep("contract_id", "ofi").columns
{'contract_id': 'string', 'ofi': 'long'}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal as OneOf

from spymaster.dashboard.tiles.expression import (
    Expression,
    Operand,
    Pick,
    Type,
    col,
    given,
)

Measure = OneOf["count", "count_if", "sum", "avg", "min", "max", "any", "p95", "first", "last"]
Columns = Mapping[str, Type]
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True)
class Aggregate:
    """One number of a group. `first` and `last` are the value at the group's least and greatest
    `by`; `p95` is the nearest rank (an estimate in KQL). Missing values are passed over."""

    measure: Measure
    of: Expression | None = None
    by: str = ""


@dataclass(frozen=True)
class Anomaly:
    """How `series_decompose_anomalies` is asked; seasonality 0 is none, k is k steps.

    `step_s`: the regular grid in seconds, absent steps filled linearly.
    """

    column: str
    threshold: float | Pick = 3.0
    seasonality: int = 0
    trend: OneOf["avg", "linefit", "none"] = "avg"
    method: OneOf["ctukey", "tukey"] = "ctukey"
    test_points: int = 0
    step_s: int = 5


class Query:
    """A table made by a query."""

    @property
    def sources(self) -> tuple[Query, ...]:
        """The queries directly inside it."""
        return ()

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions directly inside it."""
        return ()

    @cached_property
    def columns(self) -> dict[str, Type]:
        """Its columns in order, with their types. ContractError when it cannot be made."""
        from spymaster.dashboard.tiles.types import columns_of

        return columns_of(self)

    def where(self, condition: Expression) -> Where:
        """Rows for which it holds; not those where it is missing."""
        return Where(self, condition)

    def extend(self, **columns: Operand) -> Extend:
        """Further columns, or columns replaced."""
        return Extend(self, _named(columns))

    def keep(self, *names: str, **columns: Operand) -> Project:
        """These columns only, in this order."""
        return Project(self, tuple((n, col(n)) for n in names) + _named(columns))

    def group(self, *names: str, **columns: Operand) -> Grouped:
        """Rows of equal values, to be followed by `.get(...)`."""
        return Grouped(self, tuple((n, col(n)) for n in names) + _named(columns))

    def join(self, other: Query, on: Sequence[str], how: OneOf["inner", "left"] = "inner") -> Join:
        """Rows side by side where `on` is equal; no other column may be in both."""
        return Join(self, other, tuple(on), how)

    def sort(self, *by: str) -> Sort:
        """In the order of columns, `-name` from the greatest; missing values come last."""
        return Sort(self, tuple((b.removeprefix("-"), b.startswith("-")) for b in by))

    def top(self, n: int, *by: str) -> Take:
        """The first n in that order, which should leave no ties."""
        return Take(self.sort(*by), n)

    def unpivot(self, index: str, **columns: Sequence[Operand]) -> Unpivot:
        """Each row once per place 0, 1, ...: a column takes the expression of that place."""
        return Unpivot(
            self, index, tuple((k, tuple(given(x) for x in v)) for k, v in columns.items())
        )

    def decompose(self, anomaly: Anomaly, at: str, by: Sequence[str]) -> Decompose:
        """Series on a regular grid with `flag`, `score` and `baseline`; only `by`, `at` and the
        anomaly's column stay."""
        return Decompose(self, anomaly, at, tuple(by))


@dataclass(frozen=True)
class Rows(Query):
    """A table's rows in the view: of its window, underlier and contracts; once per key.

    The table's time (`times.TIME`) lies in [start - reach_ns, end).
    """

    table: str
    reach_ns: int = 0


@dataclass(frozen=True)
class Where(Query):
    source: Query
    condition: Expression

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.source,)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return (self.condition,)


@dataclass(frozen=True)
class Extend(Query):
    source: Query
    added: tuple[tuple[str, Expression], ...]

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.source,)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(e for _, e in self.added)


@dataclass(frozen=True)
class Project(Query):
    source: Query
    kept: tuple[tuple[str, Expression], ...]

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.source,)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(e for _, e in self.kept)


@dataclass(frozen=True)
class Grouped:
    """Groups of rows, before it is said what of each is wanted."""

    source: Query
    by: tuple[tuple[str, Expression], ...]

    def get(self, **aggregates: Aggregate) -> Summarize:
        """One row per group: its keys and these numbers."""
        return Summarize(self.source, self.by, tuple(aggregates.items()))


@dataclass(frozen=True)
class Summarize(Query):
    source: Query
    by: tuple[tuple[str, Expression], ...]
    aggregates: tuple[tuple[str, Aggregate], ...]

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.source,)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        inside = tuple(a.of for _, a in self.aggregates if a.of is not None)
        times = tuple(col(a.by) for _, a in self.aggregates if a.by)
        return tuple(e for _, e in self.by) + inside + times


@dataclass(frozen=True)
class Join(Query):
    left: Query
    right: Query
    on: tuple[str, ...]
    how: OneOf["inner", "left"] = "inner"

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.left, self.right)


@dataclass(frozen=True)
class Sort(Query):
    source: Query
    by: tuple[tuple[str, bool], ...]

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.source,)


@dataclass(frozen=True)
class Take(Query):
    source: Sort
    n: int

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.source,)


@dataclass(frozen=True)
class Union(Query):
    """Rows of several queries that have the same columns."""

    of: tuple[Query, ...]

    @property
    def sources(self) -> tuple[Query, ...]:
        return self.of


@dataclass(frozen=True)
class Unpivot(Query):
    source: Query
    index: str
    placed: tuple[tuple[str, tuple[Expression, ...]], ...]

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.source,)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        return tuple(e for _, places in self.placed for e in places)


@dataclass(frozen=True)
class Decompose(Query):
    source: Query
    anomaly: Anomaly
    at: str
    by: tuple[str, ...] = field(default=())

    @property
    def sources(self) -> tuple[Query, ...]:
        return (self.source,)


def rows(table: str, reach_ns: int = 0) -> Rows:
    """A table's rows in the view."""
    return Rows(table, reach_ns)


def walk(query: Query) -> list[Query]:
    """A query and every query inside it, innermost first."""
    return [q for s in query.sources for q in walk(s)] + [query]


def _named(columns: Mapping[str, Operand]) -> tuple[tuple[str, Expression], ...]:
    return tuple((name, given(value)) for name, value in columns.items())


def count() -> Aggregate:
    """Rows of the group."""
    return Aggregate("count")


def count_if(condition: Expression) -> Aggregate:
    """Rows for which it holds."""
    return Aggregate("count_if", condition)


def total(of: Expression) -> Aggregate:
    """Sum; 0 of none."""
    return Aggregate("sum", of)


def mean(of: Expression) -> Aggregate:
    """Mean; missing of none."""
    return Aggregate("avg", of)


def lowest(of: Expression) -> Aggregate:
    """Least value."""
    return Aggregate("min", of)


def highest(of: Expression) -> Aggregate:
    """Greatest value."""
    return Aggregate("max", of)


def same(of: Expression) -> Aggregate:
    """The value that all rows of the group share."""
    return Aggregate("any", of)


def p95(of: Expression) -> Aggregate:
    """95th percentile by nearest rank."""
    return Aggregate("p95", of)


def first(of: str, by: str) -> Aggregate:
    """The value at the least `by`."""
    return Aggregate("first", col(of), by)


def last(of: str, by: str) -> Aggregate:
    """The value at the greatest `by`."""
    return Aggregate("last", col(of), by)
