"""Trades: the aggressor, then whom he hit, then what is left of them."""

from __future__ import annotations

from spymaster.feed.simulator import nasdaq
from spymaster.feed.simulator.book import draw_size, enter, leave, link, take_id, unlink
from spymaster.feed.simulator.draws import below, uniform
from spymaster.feed.simulator.hot import hot
from spymaster.feed.simulator.market import ASK, BID, LADDER, NOBODY, Market
from spymaster.feed.simulator.path import Plan, seen
from spymaster.feed.simulator.tape import (
    ADD,
    CANCEL,
    FILL,
    MODIFY,
    TRADE,
    begin,
    end,
    next_packet,
    write,
)
from spymaster.feed.simulator.venue import NASDAQ


@hot
def trade(m: Market, plan: Plan, aggressor: int, want: int, limit: int, rests: bool) -> None:
    """A marketable order trades down to its limit price; with `rests` its rest stays."""
    s = m.state[0]
    side = ASK if aggressor == BID else BID
    step = 1 if side == ASK else -1
    if step * (limit - (s.ask if side == ASK else s.bid)) < 0:
        return
    if s.convention == NASDAQ:
        nasdaq.sweep(m, plan, aggressor, want, limit, rests)
        return
    begin(m)
    order_id = take_id(m)
    left, n, px = want, 0, s.ask if side == ASK else s.bid
    last_px = px
    while left > 0 and 0 < px < LADDER - 1 and step * (limit - px) >= 0:
        taken, stopped, first = 0, False, n
        slot = m.head[side, px]
        while slot >= 0 and left > taken and n < len(m.fills) - 1:
            order = m.orders[slot]
            size = min(order.size, left - taken)
            m.fills[n, 0], m.fills[n, 1] = slot, size
            n += 1
            taken += size
            # An iceberg that shows its next part is enough for one aggressor.
            stopped = stopped or (size == order.size and order.hidden > 0)
            slot = order.next
        write(m, TRADE, aggressor, px, taken, order_id)
        seen(m, plan, px)
        for k in range(first, n):
            order = m.orders[m.fills[k, 0]]
            size = m.fills[k, 1]
            if size % 2 == 0 and uniform(m.rng) < 0.02:
                # Two fills of one order alike in every field: rare, and real.
                write(m, FILL, side, px, size // 2, order.id)
                write(m, FILL, side, px, size // 2, order.id)
            else:
                write(m, FILL, side, px, size, order.id)
        left -= taken
        last_px = px
        if stopped or n >= len(m.fills) - 1:
            break
        px += step
        while 0 < px < LADDER - 1 and m.held[side, px] == 0:
            px += step
    if n == 0:
        return
    if uniform(m.rng) < 0.93:
        next_packet(m)
    for k in range(n):
        _settle(m, m.fills[k, 0], m.fills[k, 1])
    clear = last_px < s.ask if aggressor == BID else last_px > s.bid
    if rests and clear:
        size = left if left > 0 else draw_size(m)
        if enter(m, order_id, aggressor, last_px, size, 0) >= 0:
            write(m, ADD, aggressor, last_px, size, order_id)
    end(m)


@hot
def _settle(m: Market, slot: int, size: int) -> None:
    """A filled order: C when done, M with what is left, M with the next part of an iceberg."""
    order = m.orders[slot]
    if size < order.size:
        m.qty[order.side, order.px] -= size
        order.size -= size
        write(m, MODIFY, order.side, order.px, order.size, order.id)
    elif order.hidden > 0:
        shown = min(order.hidden, order.size + below(m.rng, 3))
        unlink(m, slot)
        order.hidden -= shown
        order.size = shown
        link(m, slot)
        write(m, MODIFY, order.side, order.px, shown, order.id)
    else:
        write(m, CANCEL, order.side, order.px, order.size, order.id)
        leave(m, slot)


@hot
def hidden_trade(m: Market, plan: Plan) -> None:
    """A trade that no resting order owns up to."""
    s = m.state[0]
    if s.convention == NASDAQ:
        nasdaq.hidden(m, plan)
        return
    begin(m)
    px = s.bid if uniform(m.rng) < 0.5 else s.ask
    write(m, TRADE, NOBODY, px, 1 + below(m.rng, 4), take_id(m))
    seen(m, plan, px)
    end(m)


@hot
def uncross(m: Market, plan: Plan) -> None:
    """The opening auction: all that crosses trades at one price, and the book is apart again."""
    s = m.state[0]
    if s.bid < s.ask:
        return
    begin(m)
    best, volume, bids = s.ask, 0, 0
    for px in range(s.ask, s.bid + 1):
        bids += m.qty[BID, px]
    asks = 0
    for px in range(s.ask, s.bid + 1):
        asks += m.qty[ASK, px]
        if min(bids, asks) > volume:
            best, volume = px, min(bids, asks)
        bids -= m.qty[BID, px]
    # All of one side at the auction price or better is done, or all of the other.
    while True:
        n = 0
        done_b, done_a = 0, 0
        budget = (len(m.fills) - 2) // 2
        for side in range(2):
            done = 0
            px = s.bid if side == BID else s.ask
            first = n
            while done < volume and n - first < budget:
                slot = m.head[side, px]
                while slot >= 0 and done < volume and n - first < budget:
                    size = min(m.orders[slot].size, volume - done)
                    m.fills[n, 0], m.fills[n, 1] = slot, size
                    done += size
                    n += 1
                    slot = m.orders[slot].next
                px += -1 if side == BID else 1
            if side == BID:
                done_b, n_b = done, n
            else:
                done_a = done
        part = min(done_b, done_a)
        if part == volume:
            break
        volume = part
    write(m, TRADE, NOBODY, best, volume, 0)
    seen(m, plan, best)
    for k in range(n):
        write(m, FILL, BID if k < n_b else ASK, best, m.fills[k, 1], m.orders[m.fills[k, 0]].id)
    next_packet(m)
    for k in range(n):
        m.orders[m.fills[k, 0]].hidden = 0
        _settle(m, m.fills[k, 0], m.fills[k, 1])
    while s.bid >= s.ask:
        # The auction was larger than one event may be: what still crosses is withdrawn.
        slot = m.head[ASK, s.ask]
        order = m.orders[slot]
        write(m, CANCEL, ASK, order.px, order.size, order.id)
        leave(m, slot)
    end(m)
