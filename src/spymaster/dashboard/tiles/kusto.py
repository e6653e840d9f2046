"""A tile's query as KQL text, over the tables and views of contracts/kql.py."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from spymaster.contracts.kql import once
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
    from spymaster.dashboard.tiles.tile import Tile

#: What the dashboard gives every tile, in KQL's types.
GIVEN = {
    "_startTime": "datetime",
    "_endTime": "datetime",
    "_underlier": "string",
    "_contract": "dynamic",
}


def variables(tile: Tile) -> dict[str, str]:
    """The variables that a tile's text uses, with their types in KQL."""
    text = compiled(tile.query)
    have = GIVEN | {f"_{p.name}": "string" for p in tile.parameters}
    return {name: type_ for name, type_ in have.items() if re.search(rf"\b{name}\b", text)}


def compiled(query: Query) -> str:
    """The text, one operator per line; `let` statements come first."""
    text = _Text()
    lines = text.of(query)
    return "\n".join([*text.lets, *lines]) + "\n"


class _Text:
    def __init__(self) -> None:
        self.lets: list[str] = []

    def of(self, query: Query) -> list[str]:
        """The lines of a query: a table and its operators."""
        match query:
            case Rows():
                return _rows(query)
            case Where(source, condition):
                return [*self.of(source), f"| where {_plain(condition, source.columns)}"]
            case Extend(source, added):
                return [*self.of(source), f"| extend {_list(added, source.columns)}"]
            case Project(source, kept):
                return [*self.of(source), f"| project {_list(kept, source.columns)}"]
            case Summarize():
                return [*self.of(query.source), *_summarize(query)]
            case Join(left, right, on, how):
                kind = {"inner": "inner", "left": "leftouter"}[how]
                inside = self.of(right)
                return [
                    *self.of(left),
                    f"| join kind={kind} (",
                    *("    " + line for line in inside),
                    f"  ) on {', '.join(on)}",
                    f"| project {', '.join(query.columns)}",
                ]
            case Sort(source, by):
                order = ", ".join(f"{n} {'desc' if d else 'asc'} nulls last" for n, d in by)
                return [*self.of(source), f"| sort by {order}"]
            case Take(source, n):
                return [*self.of(source), f"| take {n}"]
            case Union(of):
                return self._union(of)
            case Unpivot():
                return self._unpivot(query)
            case Decompose():
                return self._decompose(query)
        raise ContractError(f"tile: {type(query).__name__} has no KQL form")

    def _union(self, of: tuple[Query, ...]) -> list[str]:
        lines = ["union"]
        for i, query in enumerate(of):
            inside = self.of(query)
            lines += ["  (", *("    " + line for line in inside)]
            lines += ["  )" + ("," if i + 1 < len(of) else "")]
        return lines

    def _unpivot(self, query: Unpivot) -> list[str]:
        n, columns = len(query.placed[0][1]), query.source.columns
        places = ", ".join(map(str, range(n)))
        lines = [
            *self.of(query.source),
            f"| mv-expand {query.index} = dynamic([{places}]) to typeof(long)",
        ]
        for name, values in query.placed:
            null = _null(type_of(values[0], columns))
            cases = ", ".join(
                f"{query.index} == {i}, {_plain(e, columns)}" for i, e in enumerate(values)
            )
            lines.append(f"| extend {name} = case({cases}, {null})")
        return lines

    def _decompose(self, query: Decompose) -> list[str]:
        a, at, n = query.anomaly, query.at, len(self.lets) // 3
        step, rows = f"{a.step_s}s", f"_rows{n}"
        inside = [*self.of(query.source), f"| where isnotnull({a.column})"]
        ends = [
            f"let _{end}{n} = bin(coalesce(toscalar({rows} | summarize {f}({at})), "
            f"_startTime), {step});"
            for end, f in (("from", "min"), ("to", "max"))
        ]
        self.lets += ["\n".join([f"let {rows} =", *("    " + x for x in inside)]) + ";", *ends]
        by = f" by {', '.join(query.by)}" if query.by else ""
        threshold = _plain(a.threshold, {}) if isinstance(a.threshold, Pick) else repr(a.threshold)
        asked = f"{threshold}, {a.seasonality}, '{a.trend}', {a.test_points}, '{a.method}'"
        return [
            rows,
            f"| make-series {a.column} = avg(todouble({a.column})) default = real(null) "
            f"on {at} from _from{n} to _to{n} + {step} step {step}{by}",
            f"| extend {a.column} = series_fill_linear({a.column})",
            f"| extend (flag, score, baseline) = series_decompose_anomalies({a.column}, {asked})",
            f"| mv-expand {at} to typeof(datetime), {a.column} to typeof(real), "
            "flag to typeof(long), score to typeof(real), baseline to typeof(real)",
            f"| project {', '.join(query.columns)}",
        ]


def _rows(query: Rows) -> list[str]:
    time, have = times.TIME[query.table], times.columns(query.table)
    lines = [once(times.table(query.table))]
    if time is not None:
        start = f"_startTime - {query.reach_ns // 10**9}s" if query.reach_ns else "_startTime"
        lines.append(f"| where {time} >= {start} and {time} < _endTime")
    if "underlier" in have:
        lines.append("| where isempty(_underlier) or underlier == _underlier")
    if "contract_id" in have:
        whole = "isempty(_contract) or array_length(_contract) == 0"
        lines.append(f"| where {whole} or contract_id in (_contract)")
    return lines


def _summarize(query: Summarize) -> list[str]:
    columns = query.source.columns
    ends = [(n, a.of) for n, a in query.aggregates if a.by and a.of is not None]
    # What arg_min and arg_max return is named before, since not every engine names it after.
    named = tuple((n, of) for n, of in ends if of != Column(n))
    wanted = ", ".join(_aggregate(n, a, columns) for n, a in query.aggregates)
    lines = [f"| extend {_list(named, columns)}"] if named else []
    lines.append(f"| summarize {wanted} by {_list(query.by, columns)}")
    # They name a column for the time, too.
    return [*lines, f"| project {', '.join(query.columns)}"] if ends else lines


def _aggregate(name: str, a: Aggregate, columns: Columns) -> str:
    of = _plain(a.of, columns) if a.of is not None else ""
    match a.measure:
        case "count":
            return f"{name} = count()"
        case "count_if":
            return f"{name} = countif({of})"
        case "any":
            return f"{name} = take_any({of})"
        case "first":
            return f"(_{name}, {name}) = arg_min({a.by}, {name})"
        case "last":
            return f"(_{name}, {name}) = arg_max({a.by}, {name})"
        case "p95":
            return f"{name} = percentile({of}, 95)"
    return f"{name} = {a.measure}({of})"


def _list(named: tuple[tuple[str, Expression], ...], columns: Columns) -> str:
    return ", ".join(n if e == Column(n) else f"{n} = {_plain(e, columns)}" for n, e in named)


def _plain(e: Expression, columns: Columns) -> str:
    text = _value(e, columns)
    return text[1:-1] if isinstance(e, Binary) and e.operator != "/" else text


def _value(e: Expression, columns: Columns) -> str:
    match e:
        case Column(name):
            return name
        case Literal(value):
            return json.dumps(value)
        case Nothing():
            return "real(null)"
        case Binary():
            left, right = _value(e.left, columns), _value(e.right, columns)
            if e.operator == "!=":
                return f"({' and '.join([f'{left} != {right}', *_known(e, columns)])})"
            if e.operator != "/":
                return f"({left} {e.operator} {right})"
            if isinstance(e.right, Literal):
                return f"(todouble({left}) / {right})"
            return f"iff({right} == 0, real(null), todouble({left}) / {right})"
        case Unary(function, of):
            return _unary(function, _plain(of, columns), type_of(of, columns))
        case Either(condition, then, otherwise):
            inside = (_plain(x, columns) for x in (condition, then, otherwise))
            return f"iff({', '.join(inside)})"
        case Pick(parameter, options):
            null = _null(type_of(e, columns))
            cases = (f"_{parameter} == '{k}', {_plain(x, columns)}" for k, x in options)
            return f"case({', '.join(cases)}, {null})"
        case Bin(of, seconds):
            return f"bin({_plain(of, columns)}, {seconds}s)"
        case Seconds(later, earlier):
            return f"(({_value(later, columns)} - {_value(earlier, columns)}) / 1s)"
    raise ContractError(f"tile: {type(e).__name__} has no KQL form")


def _known(e: Binary, columns: Columns) -> list[str]:
    """That there are values: KQL holds nothing to differ from something."""
    there = {"string": "isnotempty"}.get(type_of(e.left, columns), "isnotnull")
    sides = [x for x in (e.left, e.right) if not isinstance(x, Literal)]
    return [f"{there}({_plain(x, columns)})" for x in sides]


def _unary(function: str, of: str, type_: Type) -> str:
    match function:
        case "floor":
            return f"floor({of}, 1)"
        case "real":
            return f"todouble({of})"
        case "missing":
            return f"isempty({of})" if type_ == "string" else f"isnull({of})"
    return f"{function}({of})"


def _null(type_: Type) -> str:
    if type_ == "string":
        return "''"
    return f"{'datetime' if type_ == 'date' else type_}(null)"
