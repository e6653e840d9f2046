"""Several contracts, one feed: records in the order in which they were received."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.dbn_records import MBO_RECORD


class Interleaver:
    """Merges contracts by `ts_recv` and numbers the packets of the channel.

    A record that arrives after a slice of time has ended (a stalled wire) waits for the next.
    """

    def __init__(self) -> None:
        self._waiting: NDArray[np.void] = np.zeros(0, MBO_RECORD)
        self._packet = 1000
        self._last: tuple[int, int] = (-1, -1)

    def merge(self, parts: list[NDArray[np.void]], until_ns: int | None) -> NDArray[np.void]:
        """All that was received before `until_ns` (None: all), in order."""
        rows = np.concatenate([self._waiting, *parts])
        if len(parts) > 1 or len(self._waiting):
            # As opaque 56 bytes each: field by field takes several times as long.
            order = np.argsort(rows["ts_recv"], kind="stable")
            rows = rows.view(f"V{MBO_RECORD.itemsize}").take(order).view(MBO_RECORD)
        n = len(rows) if until_ns is None else int(np.searchsorted(rows["ts_recv"], until_ns))
        self._waiting, rows = rows[n:], rows[:n]
        if n:
            ids, packets = rows["instrument_id"].astype(np.int64), rows["sequence"].copy()
            new = np.ones(n, bool)
            new[1:] = (ids[1:] != ids[:-1]) | (packets[1:] != packets[:-1])
            new[0] = (int(ids[0]), int(packets[0])) != self._last
            self._last = int(ids[-1]), int(packets[-1])
            rows["sequence"] = self._packet + np.cumsum(new)
            self._packet = int(rows["sequence"][-1])
        return rows
