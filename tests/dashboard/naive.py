"""The query language once more, slow and obvious: rows are dicts, a missing value is None."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from spymaster.contracts import TABLES
from spymaster.contracts.kql import identity
from spymaster.dashboard.tiles import TIME, Tile, View
from spymaster.dashboard.tiles import expression as ex
from spymaster.dashboard.tiles import query as qu
from tests.anomaly import oracle
from tests.dashboard.tables import Row, Tables


def evaluate(tile: Tile, tables: Tables, view: View) -> list[Row]:
    """The tile's rows in its columns."""
    found = _Naive(tables, view, tile.values(view)).rows(tile.query)
    return [{name: row[name] for name in tile.query.columns} for row in found]


def _clean(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


class _Naive:
    def __init__(self, tables: Tables, view: View, values: dict[str, str]) -> None:
        self.tables, self.view, self.values = tables, view, values

    def rows(self, q: qu.Query) -> list[Row]:
        match q:
            case qu.Rows(table, reach):
                return self.table(table, reach)
            case qu.Where(source, condition):
                return [r for r in self.rows(source) if self.value(condition, r) is True]
            case qu.Extend(source, added):
                return [{**r, **{n: self.value(e, r) for n, e in added}} for r in self.rows(source)]
            case qu.Project(source, kept):
                return [{n: self.value(e, r) for n, e in kept} for r in self.rows(source)]
            case qu.Summarize(source, by, aggregates):
                groups: dict[tuple[Any, ...], list[Row]] = {}
                for r in self.rows(source):
                    groups.setdefault(tuple(self.value(e, r) for _, e in by), []).append(r)
                return [
                    dict(zip([n for n, _ in by], key, strict=True))
                    | {n: self.aggregate(a, members) for n, a in aggregates}
                    for key, members in groups.items()
                ]
            case qu.Join(left, right, on, how):
                return self.join(self.rows(left), self.rows(right), on, how, list(right.columns))
            case qu.Sort(source, by):
                found = self.rows(source)
                for name, descending in reversed(by):
                    there = [r for r in found if r[name] is not None]
                    there.sort(key=lambda r: r[name], reverse=descending)
                    found = there + [r for r in found if r[name] is None]
                return found
            case qu.Take(source, n):
                return self.rows(source)[:n]
            case qu.Union(of):
                return [r for each in of for r in self.rows(each)]
            case qu.Unpivot(source, index, placed):
                return [
                    {**r, index: i, **{n: self.value(places[i], r) for n, places in placed}}
                    for r in self.rows(source)
                    for i in range(len(placed[0][1]))
                ]
            case qu.Decompose(source, anomaly, at, by):
                return self.decompose(self.rows(source), anomaly, at, by)
        raise AssertionError(q)

    def table(self, name: str, reach: int) -> list[Row]:
        time, view, seen, out = TIME[name], self.view, set(), []
        for row in self.tables[name]:
            key = tuple(row[k] for k in identity(TABLES[name]))
            if key in seen:
                continue
            seen.add(key)
            if time and not view.start - reach <= row[time] < view.end:
                continue
            if (
                view.underlier is not None
                and row.get("underlier", view.underlier) != view.underlier
            ):
                continue
            if view.contracts and row.get("contract_id", view.contracts[0]) not in view.contracts:
                continue
            out.append({k: _clean(v) for k, v in row.items()})
        return out

    @staticmethod
    def join(
        left: list[Row], right: list[Row], on: tuple[str, ...], how: str, columns: list[str]
    ) -> list[Row]:
        out = []
        for a in left:
            found = [b for b in right if all(a[k] == b[k] is not None for k in on)]
            if not found and how == "left":
                found = [{c: None for c in columns if c not in on}]
            out += [{**b, **a} for b in found]
        return out

    def value(self, e: ex.Expression, r: Row) -> Any:
        match e:
            case ex.Column(name):
                return r[name]
            case ex.Literal(value):
                return value
            case ex.Nothing():
                return None
            case ex.Binary(operator, a, b):
                return _binary(operator, self.value(a, r), self.value(b, r))
            case ex.Unary(function, of):
                return _unary(function, self.value(of, r))
            case ex.Either(condition, then, otherwise):
                return self.value(then if self.value(condition, r) is True else otherwise, r)
            case ex.Pick(parameter, options):
                return self.value(dict(options)[self.values[parameter]], r)
            case ex.Bin(of, seconds):
                at = self.value(of, r)
                return at - at % (seconds * 10**9)
            case ex.Seconds(later, earlier):
                a, b = self.value(later, r), self.value(earlier, r)
                return None if a is None or b is None else (a - b) / 1e9
        raise AssertionError(e)

    def aggregate(self, a: qu.Aggregate, rows: list[Row]) -> Any:
        if a.of is None:
            return len(rows)
        values = [self.value(a.of, r) for r in rows]
        there = [v for v in values if v is not None]
        if a.by:
            ends: Callable[..., Any] = min if a.measure == "first" else max
            return values[ends(range(len(rows)), key=lambda i: rows[i][a.by])]
        match a.measure:
            case "count_if":
                return sum(v is True for v in values)
            case "sum":
                return sum(there)
            case "avg":
                return math.fsum(there) / len(there) if there else None
            case "min":
                return min(there, default=None)
            case "max":
                return max(there, default=None)
            case "any":
                return values[0]
            case "p95":
                return sorted(there)[math.ceil(0.95 * len(there)) - 1] if there else None
        raise AssertionError(a)

    def decompose(
        self, rows: list[Row], anomaly: qu.Anomaly, at: str, by: tuple[str, ...]
    ) -> list[Row]:
        step = anomaly.step_s * 10**9
        rows = [r for r in rows if r[anomaly.column] is not None]
        if not rows:
            return []
        first, last = (f(r[at] // step for r in rows) for f in (min, max))
        threshold = anomaly.threshold
        if isinstance(threshold, ex.Pick):
            threshold = self.value(threshold, {})
        out = []
        for key in dict.fromkeys(tuple(r[k] for k in by) for r in rows):
            mine = [r for r in rows if tuple(r[k] for k in by) == key]
            grid: list[Fraction | None] = []
            for i in range(first, last + 1):
                here = [r[anomaly.column] for r in mine if r[at] // step == i]
                grid.append(Fraction(sum(here) / len(here)) if here else None)
            filled = _filled(grid)
            made = oracle.decompose(filled, anomaly.seasonality, anomaly.trend, 0)
            scores = oracle.outliers(made[3], anomaly.method)
            for i, flag in enumerate(oracle.flags(scores, threshold)):
                numbers = {"flag": flag, "score": scores[i], "baseline": float(made[0][i] or 0)}
                told = {at: (first + i) * step, anomaly.column: float(filled[i])}
                out.append({**dict(zip(by, key, strict=True)), **told, **numbers})
        return out


def _filled(grid: list[Fraction | None]) -> list[Fraction]:
    there = [i for i, v in enumerate(grid) if v is not None]
    out = []
    for i in range(len(grid)):
        before = max((k for k in there if k <= i), default=there[0])
        after = min((k for k in there if k >= i), default=there[-1])
        a, b = grid[before], grid[after]
        assert a is not None
        assert b is not None
        out.append(a if before == after else a + (b - a) * Fraction(i - before, after - before))
    return out


def _binary(operator: str, a: Any, b: Any) -> Any:
    if operator in ("and", "or"):
        decided = operator == "or"
        if a is decided or b is decided:
            return decided
        return None if a is None or b is None else not decided
    if a is None or b is None or (operator == "/" and b == 0):
        return None
    return {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: a / b,
        "==": lambda: a == b,
        "!=": lambda: a != b,
        "<": lambda: a < b,
        "<=": lambda: a <= b,
        ">": lambda: a > b,
        ">=": lambda: a >= b,
    }[operator]()


def _unary(function: str, v: Any) -> Any:
    if function == "missing":
        return v is None or v == ""
    if v is None:
        return None
    return {
        "abs": abs,
        "floor": lambda x: float(math.floor(x)),
        "log": math.log,
        "not": lambda x: not x,
        "real": float,
    }[function](v)
