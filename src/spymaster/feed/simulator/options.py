"""Order flow in many options: a few market makers each, quotes about a theoretical price.

Theory is Bachelier's (1900): the future's distance to the strike spreads as the root of time. A
simple flow, for many contracts in one feed: it says nothing of volatility surfaces or of hedging.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spymaster.feed.simulator.draws import below, exponential, normal, uniform
from spymaster.feed.simulator.hot import hot
from spymaster.feed.simulator.sessions import OPEN
from spymaster.feed.simulator.tape import ADD, CANCEL, FILL, LAST, MODIFY, TRADE

#: Orders that one side of an option holds at most.
SLOTS = 5
CENT = 10_000_000
_YEAR_NS, _VOL_POINTS = 365.25 * 86_400e9, 720.0
_NS = 1_000_000_000
#: Of 100 decisions: quotes that follow the theory, orders that come, go; the rest trade.
_FOLLOW, _COME, _GO = 0.45, 0.74, 0.97
#: Records that a decision makes in the mean.
_PER_DECISION = 0.8

BOOK = np.dtype(
    [("instrument_id", "<u4"), ("strike", "<f8"), ("call", "<i8"), ("expires", "<i8")]
    + [(name, "<i8", (2, SLOTS)) for name in ("id", "px", "size")]
)
CLOCK = np.dtype(
    [(name, "<i8") for name in ("second", "now", "recv", "limit", "next_id", "n", "packet")]
)


@hot
def theory(strike: float, call: int, future: float, years: float) -> float:
    """An option's value in points (Bachelier 1900), at a volatility of 720 points a year."""
    spread = _VOL_POINTS * math.sqrt(max(years, 1e-6))
    d = (future - strike if call else strike - future) / spread
    density = math.exp(-0.5 * d * d) / 2.5066282746310002
    return spread * (d * 0.5 * math.erfc(-d / 1.4142135623730951) + density)


@hot
def _best(book: Any, side: int) -> int:
    """The slot of a side's best order, oldest of equals; -1 if there is none."""
    best = -1
    for k in range(SLOTS):
        if book.size[side, k] > 0:
            better = best < 0
            if not better:
                gain = book.px[side, k] - book.px[side, best]
                gain = gain if side == 0 else -gain
                better = gain > 0 or (gain == 0 and book.id[side, k] < book.id[side, best])
            if better:
                best = k
    return best


@hot
def _quote(book: Any, side: int, value: float, rng: Any) -> int:
    """A price in cents about the theory, on the tick that its premium has, and not crossing."""
    tick = 5 if value < 5.0 else 25
    half = 0.03 + 0.012 * value + 0.4 * tick / 100.0
    away = half * (1.0 + 0.5 * uniform(rng)) + 0.01 * tick * below(rng, 4)
    cents = 100.0 * (value - away if side == 0 else value + away)
    px = int(math.floor(cents / tick) if side == 0 else math.ceil(cents / tick)) * tick
    other = _best(book, 1 - side)
    if other >= 0 and side == 0:
        px = min(px, book.px[1, other] - tick)
    if other >= 0 and side == 1:
        px = max(px, book.px[0, other] + tick)
    return px if side == 0 else max(px, 5)


@hot
def _write(
    c: Any,
    out: Any,
    book: Any,
    event: int,
    action: int,
    side: int,
    px: int,
    size: int,
    order_id: int,
) -> None:
    row = out[c.n]
    row.length, row.rtype, row.publisher_id = 14, 160, 1
    row.instrument_id, row.channel_id = book.instrument_id, 1
    row.ts_event, row.ts_recv, row.order_id = event, c.recv, order_id
    row.price, row.size, row.flags = px * CENT, size, 0
    row.action, row.side = action, 66 if side == 0 else 65
    row.ts_in_delta, row.sequence = 14_000, c.packet & 0xFFFFFFFF
    c.n += 1


@hot
def _decide(c: Any, book: Any, value: float, event: int, rng: Any, out: Any) -> None:
    """One decision about one option: at most five records, one event."""
    side, u, first = below(rng, 2), uniform(rng), c.n
    slot = below(rng, SLOTS)
    resting = book.size[side, slot] > 0
    best = _best(book, side)
    if u < _COME and (not resting or u > _FOLLOW):
        px = _quote(book, side, value, rng)
        if not resting and px > 0:
            book.id[side, slot], book.px[side, slot] = c.next_id, px
            book.size[side, slot] = 1 + below(rng, 20) * (1 + below(rng, 3))
            c.next_id += 1 + below(rng, 3)
            _write(c, out, book, event, ADD, side, px, book.size[side, slot], book.id[side, slot])
    elif u < _FOLLOW:
        px = _quote(book, side, value, rng)
        if px > 0 and px != book.px[side, slot]:
            book.px[side, slot] = px
            _write(
                c, out, book, event, MODIFY, side, px, book.size[side, slot], book.id[side, slot]
            )
    elif u < _GO and resting:
        size, px = book.size[side, slot], book.px[side, slot]
        book.size[side, slot] = 0
        _write(c, out, book, event, CANCEL, side, px, size, book.id[side, slot])
    elif u >= _GO and best >= 0:
        px, order_id = book.px[side, best], book.id[side, best]
        size = min(book.size[side, best], 1 + below(rng, 5))
        _write(c, out, book, event, TRADE, 1 - side, px, size, c.next_id)
        c.next_id += 1 + below(rng, 3)
        _write(c, out, book, event, FILL, side, px, size, order_id)
        left = book.size[side, best] - size
        action = MODIFY if left > 0 else CANCEL
        _write(c, out, book, event, action, side, px, left if left > 0 else size, order_id)
        book.size[side, best] = left
    if c.n > first:
        out[c.n - 1].flags = LAST


@hot
def advance(
    clock: Any,
    books: Any,
    rng: Any,
    ladder: Any,
    seconds: Any,
    fair: Any,
    start_ns: int,
    share: float,
    out: Any,
) -> bool:
    """Plays `seconds` until done (True) or until `out` is full (False: call again)."""
    c = clock[0]
    while c.second < len(seconds):
        begin = start_ns + c.second * _NS
        rate = seconds[c.second].rate * share / _PER_DECISION
        if rate <= 0.0 or seconds[c.second].status != OPEN:
            c.second += 1
            continue
        if c.now < begin:
            c.now = begin + 1 + int(min(2e9, exponential(rng, 1e9 / rate)))
        while c.now < begin + _NS:
            if c.n + 8 > len(out):
                return False
            event = c.now
            c.now += 1 + int(min(2e9, exponential(rng, 1e9 / rate)))
            k = min(np.searchsorted(ladder, uniform(rng) * ladder[-1]), len(books) - 1)
            book = books[k]
            if book.expires <= event:
                continue
            recv = event + int(125_000.0 * math.exp(0.3 * normal(rng)))
            c.recv = max(c.recv, min(recv, c.limit))
            c.packet += 1
            years = (book.expires - event) / _YEAR_NS
            value = theory(book.strike, book.call, fair[c.second], years)
            _decide(c, book, value, event, rng, out)
        # Waiting has no memory: the next second draws its own.
        c.now = begin + _NS - 1
        c.second += 1
    c.second = 0
    return True
