"""Records that an earlier file brought already: at or before the last identity it told.

Domain, section 1: across files, connections or batches a key at or below the last one is a
duplicate. Within one file the order of arrival is the truth. Market snapshots count apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import F_SNAPSHOT
from spymaster.kernel.compiled import compiled
from spymaster.kernel.layout import I64
from spymaster.kernel.state import pack, unpack


@compiled
def _mark(events: NDArray[Any], numbers: I64, before: I64, last: I64, keep: NDArray[Any]) -> int:
    dropped = 0
    for i in range(events.shape[0]):
        e = events[i]
        kind = 1 if e.flags & F_SNAPSHOT else 0
        known = before[numbers[i], kind]
        if e.ts_recv < known[0] or (e.ts_recv == known[0] and e.event_index <= known[1]):
            keep[i] = False
            dropped += 1
        else:
            keep[i] = True
            last[numbers[i], kind, 0] = e.ts_recv
            last[numbers[i], kind, 1] = e.event_index
    return dropped


class Duplicates:
    """The last identity of each contract, in this file and in the files before it."""

    def __init__(self) -> None:
        self.dropped = 0
        self._last = np.full((1, 2, 2), -1, np.int64)
        self._before = self._last.copy()

    def begin_file(self) -> None:
        """Another file follows: what it repeats of the ones before is a duplicate."""
        self._before = self._last.copy()

    def keep(self, events: NDArray[Any], numbers: I64) -> NDArray[np.bool_] | None:
        """Which events (`EVENT`) are new, or None when all are. `numbers`: whose each is."""
        highest = int(numbers.max(initial=0))
        while highest >= len(self._last):
            more = np.full_like(self._last, -1)
            self._last = np.concatenate([self._last, more])
            self._before = np.concatenate([self._before, more])
        keep = np.empty(len(events), np.bool_)
        dropped = _mark(events, numbers, self._before, self._last, keep)
        self.dropped += dropped
        return keep if dropped else None

    def to_bytes(self) -> bytes:
        """The whole state."""
        return pack("DUPLICATES", 1, [np.array([self.dropped]), self._last, self._before])

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off."""
        dropped, self._last, self._before = unpack(data, "DUPLICATES", 1)[1]
        self.dropped = int(dropped[0])
