"""A limit order book of plain dicts: slow, obvious, and a second opinion."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

BID, ASK = "B", "A"


@dataclass
class Order:
    """One resting order; ``entry`` is when it took its place (ns on our clock)."""

    order_id: int
    side: str
    price: int
    size: int
    entry: int
    age_known: bool


class Book:
    """Orders by id, and per side and price the queue in priority order.

    >>> book = Book()
    >>> for order_id, price, size in ((1, 100, 5), (2, 100, 3), (3, 99, 7)):
    ...     book.add(Order(order_id, BID, price, size, 0, True))
    >>> book.levels(BID, 10)
    [(100, 8, 2), (99, 7, 1)]
    >>> book.requeue(book.orders[1], 6, 50)
    >>> [o.order_id for o in book.queue(BID, 100)]
    [2, 1]
    """

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.queues: dict[str, dict[int, dict[int, Order]]] = {BID: {}, ASK: {}}
        self._prices: dict[str, list[int]] = {BID: [], ASK: []}
        self._totals: dict[tuple[str, int], tuple[int, int]] = {}

    def add(self, order: Order) -> None:
        self.orders[order.order_id] = order
        if order.price not in self.queues[order.side]:
            self.queues[order.side][order.price] = {}
            insort(self._prices[order.side], order.price)
        self.queues[order.side][order.price][order.order_id] = order
        self._changed(order)

    def remove(self, order: Order) -> None:
        del self.orders[order.order_id]
        queue = self.queues[order.side][order.price]
        del queue[order.order_id]
        if not queue:
            del self.queues[order.side][order.price]
            prices = self._prices[order.side]
            del prices[bisect_left(prices, order.price)]
        self._changed(order)

    def shrink(self, order: Order, size: int) -> None:
        """A smaller order keeps its place and its age; at size 0 it is gone."""
        if size == 0:
            self.remove(order)
        else:
            order.size = size
            self._changed(order)

    def requeue(self, order: Order, size: int, entry: int) -> None:
        """A larger order goes to the end of its queue, as if it had come now."""
        self.remove(order)
        self.add(Order(order.order_id, order.side, order.price, size, entry, True))

    def queue(self, side: str, price: int) -> list[Order]:
        return list(self.queues[side][price].values())

    def prices(self, side: str) -> list[int]:
        """Prices with orders, best first."""
        return self._prices[side][::-1] if side == BID else self._prices[side][:]

    def best(self, side: str) -> int | None:
        if not self._prices[side]:
            return None
        return self._prices[side][-1 if side == BID else 0]

    def total(self, side: str, price: int) -> tuple[int, int]:
        """Size and number of orders at a price."""
        if (side, price) not in self._totals:
            queue = self.queue(side, price)
            self._totals[side, price] = (sum(o.size for o in queue), len(queue))
        return self._totals[side, price]

    def levels(self, side: str, n: int) -> list[tuple[int, int, int]]:
        """The n best prices with size and number of orders, best first."""
        prices = self._prices[side]
        near = prices[: -n - 1 : -1] if side == BID else prices[:n]
        return [(price, *self.total(side, price)) for price in near]

    def differences(self, other: Book) -> int:
        """Orders that only one of two books has, or has with another side, price or size."""
        ids = set(self.orders) | set(other.orders)
        return sum(_what(self.orders.get(i)) != _what(other.orders.get(i)) for i in ids)

    def _changed(self, order: Order) -> None:
        self._totals.pop((order.side, order.price), None)


def _what(order: Order | None) -> tuple[str, int, int] | None:
    return None if order is None else (order.side, order.price, order.size)
