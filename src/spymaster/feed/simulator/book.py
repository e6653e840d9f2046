"""The exchange's own book: price levels, and in each the orders in the order they came."""

from __future__ import annotations

from spymaster.feed.simulator.draws import below, uniform
from spymaster.feed.simulator.hot import hot
from spymaster.feed.simulator.market import ASK, BID, LADDER, ORDERS, Market
from spymaster.feed.simulator.venue import NASDAQ


@hot
def link(m: Market, slot: int) -> None:
    """An order joins the end of the queue at its price."""
    s = m.state[0]
    order = m.orders[slot]
    side, px = order.side, order.px
    last = m.tail[side, px]
    order.prev, order.next = last, -1
    if last < 0:
        m.head[side, px] = slot
    else:
        m.orders[last].next = slot
    m.tail[side, px] = slot
    m.held[side, px] += 1
    m.qty[side, px] += order.size
    if side == BID and px > s.bid:
        s.bid = px
    if side == ASK and px < s.ask:
        s.ask = px


@hot
def unlink(m: Market, slot: int) -> None:
    """An order leaves its queue; the best price walks on if that queue is now empty."""
    s = m.state[0]
    order = m.orders[slot]
    side, px = order.side, order.px
    if order.prev < 0:
        m.head[side, px] = order.next
    else:
        m.orders[order.prev].next = order.next
    if order.next < 0:
        m.tail[side, px] = order.prev
    else:
        m.orders[order.next].prev = order.prev
    m.held[side, px] -= 1
    m.qty[side, px] -= order.size
    if m.held[side, px] > 0:
        return
    if side == BID and px == s.bid:
        while px > 0 and m.held[BID, px] == 0:
            px -= 1
        s.bid = px
    elif side == ASK and px == s.ask:
        while px < LADDER - 1 and m.held[ASK, px] == 0:
            px += 1
        s.ask = px


@hot
def enter(m: Market, order_id: int, side: int, px: int, size: int, hidden: int) -> int:
    """A new order rests. Returns its slot, -1 if the book holds all it can."""
    s = m.state[0]
    slot = s.free
    if slot >= ORDERS - 1 or px <= 0 or px >= LADDER - 1:
        return -1
    order = m.orders[slot]
    s.free = order.next
    s.live += 1
    order.id, order.px, order.size = order_id, px, size
    order.hidden, order.side = hidden, side
    link(m, slot)
    return int(slot)


@hot
def leave(m: Market, slot: int) -> None:
    """An order is gone."""
    s = m.state[0]
    unlink(m, slot)
    m.orders[slot].next = s.free
    s.free = slot
    s.live -= 1


@hot
def take_id(m: Market) -> int:
    """The exchange numbers orders as they come."""
    s = m.state[0]
    order_id = s.id_next
    s.id_next += s.id_step * (1 + below(m.rng, 2))
    return int(order_id)


@hot
def pick(m: Market, side: int, px: int) -> int:
    """Some order of a queue: mostly one of the last to join. -1 if nobody is there."""
    if uniform(m.rng) < 0.2:
        return int(m.head[side, px])
    slot = int(m.tail[side, px])
    back = below(m.rng, 5)
    while back > 0 and slot >= 0 and m.orders[slot].prev >= 0:
        slot = m.orders[slot].prev
        back -= 1
    return int(slot)


@hot
def stock(m: Market, mid: int, spread: int, orders: int) -> None:
    """The orders that stand before the first day: a deep book, and old orders far away.

    Four fifths of `orders` lie within 400 ticks of the middle, the rest at every fourth tick
    beyond; one in ten of those at a price that nobody expects.
    """
    deep = orders // 1000
    m.state[0].deep = max(1.5, 0.8 * deep)
    for side in range(2):
        away = 1 if side == ASK else -1
        for k in range(400):
            px = mid + (k + (spread if side == ASK else 0)) * away
            for _ in range(1 + below(m.rng, max(3, 2 * deep - 1))):
                enter(m, take_id(m), side, px, draw_size(m), 0)
        for _ in range(max(60, orders // 10)):
            px = mid + away * (400 + 4 * below(m.rng, 350))
            if uniform(m.rng) < 0.1:
                px = mid + away * (mid * 9 // 10 - below(m.rng, mid // 10))
            enter(m, take_id(m), side, max(40, px), draw_size(m), 0)


@hot
def draw_size(m: Market) -> int:
    """Most orders are for one contract, or a round lot of shares; a few are for many."""
    u = uniform(m.rng)
    if m.state[0].convention == NASDAQ:
        if u < 0.45:
            return 100
        if u < 0.85:
            return 1 + below(m.rng, 99)
        return 100 * (1 + int(8.0 * uniform(m.rng) * uniform(m.rng)))
    if u < 0.6:
        return 1
    if u < 0.988:
        return 2 + int(6.0 * uniform(m.rng) * uniform(m.rng))
    return int(10 + below(m.rng, 90))
