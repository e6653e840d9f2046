"""Rows of silver.bar_5s and silver.orderbook_state, from what a bar saw and the book it left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile

from spymaster.contracts.event import BAR_NS, BOOK_LEVELS, MLOFI_LEVELS
from tests.oracle.book import ASK, BID, Book
from tests.oracle.effects import WORDS, Effect
from tests.oracle.params import Params
from tests.oracle.sample import Sample

SIDES = (("bid", BID), ("ask", ASK))
NEAR_TICKS = 10


@dataclass
class Gathered:
    """What one bar has seen: counts, trades, effects on the book, its states with their t."""

    counts: Counter[str] = field(default_factory=Counter)
    trades: list[tuple[int, int, int, str]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)


def bar_row(
    params: Params, start: int, got: Gathered, before: Sample, book: Book, good_since: int | None
) -> dict[str, object]:
    """The bar [start, start + 5 s); ``before`` is the state it began with.

    ``good_since`` is the t from which the book may be believed, None if it may not.
    """
    state = got.samples[-1] if got.samples else before
    n = got.counts
    row: dict[str, object] = {"bar_start": start, "bar_end": start + BAR_NS}
    row |= _trades(params, got.trades)
    row |= _book_at_close(params, state, book)
    row |= _time_weighted(params, start, before, got.samples)
    row |= {"ofi": n["ofi"]} | {f"mlofi_{m}": n[f"mlofi_{m}"] for m in range(1, MLOFI_LEVELS + 1)}
    for word in WORDS:
        for what in ("sz", "ct"):
            row |= {f"{name}_{word}_{what}": n[f"{name}_{word}_{what}"] for name, _ in SIDES}
    for name, side in SIDES:
        row |= _only_mbo(params, start + BAR_NS, name, side, book)
        executed = n[f"{name}_executed_sz"]
        old = n[f"{name}_executed_old_sz"]
        row[f"{name}_executed_old_share"] = old / executed if executed else None
    for name in ("n_events", "n_unknown", "n_crossed", "n_backwards", "n_lost_last", "book_drift"):
        row[name] = n[name]
    row["valid"] = good_since is not None and good_since <= start and state.sound
    row["warm"] = params.warm
    return row


def state_row(params: Params, start: int, state: Sample) -> dict[str, object]:
    """Ten levels per side; a missing one is no price, size 0, no orders."""
    row: dict[str, object] = {"bar_start": start, "bar_end": start + BAR_NS}
    for m in range(BOOK_LEVELS):
        for name, levels in (("bid", state.bids), ("ask", state.asks)):
            px, sz, ct = levels[m] if m < len(levels) else (None, 0, 0)
            row[f"{name}_px_{m:02d}"] = _px(params, px)
            row[f"{name}_sz_{m:02d}"] = sz
            row[f"{name}_ct_{m:02d}"] = ct
    return row


def _px(params: Params, steps: int | None) -> float | None:
    return None if steps is None else (steps * params.price_step) / 1e9


def _trades(params: Params, trades: list[tuple[int, int, int, str]]) -> dict[str, object]:
    prices = [price for _, price, _, _ in trades]
    high, low = max(prices, default=None), min(prices, default=None)
    volume = sum(size for _, _, size, _ in trades)
    sum_ps = sum(price * size for _, price, size, _ in trades)
    return {
        "open": _px(params, prices[0] if prices else None),
        "high": _px(params, high),
        "low": _px(params, low),
        "close": _px(params, prices[-1] if prices else None),
        "high_time": next((t for t, price, _, _ in trades if price == high), None),
        "low_time": next((t for t, price, _, _ in trades if price == low), None),
        "volume": volume,
        "buy_volume": sum(size for _, _, size, side in trades if side == BID),
        "sell_volume": sum(size for _, _, size, side in trades if side == ASK),
        "n_trades": len(trades),
        "vwap": (float(sum_ps) / float(volume)) * params.price_step / 1e9 if volume else None,
        "notional": float(sum_ps) * params.price_step / 1e9,
    }


def _book_at_close(params: Params, state: Sample, book: Book) -> dict[str, object]:
    step = params.price_step
    row: dict[str, object] = {}
    for name, levels in (("bid", state.bids), ("ask", state.asks)):
        px, sz, ct = levels[0] if levels else (None, 0, 0)
        row |= {f"{name}_px": _px(params, px), f"{name}_sz": sz, f"{name}_ct": ct}
        row[f"{name}_depth_10"] = _size(levels)
    names = ["mid", "spread", "microprice", *(f"imbalance_{n}" for n in (1, 3, 5, 10))]
    names += [f"{name}_depth_{n}t" for n in (4, 8, 20) for name, _ in SIDES]
    row |= dict.fromkeys(names)
    if not state.sound:
        return row
    (b, qb, _), (a, qa, _) = state.bids[0], state.asks[0]
    row["mid"] = ((b + a) * step) / 2e9
    row["spread"] = ((a - b) * step) / 1e9
    row["microprice"] = ((b * qa + a * qb) / (qa + qb)) * step / 1e9
    for n in (1, 3, 5, 10):
        bids, asks = _size(state.bids[:n]), _size(state.asks[:n])
        row[f"imbalance_{n}"] = (bids - asks) / (bids + asks)
    for n in (4, 8, 20):
        for name, side in SIDES:
            row[f"{name}_depth_{n}t"] = _depth(book, side, b + a, 2 * n * params.tick_steps)
    return row


def _time_weighted(
    params: Params, start: int, before: Sample, samples: list[Sample]
) -> dict[str, object]:
    """Each state counts from its t to the next one's, the last to the bar's end."""
    states = [before, *samples]
    begins = [start, *(s.t for s in samples), start + BAR_NS]
    ns_book = sum_mid = sum_spread = bid_sz = ask_sz = bid_10 = ask_10 = 0
    for state, t, until in zip(states, begins, begins[1:], strict=False):
        dt = until - t
        bid_sz += _size(state.bids[:1]) * dt
        ask_sz += _size(state.asks[:1]) * dt
        bid_10 += _size(state.bids) * dt
        ask_10 += _size(state.asks) * dt
        if state.sound:
            b, a = state.bids[0][0], state.asks[0][0]
            ns_book += dt
            sum_mid += (b + a) * dt
            sum_spread += (a - b) * dt
    step = params.price_step
    return {
        "tw_mid": (float(sum_mid) / float(ns_book)) * step / 2e9 if ns_book else None,
        "tw_spread": (float(sum_spread) / float(ns_book)) * step / 1e9 if ns_book else None,
        "ns_book": ns_book,
        "tw_bid_sz": bid_sz / 5e9,
        "tw_ask_sz": ask_sz / 5e9,
        "tw_bid_depth_10": bid_10 / 5e9,
        "tw_ask_depth_10": ask_10 / 5e9,
    }


def _only_mbo(params: Params, end: int, name: str, side: str, book: Book) -> dict[str, object]:
    best = book.best(side)
    names = ("queue_age_s", "age_known_share", "largest_sz", "largest_ticks", "mean_order_sz")
    if best is None:
        return {f"{name}_{what}": None for what in names}
    queue = book.queue(side, best)
    sz = sum(o.size for o in queue)
    entered = sum(o.size * params.microseconds(o.entry) for o in queue)
    age = (sz * params.microseconds(end) - entered) / (sz * 1_000_000)
    reach = NEAR_TICKS * params.tick_steps
    near = [
        (-o.size, abs(best - price))
        for price in takewhile(lambda p: abs(best - p) <= reach, book.prices(side))
        for o in book.queue(side, price)
    ]
    largest, distance = min(near)
    known = sum(o.size for o in queue if o.age_known)
    what = (age, known / sz, -largest, distance / params.tick_steps, sz / len(queue))
    return {f"{name}_{k}": v for k, v in zip(names, what, strict=True)}


def _depth(book: Book, side: str, twice_mid: int, reach: int) -> int:
    """Size of a side's prices within reach half-steps of mid; prices come nearest first."""
    near = takewhile(lambda p: abs(2 * p - twice_mid) <= reach, book.prices(side))
    return sum(book.total(side, p)[0] for p in near)


def _size(levels: list[tuple[int, int, int]]) -> int:
    return sum(sz for _, sz, _ in levels)
