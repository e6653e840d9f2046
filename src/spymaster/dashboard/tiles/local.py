"""A tile's query, answered with Polars from a source's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import polars.selectors as cs

from spymaster.contracts.kql import identity
from spymaster.dashboard.tiles import times
from spymaster.dashboard.tiles.expression import (
    Bin,
    Binary,
    Column,
    Either,
    Expression,
    Literal,
    Nothing,
    Pick,
    Seconds,
    Type,
    Unary,
    columns_in,
)
from spymaster.dashboard.tiles.query import (
    Aggregate,
    Columns,
    Decompose,
    Extend,
    Join,
    Project,
    Query,
    Rows,
    Sort,
    Summarize,
    Take,
    Union,
    Unpivot,
    Where,
)
from spymaster.dashboard.tiles.types import type_of
from spymaster.errors import ContractError

if TYPE_CHECKING:
    from spymaster.dashboard.tiles.tile import Source, Tile, View

#: Contract's type -> Polars'.
DTYPES: dict[str, Any] = {
    "string": pl.String,
    "int64": pl.Int64,
    "int32": pl.Int32,
    "float64": pl.Float64,
    "bool": pl.Boolean,
    "date": pl.Date,
    "list<float64>": pl.List(pl.Float64),
    "list<string>": pl.List(pl.String),
}
_FLOATS = cs.float()


def evaluate(tile: Tile, source: Source, view: View) -> pl.DataFrame:
    """The tile's rows in its query's columns."""
    made = _Evaluation(source, view, tile.values(view)).of(tile.query, tile.query.columns)
    return _no_nan(made.select(list(tile.query.columns))).collect()


def nothing(table: str) -> pl.DataFrame:
    """No rows of a table, with its columns."""
    return pl.DataFrame(schema={c.name: DTYPES[c.type] for c in times.table(table).columns})


class _Evaluation:
    """One run; a table's rows are fetched once per time and set of columns."""

    def __init__(self, source: Source, view: View, values: Mapping[str, str]) -> None:
        self._source, self._view, self._values = source, view, values

    def of(self, query: Query, wanted: Iterable[str]) -> pl.LazyFrame:
        """A query's rows with at least the wanted of its columns; nothing is computed yet."""
        want = set(wanted)
        match query:
            case Rows():
                return self._rows(query, want)
            case Where(source, condition):
                rows = self.of(source, want | columns_in(condition))
                return rows.filter(self.value(condition, source.columns))
            case Extend(source, added):
                mine = [(n, e) for n, e in added if n in want]
                kept = want - {n for n, _ in added}
                rows = self.of(source, kept.union(*(columns_in(e) for _, e in mine)))
                return rows.with_columns(self._named(mine, source.columns))
            case Project(source, kept):
                mine = [(n, e) for n, e in kept if n in want]
                rows = self.of(source, set().union(*(columns_in(e) for _, e in mine)))
                return rows.select(self._named(mine, source.columns))
            case Summarize():
                return self._summarize(query)
            case Join(left, right, on, how):
                ours = self.of(left, (want & left.columns.keys()) | set(on))
                theirs = self.of(right, (want & right.columns.keys()) | set(on))
                theirs = theirs.select([n for n in right.columns if n in want | set(on)])
                ours = ours.select([n for n in left.columns if n in want | set(on)])
                return ours.join(theirs, on=list(on), how=how, maintain_order="left_right")
            case Sort(source, by):
                rows = self.of(source, want | {n for n, _ in by})
                names, descending = [n for n, _ in by], [d for _, d in by]
                return rows.sort(names, descending=descending, nulls_last=True, maintain_order=True)
            case Take(source, n):
                return self.of(source, want).head(n)
            case Union(of):
                names = [n for n in query.columns if n in want]
                return pl.concat([self.of(q, want).select(names) for q in of])
            case Unpivot():
                return self._unpivot(query, want)
            case Decompose():
                return self._decompose(query)
        raise ContractError(f"tile: {type(query).__name__} has no local form")

    def _rows(self, query: Rows, want: set[str]) -> pl.LazyFrame:
        table, view = times.table(query.table), self._view
        time = times.TIME[query.table]
        have = table.by_name
        keys = identity(table)
        scope = {"underlier", "contract_id"} & have.keys()
        names = [n for n in have if n in want | {*keys} | scope or n == time]
        start = view.start - query.reach_ns
        found = self._source.rows(query.table, replace(view, start=start), names).lazy()
        rows = found.select(pl.col(n).cast(DTYPES[have[n].type]) for n in names)
        if time is not None:
            rows = rows.filter((pl.col(time) >= start) & (pl.col(time) < view.end))
        if view.underlier is not None and "underlier" in scope:
            rows = rows.filter(pl.col("underlier") == view.underlier)
        if view.contracts and "contract_id" in scope:
            rows = rows.filter(pl.col("contract_id").is_in(list(view.contracts)))
        if not self._source.once:
            rows = rows.unique(keys, keep="any", maintain_order=True)
        return _no_nan(rows)

    def _summarize(self, query: Summarize) -> pl.LazyFrame:
        columns = query.source.columns
        rows = self.of(query.source, set().union(*map(columns_in, query.expressions)))
        keys = self._named(query.by, columns)
        numbers = [self._aggregate(a, columns).alias(n) for n, a in query.aggregates]
        return rows.group_by(keys, maintain_order=True).agg(numbers)

    def _unpivot(self, query: Unpivot, want: set[str]) -> pl.LazyFrame:
        columns = query.source.columns
        kept = want & columns.keys()
        # Computed here: each place would compute it anew.
        rows = self.of(query.source, kept.union(*map(columns_in, query.expressions))).collect()
        n = len(query.placed[0][1])
        parts = [
            rows.lazy().select(
                *sorted(kept - {query.index} - {name for name, _ in query.placed}),
                pl.lit(i, pl.Int64).alias(query.index),
                *(self.value(places[i], columns).alias(name) for name, places in query.placed),
            )
            for i in range(n)
        ]
        return pl.concat(parts)

    def _decompose(self, query: Decompose) -> pl.LazyFrame:
        from spymaster.dashboard.tiles.series import decomposed

        a = query.anomaly
        rows = self.of(query.source, {*query.by, query.at, a.column}).collect()
        threshold = a.threshold
        if isinstance(threshold, Pick):
            chosen = dict(threshold.options)[self._values[threshold.parameter]]
            threshold = float(chosen.value) if isinstance(chosen, Literal) else float("nan")
        return decomposed(rows, replace(a, threshold=threshold), query.at, query.by).lazy()

    def value(self, e: Expression, columns: Columns) -> pl.Expr:
        """An expression as Polars has it."""
        match e:
            case Column(name):
                return pl.col(name)
            case Literal(value):
                return pl.lit(value, _dtype(type_of(e, columns)))
            case Nothing():
                return pl.lit(None, pl.Float64)
            case Binary("!=") if type_of(e.left, columns) == "string":
                sides = [self.value(x, columns) for x in (e.left, e.right)]
                return pl.all_horizontal(sides[0] != sides[1], *(x != "" for x in sides))
            case Binary():
                return _binary(e, self.value(e.left, columns), self.value(e.right, columns))
            case Unary(function, of):
                return _unary(function, self.value(of, columns), type_of(of, columns))
            case Either(condition, then, otherwise):
                chosen = pl.when(self.value(condition, columns)).then(self.value(then, columns))
                return chosen.otherwise(self.value(otherwise, columns))
            case Pick(parameter, options):
                return self.value(dict(options)[self._values[parameter]], columns)
            case Bin(of, seconds):
                width = seconds * 10**9
                return self.value(of, columns) // width * width
            case Seconds(later, earlier):
                return (self.value(later, columns) - self.value(earlier, columns)) / 1e9
        raise ContractError(f"tile: {type(e).__name__} has no local form")

    def _named(self, named: Iterable[tuple[str, Expression]], columns: Columns) -> list[pl.Expr]:
        return [self.value(e, columns).alias(n) for n, e in named]

    def _aggregate(self, a: Aggregate, columns: Columns) -> pl.Expr:
        if a.of is None:
            return pl.len().cast(pl.Int64)
        value = self.value(a.of, columns)
        match a.measure:
            case "count_if":
                return value.sum().cast(pl.Int64)
            case "sum":
                return value.sum()
            case "avg":
                return value.mean()
            case "min":
                return value.min()
            case "max":
                return value.max()
            case "any" | "first" if not a.by:
                return value.first()
            case "first":
                return value.sort_by(a.by).first()
            case "last":
                return value.sort_by(a.by).last()
            case "p95":
                return value.quantile(0.95, "equiprobable")
        raise ContractError(f"tile: {a.measure} has no local form")


def _binary(e: Binary, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    match e.operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return pl.when(right != 0).then(left.cast(pl.Float64) / right)
        case "==":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case ">=":
            return left >= right
        case "and":
            return left & right
    return left | right


def _unary(function: str, of: pl.Expr, type_: Type) -> pl.Expr:
    match function:
        case "abs":
            return of.abs()
        case "floor":
            return of.floor().cast(pl.Float64)
        case "log":
            return of.log()
        case "not":
            return ~of
        case "real":
            return of.cast(pl.Float64)
    return (of.is_null() | (of == "")) if type_ == "string" else of.is_null()


def _dtype(type_: Type) -> Any:
    return {"string": pl.String, "bool": pl.Boolean, "long": pl.Int64}.get(type_, pl.Float64)


def _no_nan(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.with_columns(_FLOATS.fill_nan(None))
