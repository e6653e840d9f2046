"""Rows on their way from a stage to a table: kernel records and what they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Coded(NamedTuple):
    """A column of words as codes into a list, which only ever grows at its end."""

    codes: NDArray[np.int32]  # [rows]
    words: list[str]


@dataclass(frozen=True)
class Rows:
    """Some rows of one table.

    `records`: a structured array with some of the table's columns as fields, or None. `columns`:
    the other columns, each one value for all rows or one per row (a list, an array, `Coded`).
    """

    table: str
    records: NDArray[Any] | None
    columns: Mapping[str, Any] = field(default_factory=dict)
    count: int = 0

    def __len__(self) -> int:
        return len(self.records) if self.records is not None else self.count
