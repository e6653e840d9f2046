"""Feeds that no market would send but every rule allows: for tests that try to break a book."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ContractError
from spymaster.feed.dbn_records import MBO_RECORD

#: Order ids are unsigned on the wire.
_AS_SENT = np.dtype(
    [(name, "<u8" if name == "order_id" else MBO_RECORD[name]) for name in MBO_RECORD.names or ()]
)

_UNDEF_PRICE = 2**63 - 1
_NS = 1_000_000_000
F_LAST, F_SNAPSHOT, F_BAD_TS_RECV, F_MAYBE_BAD_BOOK = 128, 32, 8, 4

Order = tuple[str, int, int]  # side, price 1e-9, size


@dataclass
class _Feed:
    """The records so far, and the orders that stand after them, oldest first."""

    rng: np.random.Generator
    instrument_id: int
    recv: int
    event: int
    orders: dict[int, Order] = field(default_factory=dict)
    rows: list[tuple[object, ...]] = field(default_factory=list)
    next_id: int = 1000
    sequence: int = 1

    def put(
        self,
        action: str,
        side: str = "N",
        price: int = _UNDEF_PRICE,
        size: int = 0,
        order_id: int = 0,
        flags: int = 0,
    ) -> None:
        head = (14, 160, 1, self.instrument_id, self.event, order_id, price, size, flags, 0)
        self.rows.append((*head, ord(action), ord(side), self.recv, 15_000, self.sequence))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def some_order(self) -> int | None:
        return list(self.orders)[self.whole(0, len(self.orders) - 1)] if self.orders else None

    def new_id(self) -> int:
        # Ids need not rise, and the highest bit of a uint64 is a bit like any other.
        self.next_id += self.whole(1, 3)
        return self.next_id if self.chance(0.9) else 2**64 - self.next_id

    def tick(self) -> None:
        """Time goes on: mostly little, sometimes not at all, sometimes for minutes."""
        gap = self.rng.choice(
            [0, 1_000, 50_000_000, 3 * _NS, 17 * _NS, 400 * _NS],
            p=[0.15, 0.35, 0.35, 0.12, 0.02, 0.01],
        )
        gap = int(gap * (0.5 + self.rng.random()))
        self.event += gap
        delay = int(
            self.rng.choice(
                [119_000, 5_000_000, 240_000_000, 900_000_000], p=[0.9, 0.06, 0.03, 0.01]
            )
        )
        self.recv = max(self.recv, self.event + delay)
        self.sequence += 1
        if self.chance(0.03):
            self.event -= self.whole(0, 400_000_000)
        if self.chance(0.005):
            self.event += 2_000_000_000  # an exchange clock ahead of ours


def random_stream(
    rng: np.random.Generator,
    n: int,
    venue: str = "cme",
    *,
    instrument_id: int = 17077,
    start_ns: int = 1_704_810_600 * _NS,
    mid_px: int = 4_800_000_000_000,
    tick_px: int | None = None,
    width: int = 12,
) -> NDArray[np.void]:
    """At least `n` records of one instrument as raw DBN MBO rows, every one of them legal.

    `venue` "nasdaq": R at the start, partial C, no M, F_LAST on each of T, F and C, hidden trades
    between ticks. "cme": snapshots in every form and at any moment, lost F_LAST, one event over
    several ts_recv, F that names no resting order or exceeds it, refills, unknown orders, doubtful
    books. Both: equal ts_recv, ts_event that goes back, late packets, silences.

    >>> rows = random_stream(np.random.default_rng(1), 500, "nasdaq")
    >>> len(rows) >= 500, bool((np.diff(rows["ts_recv"]) >= 0).all())
    (True, True)
    """
    if venue not in ("cme", "nasdaq"):
        raise ContractError(f"random_stream: venue is {venue!r}; allowed: 'cme', 'nasdaq'.")
    tick = tick_px or (250_000_000 if venue == "cme" else 10_000_000)
    feed = _Feed(rng, instrument_id, start_ns, start_ns - 119_000)
    grid = _Grid(mid_px, tick, width)
    if venue == "nasdaq":
        feed.put("R", flags=F_LAST | F_BAD_TS_RECV)
    elif feed.chance(0.8):
        for _ in range(feed.whole(5, 30)):
            side = "BA"[feed.whole(0, 1)]
            feed.orders[feed.new_id()] = (side, grid.passive(feed, side), feed.whole(1, 9))
        _snapshot(feed)
    while len(feed.rows) < n:
        feed.tick()
        (_cme if venue == "cme" else _nasdaq)(feed, grid)
    return np.array(feed.rows, dtype=_AS_SENT).view(MBO_RECORD)


@dataclass
class _Grid:
    """Prices near a middle that walks; `width` ticks to each side."""

    mid: int
    tick: int
    width: int

    def best(self, feed: _Feed, side: str) -> int | None:
        prices = [px for s, px, _ in feed.orders.values() if s == side]
        return (max(prices) if side == "B" else min(prices)) if prices else None

    def passive(self, feed: _Feed, side: str) -> int:
        """A price that does not cross what stands on the other side."""
        if feed.chance(0.2):
            self.mid += self.tick * feed.whole(-3, 3)
        away = feed.whole(1, self.width) if feed.chance(0.98) else feed.whole(100, 4000)
        price = self.mid + (-away if side == "B" else away) * self.tick
        other = self.best(feed, "A" if side == "B" else "B")
        if other is not None and side == "B":
            price = min(price, other - self.tick)
        elif other is not None:
            price = max(price, other + self.tick)
        return max(price, self.tick)


def _add(feed: _Feed, grid: _Grid, flags: int = F_LAST) -> None:
    side = "BA"[feed.whole(0, 1)]
    order_id, price, size = feed.new_id(), grid.passive(feed, side), feed.whole(1, 9)
    feed.orders[order_id] = (side, price, size)
    feed.put("A", side, price, size, order_id, flags)


def _queue(feed: _Feed, grid: _Grid, side: str) -> list[int]:
    best = grid.best(feed, side)
    return [i for i, (s, px, _) in feed.orders.items() if s == side and px == best]


def _nasdaq(feed: _Feed, grid: _Grid) -> None:
    u = feed.rng.random()
    order_id = feed.some_order()
    if order_id is None or u < 0.45:
        _add(feed, grid)
    elif u < 0.75:
        side, price, size = feed.orders[order_id]
        less = size if feed.chance(0.6) else feed.whole(1, size)
        feed.put("C", side, price, less, order_id, F_LAST)
        _reduce(feed, order_id, less)
    elif u < 0.8:
        half = grid.mid + grid.tick // 2
        feed.put("T", "N", half, feed.whole(1, 50), 0, F_LAST)
    else:
        aggressor = "BA"[feed.whole(0, 1)]
        resting = "A" if aggressor == "B" else "B"
        for order_id in _queue(feed, grid, resting)[: feed.whole(1, 3)]:
            _, price, size = feed.orders[order_id]
            part = feed.whole(1, size)
            for action, side in (("T", aggressor), ("F", resting), ("C", resting)):
                feed.put(action, side, price, part, order_id, F_LAST)
            _reduce(feed, order_id, part)


def _reduce(feed: _Feed, order_id: int, by: int) -> None:
    side, price, size = feed.orders.pop(order_id)
    if size > by:
        feed.orders = {order_id: (side, price, size - by), **feed.orders}


def _cme(feed: _Feed, grid: _Grid) -> None:
    u = feed.rng.random()
    last = 0 if feed.chance(0.02) else F_LAST  # a lost F_LAST
    if feed.chance(0.004):
        last |= F_MAYBE_BAD_BOOK
    order_id = feed.some_order()
    if u < 0.004:
        _snapshot(feed)
    elif u < 0.006:
        feed.put("R", flags=last)
        feed.orders.clear()
    elif u < 0.012:
        feed.put("T", "N", grid.mid, feed.whole(1, 5), 0, last)
    elif u < 0.03:
        # An order that nobody has seen: a C to ignore, an M to take as an A.
        side = "BA"[feed.whole(0, 1)]
        unknown, price, size = feed.new_id(), grid.passive(feed, side), feed.whole(1, 9)
        if feed.chance(0.5):
            feed.orders[unknown] = (side, price, size)
            feed.put("M", side, price, size, unknown, last)
        else:
            feed.put("C", side, price, size, unknown, last)
    elif order_id is None or u < 0.42:
        _add(feed, grid, last)
    elif u < 0.62:
        side, price, size = feed.orders.pop(order_id)
        feed.put("C", side, price, size, order_id, last)
    elif u < 0.8:
        _modify(feed, grid, order_id, last)
    else:
        _trade(feed, grid, last)


def _modify(feed: _Feed, grid: _Grid, order_id: int, last: int) -> None:
    side, price, size = feed.orders[order_id]
    new = feed.whole(1, size) if feed.chance(0.5) else size + feed.whole(0, 5)
    if feed.chance(0.3):
        del feed.orders[order_id]
        price = grid.passive(feed, side)
    feed.orders[order_id] = (side, price, new)
    feed.put("M", side, price, new, order_id, last)


def _trade(feed: _Feed, grid: _Grid, last: int) -> None:
    aggressor = "BA"[feed.whole(0, 1)]
    resting = "A" if aggressor == "B" else "B"
    hit = _queue(feed, grid, resting)[: feed.whole(1, 4)]
    if not hit:
        return
    parts = {i: feed.orders[i][2] for i in hit}
    parts[hit[-1]] = feed.whole(1, parts[hit[-1]])
    price = feed.orders[hit[0]][1]
    feed.put("T", aggressor, price, sum(parts.values()), feed.new_id())
    for order_id, part in parts.items():
        extra = feed.whole(1, 3) if feed.chance(0.02) else 0  # F may exceed what rests
        feed.put("F", resting, price, part + extra, order_id)
        if feed.chance(0.02):
            feed.put("F", resting, price, part, order_id)
    if feed.chance(0.03):
        feed.put("F", "N" if feed.chance(0.5) else resting, price, 1, feed.new_id())
    if feed.chance(0.7):
        feed.recv += feed.whole(1_000, 950_000) if feed.chance(0.99) else 300_000_000
        feed.sequence += 1
    for k, (order_id, part) in enumerate(parts.items()):
        side, at, size = feed.orders.pop(order_id)
        flags = last if k == len(parts) - 1 else 0
        if part < size or feed.chance(0.1):
            left = size - part if part < size else feed.whole(1, size + 2)  # an iceberg's next part
            rest = {order_id: (side, at, left)}
            feed.orders = {**rest, **feed.orders} if part < size else {**feed.orders, **rest}
            feed.put("M", side, at, left, order_id, flags)
        else:
            feed.put("C", side, at, size, order_id, flags)


def _snapshot(feed: _Feed) -> None:
    """The whole book again, in price-time order: with R or without, with F_LAST or without."""
    live_event, flags = feed.event, F_SNAPSHOT | F_BAD_TS_RECV
    feed.event -= feed.whole(0, 86_400) * _NS
    if feed.chance(0.5):
        feed.put("R", flags=flags)
    elif not feed.orders:
        feed.event = live_event
        return
    if feed.chance(0.1) and len(feed.orders) > 1:
        feed.orders.pop(next(iter(feed.orders)))  # drift: the vendor's book knows better
    rank = sorted(feed.orders.items(), key=_priority)
    feed.orders = dict(rank)
    for order_id, (side, price, size) in rank:
        feed.put("A", side, price, size, order_id, flags)
    if feed.chance(0.5):
        *head, old_flags, channel, action, side_, recv, delta, sequence = feed.rows[-1]
        tail = (channel, action, side_, recv, delta, sequence)
        feed.rows[-1] = (*head, int(str(old_flags)) | F_LAST, *tail)
    feed.event = live_event


def _priority(item: tuple[int, Order]) -> tuple[int, int]:
    side, price, _ = item[1]
    return (0, -price) if side == "B" else (1, price)
