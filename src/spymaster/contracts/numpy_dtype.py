"""A table's rows as the kernel holds them: one structured numpy record per row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from spymaster.contracts.column import Table
from spymaster.errors import ContractError

FIXED_WIDTH = {"int64": "<i8", "int32": "<i4", "float64": "<f8", "bool": "?"}


def numpy_dtype(table: Table, only: Iterable[str] | None = None) -> np.dtype[Any]:
    """The fixed-width columns of a table, in the contract's order.

    Strings, dates and lists are left out: they are constants of a run or live beside the records.
    ``only`` picks some of them; a name that has no fixed width is refused.
    """
    fixed = {c.name: FIXED_WIDTH[c.type] for c in table.columns if c.type in FIXED_WIDTH}
    if only is None:
        return np.dtype(list(fixed.items()))
    wanted = set(only)
    if strange := wanted - fixed.keys():
        raise ContractError(
            f"{table.name}: {', '.join(sorted(strange))} cannot be a numpy field. "
            f"Fixed-width columns are: {', '.join(fixed)}."
        )
    return np.dtype([(name, code) for name, code in fixed.items() if name in wanted])
