"""Two sets of rows side by side: equal as multisets of facts, or where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spymaster.lake.codes import Codes, codes

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Finding:
    """The first row that is not the same: in both with another value, or in one only."""

    key: dict[str, Any]
    column: str | None  #: None: the row is in one side only
    a: Any
    b: Any

    def __str__(self) -> str:
        at = ", ".join(f"{k}={v}" for k, v in self.key.items())
        if self.column is None:
            return f"[{at}] only in {'A' if self.b is None else 'B'}"
        return f"[{at}] {self.column}: A {_show(self.a)}, B {_show(self.b)}"


@dataclass(frozen=True)
class Compared:
    """What a comparison came to: rows on each side, and how many are not the same."""

    rows: tuple[int, int] = (0, 0)
    changed: int = 0
    only_a: int = 0
    only_b: int = 0
    first: Finding | None = None

    @property
    def equal(self) -> bool:
        return self.first is None

    def __add__(self, other: Compared) -> Compared:
        return Compared(
            (self.rows[0] + other.rows[0], self.rows[1] + other.rows[1]),
            self.changed + other.changed,
            self.only_a + other.only_a,
            self.only_b + other.only_b,
            self.first or other.first,
        )


def compare(a: pa.Table, b: pa.Table, keys: Sequence[str]) -> Compared:
    """Compare all columns of ``a`` with those of ``b``, sorted by ``keys``, then by the rest."""
    names = [*keys, *(n for n in a.column_names if n not in keys)]
    coded = [codes(a[n], b[n]) for n in names]
    rows = (a.num_rows, b.num_rows)
    if _same(coded) or _same(_sorted(coded, len(keys))):
        return Compared(rows)
    return _part(a, b, names, coded, len(keys))


def _same(coded: list[tuple[Codes, Codes]]) -> bool:
    return all(np.array_equal(a, b) for a, b in coded)


def _sorted(coded: list[tuple[Codes, Codes]], n_keys: int) -> list[tuple[Codes, Codes]]:
    if len(coded[0][0]) != len(coded[0][1]):
        return coded
    order_a = np.lexsort([a for a, _ in reversed(coded[:n_keys])])
    order_b = np.lexsort([b for _, b in reversed(coded[:n_keys])])
    return [(a[order_a], b[order_b]) for a, b in coded]


def _part(
    a: pa.Table, b: pa.Table, names: list[str], coded: list[tuple[Codes, Codes]], n_keys: int
) -> Compared:
    """Count what is not the same, and find the first of it in the order of the keys."""
    joined = [np.concatenate(pair) for pair in coded]
    order = np.lexsort(joined[::-1])
    key_id = _group(joined[:n_keys], order)
    row_id = _group(joined, order)
    if not len(order) or _balanced(row_id, a.num_rows):
        return Compared((a.num_rows, b.num_rows))
    extra_a, extra_b = _excess(order, row_id, a.num_rows)
    spot_a, spot_b = _spots(key_id[extra_a]), _spots(key_id[extra_b])
    _, in_a, in_b = np.intersect1d(spot_a, spot_b, assume_unique=True, return_indices=True)
    first = _first(a, b, names, joined, n_keys, (extra_a, extra_b), (spot_a, spot_b))
    return Compared(
        (a.num_rows, b.num_rows),
        changed=len(in_a),
        only_a=len(extra_a) - len(in_a),
        only_b=len(extra_b) - len(in_b),
        first=first,
    )


def _group(columns: list[Codes], order: Index) -> Index:
    """Per row the number of its group of equal rows, groups in sorted order."""
    new = np.zeros(len(order), np.bool_)
    for column in columns:
        ranked = column[order]
        new[1:] |= ranked[1:] != ranked[:-1]
    out = np.empty(len(order), np.int64)
    out[order] = np.cumsum(new)
    return out


def _balanced(row_id: Index, n_a: int) -> bool:
    size = int(row_id.max()) + 1
    in_a, in_b = (np.bincount(ids, minlength=size) for ids in (row_id[:n_a], row_id[n_a:]))
    return np.array_equal(in_a, in_b)


def _excess(order: Index, row_id: Index, n_a: int) -> tuple[Index, Index]:
    """The rows that one side has more often than the other, in sorted order."""
    size = int(row_id.max()) + 1
    more = np.bincount(row_id[:n_a], minlength=size) - np.bincount(row_id[n_a:], minlength=size)
    from_a = order < n_a
    return _take(order[from_a], row_id, more), _take(order[~from_a], row_id, -more)


def _take(rows: Index, row_id: Index, more: Index) -> Index:
    return rows[_rank(row_id[rows]) < more[row_id[rows]]]


def _rank(groups: Index) -> Index:
    """Position of each row within its group; groups lie together."""
    if not len(groups):
        return groups
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(groups)]]))
    return np.arange(len(groups)) - np.repeat(starts, lengths)


def _spots(key_ids: Index) -> Index:
    """Key and position within it as one number: rows of both sides with one spot are a pair."""
    return (key_ids << 32) + _rank(key_ids)


def _first(
    a: pa.Table,
    b: pa.Table,
    names: list[str],
    joined: list[Codes],
    n_keys: int,
    extra: tuple[Index, Index],
    spots: tuple[Index, Index],
) -> Finding:
    rows = [e[0] if len(e) else None for e in extra]
    place = [int(s[0]) if len(s) else None for s in spots]
    lowest = min(p for p in place if p is not None)
    row_a, row_b = (r if p == lowest else None for r, p in zip(rows, place, strict=True))
    shown = names[:n_keys] or names
    if row_a is None or row_b is None:
        side, row = (a, row_a) if row_a is not None else (b, int(row_b or 0) - a.num_rows)
        values = side.select(shown).slice(int(row or 0), 1).to_pylist()[0]
        here, absent = values, None
        return Finding(values, None, *((here, absent) if side is a else (absent, here)))
    column = next(n for n, c in zip(names, joined, strict=True) if c[row_a] != c[row_b])
    was, now = a[column][int(row_a)].as_py(), b[column][int(row_b) - a.num_rows].as_py()
    key = a.select(shown).slice(int(row_a), 1).to_pylist()[0]
    return _narrow(key, column, was, now)


def _narrow(key: dict[str, Any], column: str, was: Any, now: Any) -> Finding:
    """Of two long lists of one length, the first element that is not the same."""
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for i, (x, y) in enumerate(zip(was, now, strict=True)):
            if repr(x) != repr(y):
                return Finding(key, f"{column}[{i}]", x, y)
    return Finding(key, column, was, now)


def _show(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} values"
    return repr(value)
