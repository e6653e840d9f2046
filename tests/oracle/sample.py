"""The book as it stands at the end of an event, and what passed between two of them."""

from __future__ import annotations

from dataclasses import dataclass

from spymaster.contracts.event import BOOK_LEVELS
from tests.oracle.book import ASK, BID, Book

Level = tuple[int, int, int]


@dataclass(frozen=True)
class Sample:
    """Ten levels per side, best first, as (price, size, orders), from time ``t`` on."""

    t: int
    bids: list[Level]
    asks: list[Level]

    @property
    def two_sided(self) -> bool:
        return bool(self.bids and self.asks)

    @property
    def crossed(self) -> bool:
        return self.two_sided and self.bids[0][0] >= self.asks[0][0]

    @property
    def sound(self) -> bool:
        """Two-sided with bid < ask: mid and spread exist."""
        return self.two_sided and not self.crossed

    def best(self, side: str) -> int | None:
        levels = self.bids if side == BID else self.asks
        return levels[0][0] if levels else None


def take(t: int, book: Book) -> Sample:
    return Sample(t, book.levels(BID, BOOK_LEVELS), book.levels(ASK, BOOK_LEVELS))


def order_flow(before: Sample, now: Sample, m: int) -> int:
    """Net size that joined the m-th best bid less the m-th best ask (m from 1).

    Cont, Kukanov & Stoikov 2014; Xu, Gould & Howison 2019. A missing level is size 0 at a
    worse price.

    >>> one = Sample(0, [(100, 5, 1)], [(101, 4, 1)])
    >>> two = Sample(1, [(100, 8, 2)], [(102, 9, 1)])
    >>> order_flow(one, two, 1), order_flow(one, two, 2)
    (7, 0)
    """
    if not (before.two_sided and now.two_sided):
        return 0
    bid = _joined(before.bids[m - 1 : m], now.bids[m - 1 : m], better=1)
    return bid - _joined(before.asks[m - 1 : m], now.asks[m - 1 : m], better=-1)


def _joined(before: list[Level], now: list[Level], better: int) -> int:
    if not before and not now:
        return 0
    if not before:
        return now[0][1]
    if not now:
        return -before[0][1]
    change = better * (now[0][0] - before[0][0])
    return (now[0][1] if change >= 0 else 0) - (before[0][1] if change <= 0 else 0)
