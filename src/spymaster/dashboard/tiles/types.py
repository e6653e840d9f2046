"""What type a value has: a declaration that makes no sense fails when it is made."""

from __future__ import annotations

from typing import get_args

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
from spymaster.dashboard.tiles.times import columns as table_columns
from spymaster.errors import ContractError

_NUMBERS = ("long", "real")
_DAY_S = 86_400


def type_of(e: Expression, columns: Columns) -> Type:
    """An expression's type over rows of these columns. ContractError when it has none."""
    match e:
        case Column(name):
            if name not in columns:
                raise _wrong(e, f"no column {name}", f"one of {', '.join(columns)}")
            return columns[name]
        case Literal(value):
            if isinstance(value, bool):
                return "bool"
            return (
                "string" if isinstance(value, str) else "long" if isinstance(value, int) else "real"
            )
        case Nothing():
            return "real"
        case Binary():
            return _binary(e, type_of(e.left, columns), type_of(e.right, columns))
        case Unary(function, of):
            return _unary(e, function, type_of(of, columns))
        case Either(condition, then, otherwise):
            _is(e, type_of(condition, columns), "bool")
            return _one(e, {type_of(then, columns), type_of(otherwise, columns)})
        case Pick(_, options):
            return _one(e, {type_of(x, columns) for _, x in options})
        case Bin(of, seconds):
            if seconds <= 0 or _DAY_S % seconds:
                raise _wrong(e, f"an interval of {seconds} s", "seconds that divide a day")
            return _is(e, type_of(of, columns), "datetime")
        case Seconds(later, earlier):
            _is(e, type_of(later, columns), "datetime")
            _is(e, type_of(earlier, columns), "datetime")
            return "real"
    raise _wrong(e, "an unknown expression", "those of dashboard/tiles/expression.py")


def columns_of(query: Query) -> dict[str, Type]:
    """A query's columns in order. ContractError when it cannot be made."""
    match query:
        case Rows(table, _):
            return table_columns(table)
        case Where(source, condition):
            _is(condition, type_of(condition, source.columns), "bool")
            return source.columns
        case Extend(source, added):
            return source.columns | {n: type_of(e, source.columns) for n, e in added}
        case Project(source, kept):
            return {n: type_of(e, source.columns) for n, e in kept}
        case Summarize(source, by, aggregates):
            keys = {n: type_of(e, source.columns) for n, e in by}
            for n, a in aggregates:
                if a.by and n in source.columns and a.of != Column(n):
                    raise _wrong(a, f"{n} is a column, too", "a new name, or the column's own")
            return keys | {n: _aggregate(a, source.columns) for n, a in aggregates}
        case Join():
            return _join(query)
        case Sort(source, by):
            for name, _ in by:
                type_of(Column(name), source.columns)
            return source.columns
        case Take(source, _):
            return source.columns
        case Union(of):
            if any(q.columns != of[0].columns for q in of):
                raise _wrong(query, "different columns", "queries of the same columns")
            return of[0].columns
        case Unpivot(source, index, placed):
            if len({len(places) for _, places in placed}) != 1:
                raise _wrong(query, "columns of different length", "as many places in each")
            new = {
                n: _one(query, {type_of(e, source.columns) for e in places}) for n, places in placed
            }
            return source.columns | {index: "long"} | new
        case Decompose(source, anomaly, at, by):
            have = source.columns
            _is(query, type_of(Column(at), have), "datetime")
            if type_of(Column(anomaly.column), have) not in _NUMBERS:
                raise _wrong(query, f"{anomaly.column}, no number", "a column of numbers")
            keys = {n: type_of(Column(n), have) for n in by}
            made: dict[str, Type] = {
                at: "datetime",
                anomaly.column: "real",
                "flag": "long",
                "score": "real",
                "baseline": "real",
            }
            return keys | made
    raise _wrong(query, "an unknown query", "those of dashboard/tiles/query.py")


def _join(query: Join) -> dict[str, Type]:
    left, right = query.left.columns, query.right.columns
    for name in query.on:
        if left.get(name) is None or left[name] != right.get(name):
            raise _wrong(query, f"{name} is not in both", "columns of the same type in both")
    if twice := (left.keys() & right.keys()) - set(query.on):
        raise _wrong(query, f"{', '.join(sorted(twice))} in both", "other names: use .keep(...)")
    return left | right


def _binary(e: Binary, left: Type, right: Type) -> Type:
    both = {left, right}
    if e.operator in ("and", "or"):
        return _is(e, _one(e, both), "bool")
    if e.operator in ("==", "!=", "<", "<=", ">", ">="):
        if not both <= set(_NUMBERS):
            _one(e, both)
        return "bool"
    if not both <= set(_NUMBERS):
        raise _wrong(e, f"{left} {e.operator} {right}", "numbers; of two times: Seconds")
    return "real" if e.operator == "/" or "real" in both else "long"


def _unary(e: Expression, function: str, of: Type) -> Type:
    if function == "missing":
        return "bool"
    if function == "not":
        return _is(e, of, "bool")
    if of not in _NUMBERS:
        raise _wrong(e, f"{function} of a {of}", "a number")
    return of if function == "abs" else "real"


def _aggregate(a: Aggregate, columns: Columns) -> Type:
    if a.of is None:
        return "long"
    of = type_of(a.of, columns)
    if a.by:
        type_of(Column(a.by), columns)
    if a.measure == "count_if":
        _is(a, of, "bool")
        return "long"
    if a.measure in ("sum", "avg", "p95") and of not in _NUMBERS:
        raise _wrong(a, f"{a.measure} of a {of}", "a number")
    return "real" if a.measure == "avg" else of


def _is(where: object, found: Type, wanted: Type) -> Type:
    if found != wanted:
        raise _wrong(where, f"a {found}", f"a {wanted}")
    return found


def _one(where: object, found: set[Type]) -> Type:
    if len(found) != 1:
        raise _wrong(where, " and ".join(sorted(found)), f"one type of {', '.join(get_args(Type))}")
    return found.pop()


def _wrong(where: object, found: str, allowed: str) -> ContractError:
    text = str(where)
    text = text if len(text) < 200 else text[:200] + "..."
    return ContractError(f"tile: {text}: {found}. Allowed: {allowed}")
