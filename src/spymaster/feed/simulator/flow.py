"""What traders do next: join, leave, change their mind, or trade.

Quotes follow the fair value; the lean of the flow (`tilt`, +1 up, -1 down) changes who joins,
who leaves and who trades, never where the fair value is.

How order flow imbalance (Cont, Kukanov & Stoikov 2014) can lean while the price does not: over a
visit of the best bid to a price, it sums to the queue that the price leaves upwards less the
queue that it came down to. Eager buyers therefore join the best bid and leave no orders behind
it, eager sellers the other way round: each small swing of the price adds to the imbalance of the
flow, and hardly to that of the book.
"""

from __future__ import annotations

import math

from spymaster.feed.simulator import nasdaq
from spymaster.feed.simulator.book import draw_size, enter, leave, link, pick, take_id, unlink
from spymaster.feed.simulator.draws import below, exponential, normal, uniform
from spymaster.feed.simulator.hot import hot
from spymaster.feed.simulator.market import ASK, BID, LADDER, Market
from spymaster.feed.simulator.matching import hidden_trade, trade
from spymaster.feed.simulator.path import APPROACH, EPISODE, Plan
from spymaster.feed.simulator.tape import ADD, CANCEL, MODIFY, begin, end, write
from spymaster.feed.simulator.venue import NASDAQ

#: How far the lean moves the odds of a buyer, and the queues: at the best, one tick behind it
#: (two ticks: not at all), farther behind, and at a level that is near.
_LEAN_TRADES = 0.25
_LEAN_BEST, _LEAN_NEXT, _LEAN_DEEP, _LEAN_LEVEL = 0.6, -0.95, 0.35, 0.95
#: Share of the quotes that are about the level, while one is near.
_LEVEL_SHARE = 0.16
#: Share of the decisions that are trades, where queues are long and where a thin book needs them
#: to have any in most bars; of CME's and NASDAQ's that are with hidden orders.
_TRADES, _TRADES_THIN, _HIDDEN_CME, _HIDDEN_NASDAQ = 0.063, 0.13, 3e-5, 0.02
#: Share of the orders that show a part of themselves.
_ICEBERGS = 0.015
#: From this depth on, levels hold queues.
_FULL = 6.0
#: Share of the trades that go through the best level.
_SWEEPS = 0.02
#: Share of the quotes that change an order; of the changes that make it smaller, larger.
_CHANGES, _SMALLER, _LARGER = 0.27, 0.07, 0.10


@hot
def act(m: Market, plan: Plan) -> None:
    """One decision of one trader."""
    s = m.state[0]
    gap = (s.fair - 0.5 * (s.bid + s.ask)) / s.unit
    u = uniform(m.rng)
    trades = _TRADES if s.depth > _FULL else _TRADES_THIN
    if u < (_HIDDEN_NASDAQ if s.convention == NASDAQ else _HIDDEN_CME):
        hidden_trade(m, plan)
    elif u > 0.65 and (s.ask < s.fair - 0.5 if gap > 0 else s.bid > s.fair + 0.5):
        # Quotes that the fair value has left behind are pulled.
        side = ASK if gap > 0 else BID
        _cancel(m, side, s.ask if gap > 0 else s.bid)
    elif u < trades + (0.1 if abs(gap) > 1.0 else 0.0) + (0.3 if abs(gap) > 2.5 else 0.0):
        _aggress(m, plan, gap)
    elif s.ask - s.bid > 1 and uniform(m.rng) < 0.7:
        _improve(m, gap)
    else:
        _rest(m, plan)


@hot
def _aggress(m: Market, plan: Plan, gap: float) -> None:
    s = m.state[0]
    if abs(gap) > 1.0:
        buyer = BID if gap > 0 else ASK
        side = ASK if gap > 0 else BID
        best = s.ask if side == ASK else s.bid
        reach = int(s.unit * min(3.0, abs(gap) / 2.0)) * (1 if side == ASK else -1)
        limit = round(s.fair)
        limit = min(limit, best + reach) if side == ASK else max(limit, best + reach)
        want = m.qty[side, best] * (1 + abs(reach))
        trade(m, plan, buyer, want, limit, uniform(m.rng) < 0.4)
        return
    odds = min(0.95, max(0.05, 0.5 + 0.25 * gap + _LEAN_TRADES * s.tilt))
    buyer = BID if uniform(m.rng) < odds else ASK
    side = ASK if buyer == BID else BID
    best = s.ask if side == ASK else s.bid
    size = draw_size(m)
    if uniform(m.rng) < 0.35:
        size += draw_size(m) + draw_size(m)
    if uniform(m.rng) < _SWEEPS and abs(best - s.fair) < 2.0 * s.unit:
        # Impatience: the whole best level, and some of the next.
        trade(m, plan, buyer, m.qty[side, best] + size, best + (1 if side == ASK else -1), False)
        return
    if uniform(m.rng) < 0.9:
        size = min(size, m.qty[side, best] - 1)
    if size > 0 and abs(best - s.fair) < 3.0 * s.unit:
        trade(m, plan, buyer, size, best, False)


@hot
def _improve(m: Market, gap: float) -> None:
    """A wide market is narrowed from the side that the fair value favours."""
    s = m.state[0]
    up = gap * s.unit > 0.3 * normal(m.rng)
    if up:
        px = min(max(math.floor(s.fair - 0.25), s.bid + 1), s.ask - 1)
    else:
        px = max(min(math.ceil(s.fair + 0.25), s.ask - 1), s.bid + 1)
    _add(m, BID if up else ASK, px)


@hot
def _rest(m: Market, plan: Plan) -> None:
    s = m.state[0]
    side = BID if uniform(m.rng) < 0.5 else ASK
    k = int(exponential(m.rng, 3.0 * math.sqrt(s.unit)))
    if uniform(m.rng) < 0.03:
        k = 10 + int(exponential(m.rng, 40.0))
    target = s.depth * (0.7 if k == 0 else 1.15) if k < 30 else s.deep
    if k <= 10:
        target *= 1.0 + _lean(k) * (s.tilt if side == BID else -s.tilt)
    px = s.bid - k if side == BID else s.ask + k
    if s.bid < 2 or s.ask > LADDER - 3:
        # A side is empty: it begins anew about the fair value.
        px = round(s.fair) + (-1 - k if side == BID else 1 + k)
        px = min(px, s.ask - 1) if side == BID else max(px, s.bid + 1)
    if k == 0 and (s.bid > s.fair - 0.1 if side == BID else s.ask < s.fair + 0.1):
        # A quote on the wrong side of the fair value is pulled.
        target *= 0.1
    p = plan[0]
    if s.leads and (p.mode == APPROACH or p.mode == EPISODE) and uniform(m.rng) < _LEVEL_SHARE:
        level = p.level + p.s * below(m.rng, int(p.touch) + 1)
        ahead = ASK if p.s > 0 else BID
        if (level > s.bid + 1) if ahead == ASK else (level < s.ask - 1):
            # Who believes in a break pulls the orders in its way; who does not, adds to them.
            side, px = ahead, level
            target = 2.0 * s.depth * (1.0 - _LEAN_LEVEL * s.tilt * p.s)
    px = min(max(px, 2), LADDER - 2)
    count = m.held[side, px]
    u = uniform(m.rng)
    come = target / (target + count)
    changes = _CHANGES
    if s.depth > _FULL and k < 30:
        # Long queues are kept at their length; who stands at the front of one stays.
        if k == 0:
            target, changes = 1.7 * target, 0.4 * changes
        come = 0.5 + 0.45 * min(1.0, max(-1.0, 2.0 * (1.0 - count / target)))
        come = changes + (1.0 - changes) * come
    if count > 0 and u < changes:
        _change(m, side, px)
    elif u < come:
        _add(m, side, px)
    elif count > 0:
        _cancel(m, side, px)


@hot
def _cancel(m: Market, side: int, px: int) -> None:
    slot = pick(m, side, px)
    if slot < 0:
        return
    begin(m)
    write(m, CANCEL, side, px, m.orders[slot].size, m.orders[slot].id)
    leave(m, slot)
    end(m)


@hot
def pull(m: Market, plan: Plan) -> None:
    """The price jumps: who stands in its way leaves, and the next trade is where it went."""
    s = m.state[0]
    to = round(s.fair)
    side = ASK if s.jump > 0 else BID
    s.jump = 0.0
    left = 4000
    while left > 0 and (s.ask < to if side == ASK else s.bid > to):
        px = s.ask if side == ASK else s.bid
        if not 1 < px < LADDER - 2:
            return
        _cancel(m, side, px)
        s.now += 200 + below(m.rng, 3000)
        left -= 1
    best = s.ask if side == ASK else s.bid
    trade(m, plan, BID if side == ASK else ASK, 1 + draw_size(m), best, False)


@hot
def _lean(k: int) -> float:
    if k == 0:
        return _LEAN_BEST
    if k <= 2:
        return _LEAN_NEXT * (2 - k)
    return _LEAN_DEEP


@hot
def _add(m: Market, side: int, px: int) -> None:
    size = draw_size(m)
    hidden = size * (1 + below(m.rng, 6)) if uniform(m.rng) < _ICEBERGS else 0
    order_id = take_id(m)
    if enter(m, order_id, side, px, size, hidden) >= 0:
        begin(m)
        write(m, ADD, side, px, size, order_id)
        end(m)


@hot
def _change(m: Market, side: int, px: int) -> None:
    """An order is made smaller (keeps its place), larger (loses it), or moved."""
    s = m.state[0]
    slot = pick(m, side, px)
    order = m.orders[slot]
    u = uniform(m.rng)
    if s.convention == NASDAQ:
        if u < 0.3 and order.size > 1:
            nasdaq.shrink(m, slot, 1 + below(m.rng, order.size - 1))
        elif u < 0.36:
            nasdaq.replace(m, slot, px, order.size + draw_size(m))
        else:
            nasdaq.replace(m, slot, _elsewhere(m, side, px), order.size)
        return
    begin(m)
    if u < _SMALLER and order.size > 1:
        less = 1 + below(m.rng, order.size - 1)
        order.size -= less
        m.qty[side, px] -= less
    elif u < _LARGER:
        unlink(m, slot)
        order.size += draw_size(m)
        link(m, slot)
    elif u > _LARGER + 0.005:
        to = _elsewhere(m, side, px)
        unlink(m, slot)
        order.px = to
        link(m, slot)
    write(m, MODIFY, side, order.px, order.size, order.id)
    end(m)


@hot
def _elsewhere(m: Market, side: int, px: int) -> int:
    """A price one to three ticks away that does not cross."""
    s = m.state[0]
    move = 1 + below(m.rng, 3)
    to = px + (move if uniform(m.rng) < 0.5 else -move)
    to = min(to, s.ask - 1) if side == BID else max(to, s.bid + 1)
    to = to if to != px else px - move if side == BID else px + move
    return int(min(max(to, 2), LADDER - 3))


@hot
def act_before_open(m: Market) -> None:
    """Orders for the opening auction come and go, and may cross."""
    s = m.state[0]
    side = BID if uniform(m.rng) < 0.5 else ASK
    best = s.bid if side == BID else s.ask
    if uniform(m.rng) < 0.35 and m.held[side, best] > 0:
        _cancel(m, side, best)
    else:
        px = round(s.fair + (-1.5 if side == BID else 1.5) + 3.0 * normal(m.rng))
        _add(m, side, px)
