"""The loop over a contract's records: our clock, events, market snapshots, bars that close.

Domain, sections 1 and 4. The loop never allocates: where room is short it returns before it
touches the record, the caller makes room, and it goes on from the same record.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from spymaster.contracts.event import (
    ACTION_CLEAR,
    ACTION_GAP,
    ACTION_TRADE,
    BAR_NS,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_SNAPSHOT,
    LATENESS_NS,
    NOTE_BACKWARDS,
    SNAPSHOT_SILENCE_NS,
)
from spymaster.kernel.bars import close_bar, trade
from spymaster.kernel.book import apply, gather, replace
from spymaster.kernel.closed_bars import Bars
from spymaster.kernel.compiled import hot, seldom
from spymaster.kernel.layout import (
    A_BACKWARDS,
    A_DRIFT,
    A_EVENTS,
    A_LOST_LAST,
    P_BAR0,
    P_BAR1,
    P_DENSE,
    P_LIGHT,
    S_BAR,
    S_BITS,
    S_COUNTS,
    S_EVENT_OPEN,
    S_EVENT_RECV,
    S_EVENT_TS,
    S_GOOD,
    S_INIT_T,
    S_INITIALISED,
    S_MARK,
    S_N_ASK,
    S_N_BID,
    S_N_ORDERS,
    S_N_SNAP,
    S_SNAP_LAST,
    S_SNAP_OPEN,
    S_SNAP_RECV,
    S_STARTED,
    S_T,
    BookState,
    U,
)
from spymaster.kernel.level_book import WATCH_ON, trade_at_levels
from spymaster.kernel.notes import Notes
from spymaster.kernel.orders import home
from spymaster.kernel.rows import prefetch
from spymaster.kernel.sample import sample, trading

_AHEAD = 8  # records: long enough for memory to answer
DONE, BARS_FULL, NEEDS_ORDERS, NEEDS_LEVELS, NEEDS_SNAP = range(5)


@hot
def room(b: BookState) -> int:
    """Is there room for any one record, whatever it does?"""
    s = b.s
    if s[S_N_SNAP] >= b.snap.shape[0]:
        return NEEDS_SNAP
    if max(s[S_N_ORDERS], s[S_N_SNAP]) >= b.orders.shape[0]:
        return NEEDS_ORDERS
    if max(s[S_N_BID] + s[S_N_ASK], s[S_N_SNAP]) >= b.levels.shape[0]:
        return NEEDS_LEVELS
    return DONE


@hot
def believe(b: BookState, t: int) -> None:
    """The book is known to be right from `t` on; one that was right before stays so."""
    if b.s[S_GOOD] == 0:
        b.s[S_GOOD] = 1
        b.s[S_INIT_T] = t
    b.s[S_INITIALISED] = 1


@seldom
def cleared(b: BookState, t: int) -> None:
    """R: the book is right from here on, but in trading hours nobody knows why it came."""
    if trading(b, t):
        b.s[S_GOOD] = 0
        b.s[S_INITIALISED] = 1
    else:
        believe(b, t)


@seldom
def end_event(b: BookState) -> None:
    """An event that lost its F_LAST ends all the same."""
    if b.s[S_EVENT_OPEN]:
        if b.p[P_LIGHT] == 0:
            sample(b, b.s[S_T], True)
        b.acc[A_LOST_LAST] += b.s[S_COUNTS]
        b.s[S_EVENT_OPEN] = 0


@seldom
def end_snapshot(b: BookState) -> None:
    """The market snapshot is whole: it becomes the book."""
    s = b.s
    if s[S_SNAP_OPEN]:
        if b.p[P_LIGHT] == 0:
            drift = replace(b)
            if s[S_INITIALISED]:
                b.acc[A_DRIFT] += drift * s[S_COUNTS]
        believe(b, s[S_T])
        if b.p[P_LIGHT] == 0:
            sample(b, s[S_T], False)
        s[S_SNAP_OPEN] = 0


@hot
def close_up_to(
    b: BookState,
    t: int,
    out: Bars,
    k: int,
) -> int:
    """Close the bars that end at or before `t`; returns rows written, or -1 - rows when full."""
    s, p = b.s, b.p
    if p[P_LIGHT]:
        return k
    while s[S_BAR] < p[P_BAR1] and (s[S_BAR] + 1) * BAR_NS <= t:
        if p[P_DENSE] == 0 and b.acc[A_EVENTS] == 0:
            b.acc[:] = 0
            s[S_BAR] = min(t // BAR_NS, p[P_BAR1])
            continue
        if k == out.rows.shape[0]:
            return -1 - k
        close_bar(b, out.rows[k], out.prices[k], out.sizes[k], out.levels[k])
        k += 1
    return k


@hot
def arrive(b: BookState, t: int) -> None:
    """The contract's time moves on to `t`; its first record opens its first bar."""
    s, p = b.s, b.p
    if s[S_STARTED] == 0:
        s[S_STARTED] = 1
        s[S_BAR] = max(p[P_BAR0], t // BAR_NS)
    s[S_T] = t
    s[S_COUNTS] = 1 if p[P_BAR0] * BAR_NS <= t < p[P_BAR1] * BAR_NS else 0


@hot
def begin(b: BookState, record: Any, snapshot: bool) -> None:
    """Open the event or market snapshot that this record is the first of."""
    s = b.s
    if snapshot:
        s[S_SNAP_OPEN] = 1
        s[S_SNAP_RECV] = record.ts_recv
        s[S_N_SNAP] = 0
    else:
        s[S_EVENT_OPEN] = 1
        s[S_EVENT_TS] = record.ts_event
        s[S_EVENT_RECV] = record.ts_recv


@hot
def act(b: BookState, record: Any, notes: Notes, i: int) -> None:
    """A live record: its effect on book and bar, and the sample at the event's end."""
    s, acc, t = b.s, b.acc, b.s[S_T]
    light = b.p[P_LIGHT] == 1
    if not light:
        apply(b, record, t, notes, i)
    if record.action == ACTION_CLEAR:
        cleared(b, t)
    if record.flags & F_MAYBE_BAD_BOOK:
        s[S_GOOD] = 0
    if s[S_COUNTS] and not light:
        acc[A_EVENTS] += 1
        acc[A_BACKWARDS] += record.notes & NOTE_BACKWARDS
        if record.action == ACTION_TRADE:
            trade(b, record, t)
    if record.action == ACTION_TRADE and b.watch[WATCH_ON]:
        trade_at_levels(b, record.price, record.size)
    if record.flags & F_LAST:
        if not light:
            sample(b, t, True)
        s[S_EVENT_OPEN] = 0


@hot
def advance(
    b: BookState,
    events: NDArray[Any],
    j: int,
    end: int,
    notes: Notes,
    out: Bars,
    k: int,
) -> tuple[int, int, int]:
    """Run over `events[j:end]`; returns (next record, rows written, why it stopped)."""
    s = b.s
    while j < end:
        i: Any = U(j)
        record = events[i]
        ahead = events[U(min(j + _AHEAD, end - 1))]
        prefetch(b.table, home(ahead.order_id, s[S_BITS]))
        need = room(b)
        if need != DONE:
            return j, k, need
        snapshot = record.flags & F_SNAPSHOT != 0
        gap = record.action == ACTION_GAP
        if s[S_SNAP_OPEN] and (
            gap or not snapshot or record.ts_recv - s[S_SNAP_LAST] >= SNAPSHOT_SILENCE_NS
        ):
            end_snapshot(b)
        if s[S_EVENT_OPEN] and (
            gap
            or snapshot
            or record.ts_event != s[S_EVENT_TS]
            or record.ts_recv - s[S_EVENT_RECV] > LATENESS_NS
        ):
            end_event(b)
        begins = not s[S_EVENT_OPEN] and not s[S_SNAP_OPEN]
        if begins:
            if gap:
                t = record.ts_recv
            elif snapshot:
                t = record.ts_recv - LATENESS_NS
            else:
                t = max(min(record.ts_event, record.ts_recv), record.ts_recv - LATENESS_NS)
            t = max(t, s[S_T])
            k = close_up_to(b, t, out, k) if s[S_STARTED] else k
            if k < 0:
                return j, -1 - k, BARS_FULL
            arrive(b, t)
            if not gap:
                begin(b, record, snapshot)
        notes.t[i] = s[S_T]
        notes.begins_event[i] = begins
        notes.added_sz[i] = 0
        notes.cancelled_sz[i] = 0
        notes.executed_sz[i] = 0
        notes.refilled_sz[i] = 0
        if gap:
            s[S_GOOD] = 0
        elif snapshot:
            if b.p[P_LIGHT] == 0:
                gather(b, record)
            s[S_SNAP_LAST] = record.ts_recv
            if record.flags & F_LAST:
                end_snapshot(b)
        else:
            act(b, record, notes, i)
        j += 1
    return j, k, DONE


@hot
def close(
    b: BookState,
    mark: int,
    out: Bars,
    k: int,
) -> int:
    """A clock mark: later records have t >= mark - L, so older bars can no longer change.

    Returns rows written, or -1 - rows when there is no more room.
    """
    s = b.s
    s[S_MARK] = max(s[S_MARK], mark)
    if not s[S_STARTED]:
        return k
    if s[S_SNAP_OPEN] and mark - s[S_SNAP_LAST] >= SNAPSHOT_SILENCE_NS:
        end_snapshot(b)
    if s[S_EVENT_OPEN] and mark - s[S_EVENT_RECV] > LATENESS_NS:
        end_event(b)
    if s[S_SNAP_OPEN] or s[S_EVENT_OPEN]:
        return k
    return close_up_to(b, mark - LATENESS_NS, out, k)
