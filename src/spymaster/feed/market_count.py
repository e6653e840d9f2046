"""One pass over one instrument's records: what is counted, and the book that it is counted by.

A book of its own, apart from the kernel's: it may judge the kernel's input, and files of any size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

#: Structured arrays, and one row of one as Numba sees it.
Rows = Any

ADD, CANCEL, MODIFY, CLEAR, TRADE, FILL = 65, 67, 77, 82, 84, 70
LAST, SNAPSHOT = 128, 32
BID, ASK = 0, 1
#: The ladder: this many ticks about the first price seen; orders beyond it count, levels do not.
LEVELS = 1 << 18
#: Latency is counted by the microsecond, up to a second.
LAG_US = 1_000_000
NS = 1_000_000_000

ORDER = np.dtype(
    [("id", "<i8"), ("px", "<i8"), ("size", "<i8"), ("filled", "<i8"), ("side", "<i8")]
)

TALLY = np.dtype(
    [
        (name, "<i8")
        for name in (
            # live records, by kind
            *("records", "last", "events", "long_events", "sequences", "no_aggressor"),
            # kinds of M; what a strict exchange would not send
            *("refills", "partials", "moved", "resized", "unknown", "crossed"),
            # equal ts_recv: groups, those of several records, those of several ts_event
            *("groups", "groups_many", "groups_events"),
            # several T of one ns
            *("bursts", "burst_levels", "lost_last"),
            # where the pass stands
            *("event_recv", "group_n", "group_mixed", "recv", "event", "sequence"),
            *("in_snapshot", "ended", "second", "base", "orders", "bid", "ask", "samples"),
            *("levels_bid", "levels_ask", "trade_event", "trade_recv", "trade_px"),
            *("orders_start", "trades"),
        )
    ]
)

SAMPLE = np.dtype(
    [
        (name, "<i8")
        for name in (
            *("orders", "levels_bid", "levels_ask", "spread", "best_sz", "best_ct"),
            *("ten_sz", "ten_ct"),
        )
    ]
)


class Count(NamedTuple):
    """All that the pass changes; `held` and `qty` are [side, tick from the base]."""

    tally: Rows
    actions: npt.NDArray[np.int64]
    lag: npt.NDArray[np.int64]
    held: npt.NDArray[np.int32]
    qty: npt.NDArray[np.int64]


def new_count() -> Count:
    """Nothing counted yet."""
    tally = np.zeros(1, TALLY)
    tally["second"] = tally["recv"] = tally["orders_start"] = -1
    tally["bid"], tally["ask"] = -1, LEVELS
    return Count(
        tally,
        np.zeros(256, np.int64),
        np.zeros(LAG_US + 1, np.int64),
        np.zeros((2, LEVELS), np.int32),
        np.zeros((2, LEVELS), np.int64),
    )


@njit(cache=True)
def count(c: Count, orders: Rows, rows: Rows, tick: int, samples: Rows) -> None:
    """Counts `rows` (MBO_RECORD of one instrument, in order).

    `orders`: ORDER, a power of two, at least twice as long as there will be orders. `samples`:
    SAMPLE, one row is filled at the first F_LAST of each second of ts_recv.
    """
    t = c.tally[0]
    for i in range(len(rows)):
        r = rows[i]
        if r.flags & SNAPSHOT:
            if not t.in_snapshot:
                _clear(c, orders)
            t.in_snapshot = 1
        else:
            t.in_snapshot = 0
            _stamp(c, r)
        if r.action == CLEAR:
            _clear(c, orders)
        elif r.action in (ADD, CANCEL, MODIFY, FILL):
            _apply(c, orders, r, tick)
        if r.flags & LAST and not r.flags & SNAPSHOT:
            _sample(c, r, samples)


@njit(cache=True)
def _stamp(c: Count, r: Any) -> None:
    t = c.tally[0]
    if t.orders_start < 0:
        t.orders_start = t.orders
    first = t.records == 0
    t.records += 1
    c.actions[r.action] += 1
    c.lag[min(max((r.ts_recv - r.ts_event) // 1000, 0), LAG_US)] += 1
    if first or r.sequence != t.sequence:
        t.sequences += 1
    if first or r.ts_recv != t.recv:
        t.groups += 1
        t.group_n = t.group_mixed = 0
    t.group_n += 1
    if t.group_n == 2:
        t.groups_many += 1
    if t.group_n > 1 and r.ts_event != t.event and not t.group_mixed:
        t.group_mixed = 1
        t.groups_events += 1
    if t.ended or first or r.ts_event != t.event:
        t.events += 1
        t.event_recv = r.ts_recv
        t.lost_last += not first and not t.ended
    elif r.ts_recv != t.event_recv and t.event_recv >= 0:
        t.long_events += 1
        t.event_recv = -1
    if r.action == TRADE:
        t.trades += 1
        t.no_aggressor += r.side == 78
        if t.trade_event == r.ts_event and t.trade_recv == r.ts_recv:
            t.bursts += 1
            t.burst_levels += r.price != t.trade_px
        t.trade_event, t.trade_recv, t.trade_px = r.ts_event, r.ts_recv, r.price
    t.ended = 1 if r.flags & LAST else 0
    t.last += t.ended
    t.recv, t.event, t.sequence = r.ts_recv, r.ts_event, r.sequence


@njit(cache=True)
def _clear(c: Count, orders: Rows) -> None:
    orders["size"][:] = 0
    orders["id"][:] = 0
    c.held[:] = 0
    c.qty[:] = 0
    t = c.tally[0]
    t.orders = t.levels_bid = t.levels_ask = 0
    t.bid, t.ask = -1, LEVELS


@njit(cache=True)
def _home(order_id: int, mask: int) -> int:
    return int((np.uint64(order_id) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask


@njit(cache=True)
def _find(orders: Rows, order_id: int) -> int:
    """The order's place, else the free one that it would take. Size 0 is free."""
    mask = len(orders) - 1
    at = _home(order_id, mask)
    while orders[at].size > 0 and orders[at].id != order_id:
        at = (at + 1) & mask
    return at


@njit(cache=True)
def _forget(orders: Rows, at: int) -> None:
    """Free a place; those that had to go further move up."""
    mask = len(orders) - 1
    hole, k = at, at
    while True:
        k = (k + 1) & mask
        if orders[k].size <= 0:
            break
        home = _home(orders[k].id, mask)
        if ((k - home) & mask) >= ((k - hole) & mask):
            orders[hole] = orders[k]
            hole = k
    orders[hole].size = 0


@njit(cache=True)
def _level(c: Count, side: int, px: int, size: int, ct: int) -> None:
    """The level at a price changes; levels and best prices follow."""
    t = c.tally[0]
    t.orders += ct
    if px < 0 or px >= LEVELS:
        return
    before = c.held[side, px]
    c.held[side, px] += ct
    c.qty[side, px] += size
    change = (1 if c.held[side, px] > 0 else 0) - (1 if before > 0 else 0)
    if side == BID:
        t.levels_bid += change
        if change > 0:
            t.bid = max(t.bid, px)
        while t.bid >= 0 and c.held[BID, t.bid] == 0:
            t.bid -= 1
    else:
        t.levels_ask += change
        if change > 0:
            t.ask = min(t.ask, px)
        while t.ask < LEVELS and c.held[ASK, t.ask] == 0:
            t.ask += 1


@njit(cache=True)
def _apply(c: Count, orders: Rows, r: Any, tick: int) -> None:
    t = c.tally[0]
    at = _find(orders, r.order_id)
    known = orders[at].size > 0
    if r.action == FILL:
        if known:
            orders[at].filled += r.size
        return
    side = BID if r.side == 66 else ASK
    px = r.price // tick - t.base
    if not known:
        t.unknown += r.action != ADD
        if r.action == CANCEL:
            return
    else:
        o = orders[at]
        side = o.side
        filled = min(o.filled, o.size)
        o.filled = 0
        if r.action == CANCEL:
            size = min(r.size, o.size)
            gone = size == o.size
            _level(c, o.side, o.px, -size, -1 if gone else 0)
            if gone:
                _forget(orders, at)
            else:
                o.size -= size
            return
        if r.action == MODIFY and filled > 0:
            t.refills += r.size > o.size - filled
            t.partials += r.size <= o.size - filled
        elif r.action == MODIFY:
            t.moved += px != o.px
            t.resized += px == o.px
        _level(c, o.side, o.px, -o.size, -1)
        if r.size == 0:
            _forget(orders, at)
            return
    if r.size == 0:
        return
    o = orders[at]
    o.id, o.px, o.size, o.side, o.filled = r.order_id, px, r.size, side, 0
    _level(c, side, px, r.size, 1)


@njit(cache=True)
def _sample(c: Count, r: Any, samples: Rows) -> None:
    t = c.tally[0]
    second = r.ts_recv // NS
    if t.bid >= t.ask:
        t.crossed += 1
    if second == t.second or t.bid < 0 or t.ask >= LEVELS or t.bid >= t.ask:
        return
    t.second = second
    s = samples[t.samples]
    t.samples += 1
    s.orders, s.levels_bid, s.levels_ask = t.orders, t.levels_bid, t.levels_ask
    s.spread = t.ask - t.bid
    s.best_sz = c.qty[BID, t.bid] + c.qty[ASK, t.ask]
    s.best_ct = c.held[BID, t.bid] + c.held[ASK, t.ask]
    s.ten_sz = s.ten_ct = 0
    for side in range(2):
        px, step, n = (t.bid, -1, 0) if side == BID else (t.ask, 1, 0)
        while 0 <= px < LEVELS and n < 10:
            if c.held[side, px] > 0:
                s.ten_sz += c.qty[side, px]
                s.ten_ct += c.held[side, px]
                n += 1
            px += step


@njit(cache=True)
def rehash(orders: Rows, larger: Rows) -> None:
    """All orders in a larger table."""
    for k in range(len(orders)):
        if orders[k].size > 0:
            larger[_find(larger, orders[k].id)] = orders[k]
