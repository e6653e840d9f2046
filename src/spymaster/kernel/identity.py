"""A record's identity: its place in the feed, and the contract that its number stood for.

Domain, section 1: `(publisher_id, schema, instrument_id, ts_recv, event_index)`, event_index being
the position among this instrument's records with that ts_recv. Market snapshots count apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import F_SNAPSHOT, NOTE_BACKWARDS
from spymaster.kernel.compiled import compiled
from spymaster.kernel.layout import I64, NONE

U8 = NDArray[np.uint8]

# An instrument of the feed: a row of `slots`, sorted by K_KEY
K_KEY, K_LIVE_TS, K_LIVE_N, K_SNAP_TS, K_SNAP_N, K_CONTRACT, K_STEP, K_UNTIL = range(8)
SLOT = 8
UNIDENTIFIED, SKIPPED = -1, -2

# Verdicts beside those of the record check
ACCEPTED, NOT_IDENTIFIED, NOT_WANTED, OFF_GRID = 0, 100, 101, 102
NO_TIME = 3

UNDEF_PRICE = 2**63 - 1
PUBLISHER = 1 << 32


@compiled
def slot_of(slots: I64, key: int, last: int) -> int:
    """Row of an instrument, or -1; `last` is where the previous record's was."""
    if last >= 0 and slots[last, K_KEY] == key:
        return last
    low = 0
    high = slots.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if slots[middle, K_KEY] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < slots.shape[0] and slots[low, K_KEY] == key else -1


@compiled
def identify(
    records: NDArray[Any], verdicts: U8, i: int, slots: I64, high: I64, events: NDArray[Any]
) -> int:
    """Fill `events[i:]` (`EVENT`) from DBN records; returns where an instrument is not resolved.

    `verdicts` holds the record check's on entry (0: good) and the final one on return. `high[0]`
    is the running maximum of ts_recv. Stops at a record whose instrument has no row in `slots`,
    or whose row is valid only until an earlier time, for the caller to resolve it.
    """
    last = -1
    while i < records.shape[0]:
        r = records[i]
        if verdicts[i] == NO_TIME:
            i += 1
            continue
        key = r.publisher_id * PUBLISHER + np.int64(r.instrument_id)
        last = slot_of(slots, key, last)
        ts_recv = max(high[0], r.ts_recv)
        if last < 0 or ts_recv >= slots[last, K_UNTIL]:
            return i
        slot = slots[last]
        e = events[i]
        e.notes = NOTE_BACKWARDS if ts_recv > r.ts_recv else 0
        high[0] = ts_recv
        at = K_SNAP_TS if r.flags & F_SNAPSHOT else K_LIVE_TS
        slot[at + 1] = slot[at + 1] + 1 if slot[at] == ts_recv else 0
        slot[at] = ts_recv
        e.ts_event = r.ts_event
        e.ts_recv = ts_recv
        e.order_id = r.order_id
        e.size = r.size
        e.event_index = slot[at + 1]
        e.contract = slot[K_CONTRACT]
        e.action = r.action
        e.side = r.side
        e.flags = r.flags
        e.price = NONE
        if slot[K_CONTRACT] == UNIDENTIFIED:
            verdicts[i] = NOT_IDENTIFIED
        elif slot[K_CONTRACT] == SKIPPED:
            verdicts[i] = NOT_WANTED
        elif r.price != UNDEF_PRICE:
            if r.price % slot[K_STEP] != 0:
                verdicts[i] = OFF_GRID
            e.price = r.price // slot[K_STEP]
        i += 1
    return i


def with_slot(slots: I64, key: int) -> tuple[I64, int]:
    """`slots` with a row for `key`, in order, and where it is."""
    at = int(np.searchsorted(slots[:, K_KEY], key))
    if at < len(slots) and slots[at, K_KEY] == key:
        return slots, at
    row = np.full(SLOT, NONE, np.int64)
    row[K_KEY] = key
    return np.insert(slots, at, row, axis=0), at
