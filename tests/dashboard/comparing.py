"""Two answers to one tile: integers and text equal, floats to the last digits."""

from __future__ import annotations

import math
from typing import Any

from tests.dashboard.tables import Row

#: Sums are not taken in one order everywhere.
CLOSE = 1e-9


def assert_same(ours: list[Row], theirs: list[Row], where: object = "") -> None:
    assert len(ours) == len(theirs), (where, len(ours), len(theirs))
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.keys() == b.keys(), (where, a.keys(), b.keys())
        for name in a:
            assert same(a[name], b[name]), (where, i, name, a, b)


def settled(rows: list[Row], by: str) -> list[Row]:
    """Rows that were ranked `by` a computed number: those that only its last digits rank, by name.

    Both answers may differ in these digits, and then rank two such rows each in its own way.
    """

    def place(row: Row) -> tuple[float, str]:
        rest = {k: v for k, v in row.items() if not isinstance(v, float)}
        return -float(f"{row[by]:.8e}"), repr(sorted(rest.items()))

    return sorted(rows, key=place)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)
    return type(a) is type(b) and bool(a == b)
