"""Two lakes, tables or runs: are the facts the same, and if not, where do they part?

Equality is the contracts': multisets of rows over fact columns, sorted by key, floats by bit
pattern (one NaN), null unlike NaN; never files, their order or their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spymaster.contracts import TABLES
from spymaster.contracts.column import Column, Table
from spymaster.errors import LakeError
from spymaster.lake import delta, read
from spymaster.lake.compare import Compared, compare
from spymaster.lake.tables import Lake

#: Rows compared at once: larger partitions are cut along time.
SLICE = 1 << 19


@dataclass
class Difference:
    """What was compared, table by table, and what is not the same."""

    tables: dict[str, Compared] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        return all(t.equal for t in self.tables.values())

    @property
    def rows(self) -> dict[str, tuple[int, int]]:
        """Table -> rows compared on each side."""
        return {name: t.rows for name, t in self.tables.items()}

    def lines(self) -> list[str]:
        """One line per table, and for a table that differs the first row and column."""
        return [line for name, t in self.tables.items() for line in _lines(name, t)]

    def __str__(self) -> str:
        return "\n".join([*self.lines(), "equal" if self.equal else "different"])


def _lines(name: str, t: Compared) -> list[str]:
    if t.equal:
        return [f"{name}: {t.rows[0]} rows, equal"]
    return [
        f"{name}: {t.rows[0]} rows in A, {t.rows[1]} in B: {t.changed} differ, "
        f"{t.only_a} only in A, {t.only_b} only in B",
        f"  first: {t.first}",
    ]


Side: TypeAlias = str | Path | Lake | Any  #: Any: a pyarrow.Table


def diff(
    a: Side,
    b: Side,
    table: str | Table | tuple[str, str] | None = None,
    *,
    tables: Mapping[str, Table] | None = None,
    slice_rows: int = SLICE,
    where: Mapping[str, Any] | None = None,
) -> Difference:
    """Compare two roots (all tables, or ``table``), two table folders, or two Arrow tables.

    ``table`` may be a pair of names, such as a table and its ``_stream`` twin: then the facts that
    both contracts have are compared. Rows with null ``action`` (control records) are left out.
    ``where``: only rows with these values, such as {"session_date": ..., "underlier": ...}; a pair
    (low, high) stands for low <= column < high, a list for any of its values. A table that one
    root lacks is empty there. Raises LakeError where there is nothing to compare.
    """
    known = dict(TABLES if tables is None else tables)
    if isinstance(table, Table):
        known[table.name] = table
        table = table.name
    if isinstance(a, pa.Table) or isinstance(b, pa.Table):
        return _arrow(a, b, table, known, slice_rows)
    lake_a, name_a = _resolve(a, known)
    lake_b, name_b = _resolve(b, known)
    pairs = _pairs(lake_a, lake_b, table, (name_a, name_b))
    result = Difference()
    for one, other in pairs:
        left, right = _Stored(lake_a, one), _Stored(lake_b, other)
        label = one if one == other else f"{one} / {other}"
        result.tables[label] = _table(left, right, slice_rows, where or {})
    return result


def _arrow(a: Any, b: Any, table: Any, known: dict[str, Table], slice_rows: int) -> Difference:
    if not (isinstance(a, pa.Table) and isinstance(b, pa.Table) and table in known):
        raise LakeError("diff: two Arrow tables need each other, and the name of their contract.")
    left, right = _Held(a, known[table]), _Held(b, known[table])
    return Difference({table: _table(left, right, slice_rows, {})})


def _resolve(side: Any, known: dict[str, Table]) -> tuple[Lake, str | None]:
    """A root, or a table's folder: its lake, and the table if it is one."""
    if isinstance(side, Lake):
        return side, None
    text = str(side).rstrip("/")
    for name, table in known.items():
        if text.endswith(f"/{delta.folder(table)}"):
            lake = Lake(text.removesuffix(f"/{delta.folder(table)}"), tables=known)
            lake.open(name)
            return lake, name
    lake = Lake(text, tables=known)
    if not lake.existing():
        raise LakeError(
            f"{text}: no table lies there. Name a root (the folder with lake/ in it) "
            "or a table's folder, such as ROOT/lake/silver/bar_5s."
        )
    return lake, None


def _pairs(
    a: Lake, b: Lake, table: str | tuple[str, str] | None, folders: tuple[str | None, str | None]
) -> list[tuple[str, str]]:
    if folders[0] and folders[1]:
        return [(folders[0], folders[1])]
    if folders[0] or folders[1]:
        raise LakeError("diff: a root and a table's folder. Name two roots or two folders.")
    if table is not None:
        one, other = (table, table) if isinstance(table, str) else table
        if not (a.exists(one) or b.exists(other)):
            raise LakeError(f"diff: neither {a.root} has {one} nor {b.root} {other}.")
        return [(one, other)]
    # Lineage says how rows were come by: it holds no fact to compare.
    return [
        (name, name)
        for name, contract in a.tables.items()
        if contract.facts and (a.exists(name) or b.exists(name))
    ]


class _Stored:
    """A table of a lake; one that is not there is empty."""

    def __init__(self, lake: Lake, name: str) -> None:
        self._lake, self._name, self.table = lake, name, lake.table(name)

    def partitions(self) -> list[dict[str, str]]:
        return self._lake.partitions(self._name)

    def rows(self, names: list[str], where: Any) -> Any:
        # Strings stay codes: a day of MBO has few of them and many rows.
        if not self._lake.exists(self._name):
            return self._lake.scan(self._name, names, missing_ok=True)
        opened = self._lake.snapshot(self._name)
        return read.scan(opened, self._lake.place, self.table, names, where, dictionary=True)


class _Held:
    """Rows in memory."""

    def __init__(self, rows: Any, table: Table) -> None:
        self._rows, self.table = rows, table

    def partitions(self) -> list[dict[str, str]]:
        return []

    def rows(self, names: list[str], where: Any) -> Any:
        rows = self._rows.select(names)
        return rows if where is None else self._rows.filter(where).select(names)


def _table(
    a: _Stored | _Held, b: _Stored | _Held, slice_rows: int, asked: Mapping[str, Any]
) -> Compared:
    names, keys = _facts(a.table, b.table)
    whole = Compared()
    spans = {n: v for n, v in asked.items() if isinstance(v, tuple | list)}
    for part in _partitions(a, b):
        values = {n: str(v) for n, v in asked.items() if n in part and n not in spans}
        if not values.items() <= part.items():
            continue
        where = read.expression(a.table, part) if part else None
        for name, given in spans.items():
            where = _and(where, _within(pc.field(name), given))
        for piece in _slices(a, b, where, slice_rows):
            left, right = (_clean(s, names, piece) for s in (a, b))
            whole += compare(left, right, keys)
    return whole


def _facts(a: Table, b: Table) -> tuple[list[str], list[str]]:
    """The columns to compare, and the keys to sort by, time first."""
    streamed = a.name.endswith("_stream") or b.name.endswith("_stream")
    names = [n for n in a.facts if n in b.facts and not (streamed and n == "label")]
    keys = [n for n in a.keys if n in names]
    if not keys:
        raise LakeError(f"diff: {a.name} and {b.name} share no key column.")
    time = _time(a, b)
    return names, sorted(keys, key=lambda n: time is None or n != time.name)


def _time(a: Table, b: Table) -> Column | None:
    """The column to cut along: a key in ns, else another fact in ns."""
    times = [
        c
        for c in a.columns
        if c.unit == "ns UTC" and c.kind == "fact" and not c.null and c.name in b.facts
    ]
    return next(iter(sorted(times, key=lambda c: not c.key)), None)


def _partitions(a: _Stored | _Held, b: _Stored | _Held) -> list[dict[str, str]]:
    if a.table.partition != b.table.partition or not a.table.partition:
        return [{}]
    found = {tuple(p.values()): p for p in (*a.partitions(), *b.partitions())}
    return [found[text] for text in sorted(found)] or [{}]


def _slices(a: _Stored | _Held, b: _Stored | _Held, where: Any, slice_rows: int) -> Iterator[Any]:
    """Filters that cut a partition along time into pieces of about ``slice_rows`` rows."""
    time = _time(a.table, b.table)
    if time is None:
        yield where
        return
    stamps = [np.sort(s.rows([time.name], where)[time.name].to_numpy()) for s in (a, b)]
    longest = max(stamps, key=len)
    cuts = np.unique(longest[slice_rows::slice_rows]).tolist()
    for low, high in zip([None, *cuts], [*cuts, None], strict=True):
        piece = where
        if low is not None:
            piece = _and(piece, pc.field(time.name) >= low)
        if high is not None:
            piece = _and(piece, pc.field(time.name) < high)
        yield piece


def _within(field: Any, given: tuple[Any, Any] | list[Any]) -> Any:
    if isinstance(given, list):
        return field.isin(given)
    return (field >= given[0]) & (field < given[1])


def _and(one: Any, other: Any) -> Any:
    return other if one is None else one & other


def _clean(side: _Stored | _Held, names: list[str], where: Any) -> Any:
    rows = side.rows(names, where)
    if "action" in names and side.table.by_name["action"].null:
        # As plain strings: where a file has nothing but nulls, null is a word of the dictionary.
        rows = rows.filter(pc.is_valid(rows["action"].cast(pa.string())))
    return _plain(rows)


def _plain(rows: Any) -> Any:
    """Strings of both sides in one form: codes."""
    schema = rows.schema
    for i, f in enumerate(schema):
        if pa.types.is_string(f.type):
            schema = schema.set(i, f.with_type(pa.dictionary(pa.int32(), pa.string())))
    return rows.cast(schema)
