"""Accepted DBN records and their events, turned from rows into columns in one pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import EVENT, F_SNAPSHOT
from spymaster.kernel.compiled import compiled
from spymaster.kernel.identity import UNDEF_PRICE
from spymaster.kernel.layout import I64, NONE

I32 = NDArray[np.int32]


class Columns(NamedTuple):
    """What bronze.mbo has of each record, contiguous; letters as codes."""

    ts_event: I64  # ns UTC
    ts_recv: I64  # ns UTC, the running maximum
    order_id: I64
    price: I64  # 1e-9 currency, NONE when undefined
    size: I64
    sequence: I64
    instrument_id: I64
    event_index: I32
    ts_in_delta: I32
    flags: I32
    channel_id: I32
    publisher_id: I32
    action: I32  # place in the letters given
    side: I32
    contract: I32
    is_snapshot: NDArray[np.bool_]


#: The type of each column.
COLUMN_TYPES = {
    name: np.dtype("i8" if i < 7 else "i4" if i < 15 else "?")
    for i, name in enumerate(Columns._fields)
}


@compiled
def _fill(
    records: NDArray[Any],
    events: NDArray[Any],
    sources: I64,
    which: I64,
    actions: I32,
    sides: I32,
    c: Columns,
) -> None:
    for k in range(which.shape[0]):
        r = records[sources[which[k]]]
        e = events[which[k]]
        c.ts_event[k] = r.ts_event
        c.ts_recv[k] = e.ts_recv
        c.order_id[k] = r.order_id
        c.price[k] = r.price if r.price != UNDEF_PRICE else NONE
        c.size[k] = r.size
        c.sequence[k] = r.sequence
        c.instrument_id[k] = r.instrument_id
        c.event_index[k] = e.event_index
        c.ts_in_delta[k] = r.ts_in_delta
        c.flags[k] = r.flags
        c.channel_id[k] = r.channel_id
        c.publisher_id[k] = r.publisher_id
        c.action[k] = actions[r.action]
        c.side[k] = sides[r.side]
        c.contract[k] = e.contract
        c.is_snapshot[k] = r.flags & F_SNAPSHOT != 0


def columns_of(
    records: NDArray[Any],
    events: NDArray[Any],
    sources: I64,
    which: I64,
    letters: tuple[I32, I32],
) -> Columns:
    """Columns of the events (`EVENT`) at `which`, in that order.

    records: a chunk of MBO_RECORD; sources: the place in it of each event's record. letters: the
    code of each of 256 bytes, of actions and of sides. No index is checked.
    """
    n = len(which)
    wide, narrow = np.empty((7, n), np.int64), np.empty((8, n), np.int32)
    columns = Columns._make([*wide, *narrow, np.empty(n, np.bool_)])
    _fill(records, events, sources, which, *letters, columns)
    return columns


@compiled
def _to_events(c: Columns, places: I64, steps: I64, events: NDArray[Any]) -> None:
    for i in range(events.shape[0]):
        e = events[i]
        e.ts_event = c.ts_event[i]
        e.ts_recv = c.ts_recv[i]
        e.order_id = c.order_id[i]
        price = c.price[i]
        e.price = price if price == NONE else price // steps[c.contract[i]]
        e.size = c.size[i]
        e.event_index = c.event_index[i]
        e.contract = places[c.contract[i]]
        e.action = c.action[i]
        e.side = c.side[i]
        e.flags = c.flags[i]
        e.notes = 0


def to_events(columns: Columns, places: I64, steps: I64) -> NDArray[Any]:
    """Events (`EVENT`) from columns whose actions and sides are bytes, prices 1e-9 currency.

    places: where each contract of the columns stands in the caller's list; steps: its price step,
    1e-9 currency.
    """
    events = np.zeros(len(columns.ts_event), EVENT)
    _to_events(columns, places, steps, events)
    return events
