"""What each record turned out to be: its time and its effect on the book, a column each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.layout import I64


class Notes(NamedTuple):
    """What normalising adds to each record, a column each."""

    t: I64  # the record's time, ns UTC
    begins_event: NDArray[np.bool_]
    added_sz: I64
    cancelled_sz: I64
    executed_sz: I64
    refilled_sz: I64

    def take(self, which: NDArray[Any]) -> Notes:
        """The notes at some indices, or where a mask is true."""
        return Notes(*(column[which] for column in self))


def blank_notes(n: int) -> Notes:
    """Room for the notes of `n` records, not filled in."""
    sizes = np.empty((5, n), np.int64)
    return Notes(sizes[0], np.empty(n, np.bool_), *sizes[1:])
