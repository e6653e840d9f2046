"""The order book of one contract: what each record does to the resting orders.

Domain, section 1. T, F and N leave the book alone; F says that the next C or M of that
order with the same ts_event is an execution and not a cancel.
"""

from __future__ import annotations

from typing import Any

from spymaster.contracts.event import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_FILL,
    ACTION_MODIFY,
    SIDE_BID,
)
from spymaster.kernel import ladder, orders
from spymaster.kernel.compiled import hot, seldom
from spymaster.kernel.layout import (
    A_FLOW_CT,
    A_FLOW_SZ,
    A_OLD_SZ,
    A_UNKNOWN,
    ADDED,
    AGE_UNKNOWN,
    ASK,
    BID,
    CANCELLED,
    EXECUTED,
    I64,
    IN_SNAPSHOT,
    N_ID,
    N_KEY,
    N_SIDE,
    N_SZ,
    NONE,
    O_ENTRY,
    O_KEY,
    O_PENDING,
    O_PENDING_TS,
    O_SIDE,
    O_SZ,
    P_ORIGIN,
    P_TICK,
    REFILLED,
    S_COUNTS,
    S_DIRTY,
    S_N_ORDERS,
    S_N_SNAP,
    S_SNAP_RECV,
    SAME_IN_SNAPSHOT,
    SIDE_MASK,
    T_ROW,
    TOP_KEY,
    BookState,
    U,
    key_of,
)
from spymaster.kernel.level_book import WATCH_ON, flow_at_levels
from spymaster.kernel.notes import Notes

NEAR_TICKS = 10
OLD_US = 1_000_000


@hot
def micros(p: I64, t: int) -> int:
    """Microseconds since the session's input began."""
    return (t - p[P_ORIGIN]) // 1000


@hot
def flow(b: BookState, kind: int, side: int, key: int, sz: int) -> bool:
    """Count `sz` in the open bar if it happened within 10 ticks of the previous best."""
    if b.watch[WATCH_ON]:
        flow_at_levels(b, kind, side, key, sz)
    best = b.top[side, TOP_KEY, 0]
    if b.s[S_COUNTS] == 0 or best == NONE or abs(best - key) > NEAR_TICKS * b.p[P_TICK]:
        return False
    b.acc[A_FLOW_SZ + 2 * kind + side] += sz
    b.acc[A_FLOW_CT + 2 * kind + side] += 1
    return True


@hot
def rest(b: BookState, slot: int, side: int, key: int, sz: int, entry: int, unknown: int) -> None:
    """An order, new or again, goes to the end of the queue at its price."""
    row = b.orders[U(slot)]
    row[O_KEY] = key
    row[O_SZ] = sz
    row[O_SIDE] = side | unknown
    row[O_ENTRY] = entry
    row[O_PENDING] = 0
    row[O_PENDING_TS] = NONE
    ladder.join(b, side, slot, 1 if unknown == 0 else 0)


@hot
def _side(row: I64) -> int:
    return row[O_SIDE] & SIDE_MASK


@hot
def _known(row: I64) -> int:
    return 0 if row[O_SIDE] & AGE_UNKNOWN else 1


@hot
def shrink(b: BookState, at: int, sz: int) -> None:
    """Take `sz` off the order at a place of the table; it keeps its rank, and at 0 it is gone."""
    slot = b.table[U(at), T_ROW] - 1
    row = b.orders[U(slot)]
    ladder.leave(b, _side(row), slot, sz, _known(row))
    row[O_SZ] -= sz
    if row[O_SZ] == 0:
        orders.remove(b.table, b.orders, b.s, at)


@hot
def filled(b: BookState, row: I64, ts_event: int, at_most: int, t: int) -> int:
    """How much of a C or M is the fill that an F announced; uses it up."""
    pending = row[O_PENDING] if row[O_PENDING_TS] == ts_event else 0
    row[O_PENDING] = 0
    executed = min(pending, at_most)
    if executed > 0:
        side = _side(row)
        if flow(b, EXECUTED, side, row[O_KEY], executed):
            b.acc[A_OLD_SZ + side] += executed if micros(b.p, t) - row[O_ENTRY] > OLD_US else 0
    return executed


@hot
def cancel(b: BookState, at: int, sz: int, ts_event: int, t: int, notes: Notes, i: int) -> None:
    """C: takes `sz` off an order; what no F explains was cancelled."""
    row = b.orders[U(b.table[U(at), T_ROW] - 1)]
    taken = min(sz, row[O_SZ])
    executed = filled(b, row, ts_event, taken, t)
    notes.executed_sz[i] = executed
    notes.cancelled_sz[i] = taken - executed
    if taken > executed:
        flow(b, CANCELLED, _side(row), row[O_KEY], taken - executed)
    if taken > 0:
        shrink(b, at, taken)


@hot
def modify(b: BookState, slot: int, side: int, record: Any, t: int, notes: Notes, i: int) -> None:
    """M: the order now has this price and size; a better offer of size goes to the end."""
    row = b.orders[U(slot)]
    key, sz = key_of(side, record.price), record.size
    old = row[O_SZ]
    executed = filled(b, row, record.ts_event, old, t)
    left = old - executed
    notes.executed_sz[i] = executed
    moves = side != _side(row) or key != row[O_KEY]
    if moves:
        notes.cancelled_sz[i] = left
        notes.added_sz[i] = sz
        if left > 0:
            flow(b, CANCELLED, _side(row), row[O_KEY], left)
        flow(b, ADDED, side, key, sz)
    elif sz > left:
        if executed > 0:
            # An iceberg shows its next slice: hidden size, neither added nor cancelled.
            notes.refilled_sz[i] = sz - left
            flow(b, REFILLED, side, key, sz - left)
        else:
            notes.added_sz[i] = sz - left
            flow(b, ADDED, side, key, sz - left)
    else:
        notes.cancelled_sz[i] = left - sz
        if left > sz:
            flow(b, CANCELLED, side, key, left - sz)
    if moves or sz > left:
        ladder.leave(b, _side(row), slot, old, _known(row))
        rest(b, slot, side, key, sz, micros(b.p, t), 0)
    elif old > sz:
        ladder.leave(b, side, slot, old - sz, _known(row))
        row[O_SZ] = sz


@hot
def clear(b: BookState) -> None:
    """R: nothing rests any more."""
    orders.forget_all(b.table, b.s)
    ladder.clear(b.s)
    b.s[S_DIRTY] = 1


@hot
def fill(b: BookState, record: Any) -> None:
    """F: the next C or M of this order with the same ts_event is an execution."""
    slot = orders.find(b.table, b.s, record.order_id)
    if slot >= 0:
        row = b.orders[U(slot)]
        if row[O_PENDING_TS] != record.ts_event:
            row[O_PENDING] = 0
            row[O_PENDING_TS] = record.ts_event
        row[O_PENDING] += record.size


@hot
def apply(b: BookState, record: Any, t: int, notes: Notes, i: int) -> None:
    """Let one live record act on the book; note `i` takes its effect."""
    action = record.action
    if action != ACTION_ADD and action != ACTION_CANCEL and action != ACTION_MODIFY:
        if action == ACTION_FILL:
            fill(b, record)
        elif action == ACTION_CLEAR:
            clear(b)
        return
    b.s[S_DIRTY] = 1
    side = BID if record.side == SIDE_BID else ASK
    at = orders.place(b.table, b.s, record.order_id)
    slot = b.table[U(at), T_ROW] - 1
    if (slot < 0) != (action == ACTION_ADD):
        b.acc[A_UNKNOWN] += b.s[S_COUNTS]
    if slot < 0:
        if action != ACTION_CANCEL and record.size > 0:
            key = key_of(side, record.price)
            notes.added_sz[i] = record.size
            flow(b, ADDED, side, key, record.size)
            slot = orders.insert(b.table, b.orders, b.s, at, record.order_id)
            rest(b, slot, side, key, record.size, micros(b.p, t), 0)
    elif action == ACTION_CANCEL or record.size == 0:
        sz = record.size if action == ACTION_CANCEL else b.orders[U(slot), O_SZ]
        cancel(b, at, sz, record.ts_event, t, notes, i)
    else:
        modify(b, slot, side, record, t, notes, i)


@hot
def gather(b: BookState, record: Any) -> None:
    """A record of an open market snapshot waits until the snapshot is whole."""
    if record.action == ACTION_CLEAR:
        b.s[S_N_SNAP] = 0
    elif record.action == ACTION_ADD:
        side = BID if record.side == SIDE_BID else ASK
        row = b.snap[b.s[S_N_SNAP]]
        row[N_ID] = record.order_id
        row[N_SIDE] = side
        row[N_KEY] = key_of(side, record.price)
        row[N_SZ] = record.size
        b.s[S_N_SNAP] += 1


@seldom
def replace(b: BookState) -> int:
    """The gathered snapshot becomes the book; returns in how many orders they differed."""
    s = b.s
    n_old = s[S_N_ORDERS]
    shared, same = compare(b)
    clear(b)
    entry = micros(b.p, s[S_SNAP_RECV])
    for i in range(s[S_N_SNAP]):
        row = b.snap[i]
        at = orders.place(b.table, s, row[N_ID])
        if b.table[U(at), T_ROW]:
            shrink(b, at, b.orders[b.table[U(at), T_ROW] - 1, O_SZ])
            at = orders.place(b.table, s, row[N_ID])
        if row[N_SZ] > 0:
            slot = orders.insert(b.table, b.orders, s, at, row[N_ID])
            rest(b, slot, row[N_SIDE], row[N_KEY], row[N_SZ], entry, AGE_UNKNOWN)
    s[S_N_SNAP] = 0
    return (n_old - shared) + (s[S_N_ORDERS] - shared) + (shared - same)


@hot
def compare(b: BookState) -> tuple[int, int]:
    """How many orders are both in the book and in the gathered snapshot, and how many the same.

    Of an order that comes twice in a snapshot the last one counts.
    """
    shared = 0
    same = 0
    for i in range(b.s[S_N_SNAP]):
        new = b.snap[i]
        slot = orders.find(b.table, b.s, new[N_ID])
        if slot < 0:
            continue
        old = b.orders[slot]
        if old[O_SIDE] & IN_SNAPSHOT:
            shared -= 1
        if old[O_SIDE] & SAME_IN_SNAPSHOT:
            same -= 1
        old[O_SIDE] &= ~(IN_SNAPSHOT | SAME_IN_SNAPSHOT)
        if new[N_SZ] == 0:
            continue
        shared += 1
        old[O_SIDE] |= IN_SNAPSHOT
        if _side(old) == new[N_SIDE] and old[O_KEY] == new[N_KEY] and old[O_SZ] == new[N_SZ]:
            same += 1
            old[O_SIDE] |= SAME_IN_SNAPSHOT
    return shared, same
