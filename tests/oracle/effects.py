"""What a live record does to the book, in words: added, cancelled, executed, refilled."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.book import Book, Order

WORDS = ("added", "cancelled", "executed", "refilled")


@dataclass(frozen=True)
class Effect:
    """``size`` came or went at ``price`` of ``side``; ``entry`` of the order before it happened."""

    word: str
    side: str
    price: int
    size: int
    entry: int


class LiveBook:
    """A book that knows of fills: the C or M of a filled order tells executed from cancelled.

    >>> live = LiveBook()
    >>> live.apply("A", 1, "B", 100, 10, ts_event=1, t=1)
    ([Effect(word='added', side='B', price=100, size=10, entry=1)], False)
    >>> live.apply("F", 1, "B", 100, 4, ts_event=2, t=2)
    ([], False)
    >>> [(e.word, e.size) for e in live.apply("M", 1, "B", 100, 9, ts_event=2, t=2)[0]]
    [('executed', 4), ('refilled', 3)]
    >>> live.apply("C", 7, "B", 100, 4, ts_event=3, t=3)
    ([], True)
    """

    def __init__(self) -> None:
        self.book = Book()
        self.pending: dict[int, tuple[int, int]] = {}

    def replace(self, book: Book) -> None:
        self.book = book
        self.pending = {}

    def apply(
        self, action: str, order_id: int, side: str, price: int, size: int, *, ts_event: int, t: int
    ) -> tuple[list[Effect], bool]:
        """Effects of one record (zero sizes left out), and whether it named an unknown order."""
        order = self.book.orders.get(order_id)
        if action == "R":
            self.replace(Book())
            return [], False
        if action == "F":
            self._fill(order, size, ts_event)
            return [], False
        if action not in "ACM":
            return [], False
        unknown = (order is not None) == (action == "A")
        if action == "C" or size == 0:
            taken = size if action == "C" else None
            effects = [] if order is None else self._cancel(order, taken, ts_event)
        elif order is None:
            effects = self._add(Order(order_id, side, price, size, t, True))
        else:
            effects = self._modify(order, side, price, size, ts_event, t)
        return [e for e in effects if e.size > 0], unknown

    def _fill(self, order: Order | None, size: int, ts_event: int) -> None:
        if order is None:
            return
        of, before = self.pending.get(order.order_id, (ts_event, 0))
        self.pending[order.order_id] = (ts_event, size + (before if of == ts_event else 0))

    def _use_pending(self, order: Order, ts_event: int) -> int:
        of, size = self.pending.pop(order.order_id, (ts_event, 0))
        return size if of == ts_event else 0

    def _add(self, order: Order) -> list[Effect]:
        self.book.add(order)
        return [Effect("added", order.side, order.price, order.size, order.entry)]

    def _cancel(self, order: Order, size: int | None, ts_event: int) -> list[Effect]:
        taken = order.size if size is None else min(size, order.size)
        executed = min(self._use_pending(order, ts_event), taken)
        self.book.shrink(order, order.size - taken)
        return [
            Effect("executed", order.side, order.price, executed, order.entry),
            Effect("cancelled", order.side, order.price, taken - executed, order.entry),
        ]

    def _modify(
        self, order: Order, side: str, price: int, size: int, ts_event: int, t: int
    ) -> list[Effect]:
        executed = min(self._use_pending(order, ts_event), order.size)
        rest = order.size - executed
        at = (order.side, order.price)
        effects = [Effect("executed", *at, executed, order.entry)]
        if (side, price) != at:
            effects.append(Effect("cancelled", *at, rest, order.entry))
            self.book.remove(order)
            effects += self._add(Order(order.order_id, side, price, size, t, True))
        elif size > rest:
            word = "refilled" if executed > 0 else "added"
            effects.append(Effect(word, *at, size - rest, order.entry))
            self.book.requeue(order, size, t)
        else:
            effects.append(Effect("cancelled", *at, rest - size, order.entry))
            self.book.shrink(order, size)
        return effects
