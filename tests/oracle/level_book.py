"""What rests and happens near one level in one bar."""

from __future__ import annotations

from spymaster.contracts.event import BAR_NS
from tests.oracle.book import Book
from tests.oracle.effects import WORDS
from tests.oracle.params import Params
from tests.oracle.row import SIDES, Gathered


def level_row(
    params: Params, start: int, level: int, touch: int, got: Gathered, book: Book
) -> dict[str, object]:
    """The bar [start, start + 5 s) within ``touch`` steps of ``level``, and the book it left."""
    row: dict[str, object] = {
        "bar_start": start,
        "bar_end": start + BAR_NS,
        "level_price": level * params.price_step,
        "traded_sz": sum(sz for _, price, sz, _ in got.trades if abs(price - level) <= touch),
    }
    for name, side in SIDES:
        near = [p for p in book.prices(side) if abs(p - level) <= touch]
        sizes = [o.size for p in near for o in book.queue(side, p)]
        row[f"{name}_resting_sz"], row[f"{name}_resting_ct"] = sum(sizes), len(sizes)
        for word in WORDS:
            row[f"{name}_{word}_sz"] = sum(
                e.size
                for e in got.effects
                if (e.side, e.word) == (side, word) and abs(e.price - level) <= touch
            )
        executed, refilled = row[f"{name}_executed_sz"], row[f"{name}_refilled_sz"]
        row[f"{name}_refill_share"] = refilled / executed if executed else None
    return row
