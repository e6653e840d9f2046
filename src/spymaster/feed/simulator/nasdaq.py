"""How NASDAQ prints: each message an event, fills as T, F and C, a replaced order under a new id.

Orders for the crosses and non-displayed orders are not in the feed: what they trade is a T without
a side, at half cents too. Nobody cancels at the day's end but by `withdraw`; the next day begins
with R.
"""

from __future__ import annotations

from spymaster.feed.simulator.book import draw_size, enter, leave, take_id
from spymaster.feed.simulator.draws import below, uniform
from spymaster.feed.simulator.hot import hot
from spymaster.feed.simulator.market import ASK, BID, LADDER, NOBODY, Market
from spymaster.feed.simulator.path import Plan, seen
from spymaster.feed.simulator.tape import (
    ADD,
    CANCEL,
    CLEAR,
    FILL,
    TRADE,
    UNDEF_PRICE,
    begin,
    end,
    next_packet,
    write,
    write_at,
)

#: One order sweeps no more resting ones than this.
_MOST = 400


@hot
def sweep(m: Market, plan: Plan, aggressor: int, want: int, limit: int, rests: bool) -> None:
    """A marketable order trades down to its limit, one resting order after the other."""
    s = m.state[0]
    side = ASK if aggressor == BID else BID
    step = 1 if side == ASK else -1
    left, px = want, s.ask if side == ASK else s.bid
    n, stopped, last_px = 0, False, px
    begin(m)
    while (
        left > 0 and not stopped and n < _MOST and 0 < px < LADDER - 1 and step * (limit - px) >= 0
    ):
        slot = m.head[side, px]
        if slot < 0:
            px += step
            continue
        if n > 0 and uniform(m.rng) < 0.1:
            next_packet(m)
        order = m.orders[slot]
        size, order_id = min(order.size, left), order.id
        for action in (TRADE, FILL, CANCEL):
            write(m, action, aggressor if action == TRADE else side, px, size, order_id)
            end(m)
        seen(m, plan, px)
        stopped = _reduce(m, slot, size)
        left -= size
        last_px = px
        n += 1
    clear = last_px < s.ask if aggressor == BID else last_px > s.bid
    if n > 0 and rests and clear:
        _new(m, aggressor, last_px, left if left > 0 else draw_size(m), 0)


@hot
def _reduce(m: Market, slot: int, size: int) -> bool:
    """A fill takes `size` off an order; a reserve order shows its next part as a new one (True)."""
    order = m.orders[slot]
    if size < order.size:
        m.qty[order.side, order.px] -= size
        order.size -= size
        return False
    side, px, hidden, shown = order.side, order.px, order.hidden, order.size
    leave(m, slot)
    if hidden <= 0:
        return False
    shown = min(hidden, shown)
    _new(m, side, px, shown, hidden - shown)
    return True


@hot
def _new(m: Market, side: int, px: int, size: int, hidden: int) -> None:
    order_id = take_id(m)
    if enter(m, order_id, side, px, size, hidden) >= 0:
        write(m, ADD, side, px, size, order_id)
        end(m)


@hot
def shrink(m: Market, slot: int, less: int) -> None:
    """A partial cancel: the order keeps its place."""
    order = m.orders[slot]
    begin(m)
    write(m, CANCEL, order.side, order.px, less, order.id)
    end(m)
    m.qty[order.side, order.px] -= less
    order.size -= less


@hot
def replace(m: Market, slot: int, to: int, size: int) -> None:
    """Another price or more size: the old order is cancelled, a new one takes its id and place."""
    order = m.orders[slot]
    side, hidden = order.side, order.hidden
    begin(m)
    write(m, CANCEL, side, order.px, order.size, order.id)
    leave(m, slot)
    _new(m, side, to, size, hidden)


@hot
def hidden(m: Market, plan: Plan) -> None:
    """A trade of hidden orders: at the best, or in the middle, at half cents too."""
    s = m.state[0]
    begin(m)
    u = uniform(m.rng)
    twice = s.bid + s.ask if u < 0.7 else 2 * (s.bid if u < 0.85 else s.ask)
    write_at(m, TRADE, NOBODY, twice * s.tick_px // 2, 1 + below(m.rng, 300), take_id(m))
    seen(m, plan, twice // 2)
    end(m)


@hot
def cross(m: Market, plan: Plan) -> None:
    """The opening or closing cross: one price, one large trade without a side."""
    s = m.state[0]
    px = int(min(max(round(s.fair), s.bid), s.ask))
    begin(m)
    write(m, TRADE, NOBODY, px, 100_000 + below(m.rng, 400_000), take_id(m))
    seen(m, plan, px)
    end(m)


@hot
def clear(m: Market) -> None:
    """R: the day begins with an empty book, the feed's and ours."""
    begin(m)
    write_at(m, CLEAR, NOBODY, UNDEF_PRICE, 0, 0)
    end(m)


@hot
def withdraw(m: Market, printed: bool) -> None:
    """All orders leave, worst first; `printed`: as cancels."""
    s = m.state[0]
    for side in range(2):
        for k in range(LADDER):
            px = k if side == BID else LADDER - 1 - k
            while m.head[side, px] >= 0:
                slot = m.head[side, px]
                order = m.orders[slot]
                if printed:
                    s.now += 1 + below(m.rng, 2000)
                    begin(m)
                    write(m, CANCEL, side, px, order.size, order.id)
                    end(m)
                leave(m, slot)


@hot
def enter_printed(m: Market, mid: int, levels: int) -> None:
    """The orders that were waiting for the day to begin come in, thinning out away from `mid`."""
    s = m.state[0]
    for k in range(levels):
        for side in range(2):
            px = mid + (k + 1) if side == ASK else mid - k
            if k > 40 and uniform(m.rng) < 0.5:
                continue
            s.now += 1 + below(m.rng, 200_000)
            begin(m)
            _new(m, side, px, draw_size(m), 0)
