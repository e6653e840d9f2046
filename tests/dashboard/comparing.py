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


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)
    return type(a) is type(b) and bool(a == b)
