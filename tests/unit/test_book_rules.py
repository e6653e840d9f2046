"""What each record does to the book and to the bar, one market situation at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.contracts import TABLES
from spymaster.contracts.event import (
    ACTION_GAP,
    BAR_NS,
    EVENT,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_SNAPSHOT,
)
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel import ladder, orders
from spymaster.kernel.arena import Arena, initialise
from spymaster.kernel.contract_book import BookParams, ContractBook
from spymaster.kernel.layout import (
    BID,
    L_CT,
    L_FIRST,
    L_KEY,
    L_SZ,
    O_KEY,
    O_NEXT,
    O_SZ,
    ORDER,
    S_BITS,
    S_N_BID,
    S_N_ORDERS,
    S_SIZE,
    S_USED,
    T_ROW,
)

NS = 1_000_000_000
START = 1_000_000 * BAR_NS
BARS = (START, START + 1000 * BAR_NS)
BAR_5S = numpy_dtype(TABLES["silver.bar_5s"])
BUY, SELL = 0, 1


class Desk:
    """A book to which a test sends records, one event each; times in seconds from the start."""

    def __init__(self, *, open_at: float = 0.0, dense: bool = True) -> None:
        trading = [(START + int(open_at * NS), BARS[1])]
        self.book = ContractBook(BookParams(250_000_000, 1, START, BARS, trading, dense), BAR_5S)
        self.bars: list[Any] = []
        self.at = 0.0

    def send(
        self,
        action: str,
        order_id: int = 0,
        side: str = "N",
        price: int = 0,
        size: int = 0,
        *,
        at: float | None = None,
        recv: float | None = None,
        flags: int = F_LAST,
    ) -> Any:
        """Send a record; returns its note."""
        self.at = self.at if at is None else at
        e = np.zeros(1, EVENT)
        e["action"], e["side"], e["flags"] = ord(action), ord(side), flags
        e["order_id"], e["price"], e["size"] = order_id, price, size
        e["ts_event"] = START + round(self.at * NS)
        e["ts_recv"] = e["ts_event"] if recv is None else START + round(recv * NS)
        notes, bars = self.book.advance(e)
        self.bars += list(bars.rows)
        return notes.take(0)

    def stock(self, *, flags: int = F_LAST) -> None:
        """R, then 5 + 3 bid at 100 and 4 asked at 102."""
        self.send("R", flags=flags)
        self.send("A", 1, "B", 100, 5)
        self.send("A", 2, "B", 100, 3)
        self.send("A", 3, "A", 102, 4)

    def snapshot(self, rows: Sequence[tuple[int, str, int, int]], at: float) -> None:
        for order_id, side, price, size in rows:
            self.send("A", order_id, side, price, size, at=at, flags=F_SNAPSHOT)

    def mark(self, at: float) -> list[Any]:
        """A clock mark; returns the bars that it closed."""
        rows = list(self.book.close(START + round(at * NS)).rows)
        self.bars += rows
        return rows


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.stock()
    return desk


def test_modify_that_raises_size_loses_queue_priority(desk: Desk) -> None:
    note = desk.send("M", 1, "B", 100, 6)
    assert desk.book.queue(BUY, 100) == [(2, 3), (1, 6)]
    assert (note.added_sz, note.cancelled_sz) == (1, 0)


def test_modify_that_lowers_size_keeps_its_place(desk: Desk) -> None:
    note = desk.send("M", 1, "B", 100, 2)
    assert desk.book.queue(BUY, 100) == [(1, 2), (2, 3)]
    assert (note.added_sz, note.cancelled_sz) == (0, 3)


def test_modify_to_the_same_size_is_nothing(desk: Desk) -> None:
    note = desk.send("M", 1, "B", 100, 5)
    assert desk.book.queue(BUY, 100) == [(1, 5), (2, 3)]
    assert (note.added_sz, note.cancelled_sz) == (0, 0)


def test_modify_to_another_price_cancels_there_and_adds_here(desk: Desk) -> None:
    note = desk.send("M", 1, "B", 101, 7)
    assert desk.book.queue(BUY, 100) == [(2, 3)]
    assert desk.book.queue(BUY, 101) == [(1, 7)]
    assert (note.added_sz, note.cancelled_sz) == (7, 5)


@pytest.mark.parametrize("action", ["T", "F", "N"])
def test_trades_fills_and_notices_leave_the_book_alone(desk: Desk, action: str) -> None:
    before = desk.book.depth(10), desk.book.queue(BUY, 100)
    desk.send(action, 1, "B", 100, 5)
    assert (desk.book.depth(10), desk.book.queue(BUY, 100)) == before


def test_cancel_after_a_fill_is_an_execution(desk: Desk) -> None:
    desk.send("T", 0, "A", 100, 5, flags=0)
    desk.send("F", 1, "B", 100, 5, flags=0)
    note = desk.send("C", 1, "B", 100, 5)
    assert (note.executed_sz, note.cancelled_sz) == (5, 0)
    assert desk.book.queue(BUY, 100) == [(2, 3)]


def test_partial_fill_then_modify_to_what_is_left_keeps_the_place(desk: Desk) -> None:
    desk.send("F", 1, "B", 100, 2, flags=0)
    note = desk.send("M", 1, "B", 100, 3)
    assert (note.executed_sz, note.refilled_sz, note.cancelled_sz) == (2, 0, 0)
    assert desk.book.queue(BUY, 100) == [(1, 3), (2, 3)]


def test_an_iceberg_refill_is_neither_add_nor_cancel_and_goes_to_the_end(desk: Desk) -> None:
    desk.send("F", 1, "B", 100, 5, flags=0)
    note = desk.send("M", 1, "B", 100, 5)
    assert (note.executed_sz, note.refilled_sz) == (5, 5)
    assert (note.added_sz, note.cancelled_sz) == (0, 0)
    assert desk.book.queue(BUY, 100) == [(2, 3), (1, 5)]


def test_a_fill_does_not_explain_a_cancel_of_a_later_ts_event(desk: Desk) -> None:
    desk.send("F", 1, "B", 100, 5)
    note = desk.send("C", 1, "B", 100, 5, at=1.0)
    assert (note.executed_sz, note.cancelled_sz) == (0, 5)


def test_a_fill_is_used_up_once(desk: Desk) -> None:
    desk.send("F", 1, "B", 100, 2)
    assert desk.send("C", 1, "B", 100, 2).executed_sz == 2
    assert desk.send("C", 1, "B", 100, 3).cancelled_sz == 3


def test_a_partial_cancel_after_a_fill_leaves_the_rest_in_its_place_as_on_nasdaq(
    desk: Desk,
) -> None:
    desk.send("T", 1, "A", 100, 2)
    desk.send("F", 1, "B", 100, 2)
    note = desk.send("C", 1, "B", 100, 2)
    assert (note.executed_sz, note.cancelled_sz) == (2, 0)
    assert desk.book.queue(BUY, 100) == [(1, 3), (2, 3)]


def test_a_fill_beyond_the_size_executes_the_size(desk: Desk) -> None:
    desk.send("F", 1, "B", 100, 50)
    assert desk.send("C", 1, "B", 100, 5).executed_sz == 5


def test_an_unknown_cancel_is_counted_and_ignored(desk: Desk) -> None:
    desk.send("C", 99, "B", 100, 5)
    assert desk.book.n_orders == 3
    (bar,) = desk.mark(5.25)
    assert bar["n_unknown"] == 1


def test_an_unknown_modify_is_counted_and_added(desk: Desk) -> None:
    note = desk.send("M", 99, "B", 101, 5)
    assert desk.book.queue(BUY, 101) == [(99, 5)]
    assert note.added_sz == 5
    (bar,) = desk.mark(5.25)
    assert bar["n_unknown"] == 1


def test_a_modify_to_size_zero_cancels(desk: Desk) -> None:
    note = desk.send("M", 1, "B", 100, 0)
    assert note.cancelled_sz == 5
    assert desk.book.queue(BUY, 100) == [(2, 3)]


def test_a_market_snapshot_replaces_the_book_and_counts_in_no_flow(desk: Desk) -> None:
    desk.mark(5.25)
    desk.snapshot([(1, "B", 99, 5), (8, "A", 101, 2)], at=6.0)
    assert desk.book.best() == ((100, 8, 2), (102, 4, 1)), "an open snapshot is not the book yet"
    desk.send("N", at=7.0)
    assert desk.book.best() == ((99, 5, 1), (101, 2, 1))
    (bar,) = desk.mark(10.25)
    flows = [n for n in BAR_5S.names if n.endswith(("added_sz", "cancelled_sz", "executed_sz"))]
    assert [bar[name] for name in ("ofi", *flows)] == [0] * 7
    assert bar["n_events"] == 1
    assert bar["book_drift"] == 4  # 1 moved, 2 and 3 gone, 8 new
    assert bar["bid_age_known_share"] == 0.0


def test_a_market_snapshot_ends_after_10_s_of_silence_at_a_mark(desk: Desk) -> None:
    desk.snapshot([(8, "B", 99, 5)], at=6.0)
    desk.mark(15.9)
    assert desk.book.best()[0] == (100, 8, 2)
    desk.mark(16.0)
    assert desk.book.best() == ((99, 5, 1), None)


def test_a_mark_ends_a_market_snapshot_that_was_saved_and_loaded_half_way() -> None:
    desk = Desk()
    for i in range(600):
        side, price = ("B", 1000 - i) if i % 2 else ("A", 2000 + i)
        desk.send("A", i + 1, side, price, 2, at=1.0, flags=F_SNAPSHOT)
    kept = desk.book
    desk.book = ContractBook.from_bytes(kept.to_bytes(), BAR_5S)
    assert [b.tobytes() for b in desk.mark(30.0)] == [b.tobytes() for b in kept.close(
        START + 30 * NS
    ).rows]  # fmt: skip
    assert desk.book.n_orders == kept.n_orders == 600
    assert desk.book.best() == ((999, 2, 1), (2000, 2, 1))
    assert desk.book.to_bytes() == kept.to_bytes()


def test_a_market_snapshot_onto_a_good_book_starts_nothing_anew() -> None:
    desk = Desk(open_at=0.0)
    desk.snapshot([(1, "B", 100, 5), (3, "A", 102, 4)], at=0.1)
    desk.send("N", at=1.0)
    desk.snapshot([(1, "B", 100, 5), (3, "A", 102, 4)], at=7.0)
    desk.send("N", at=8.0)
    desk.mark(15.25)
    assert [bool(bar["valid"]) for bar in desk.bars] == [True, True, True][: len(desk.bars)]
    assert [int(bar["book_drift"]) for bar in desk.bars] == [0] * len(desk.bars)
    assert len(desk.bars) >= 3


def test_a_gap_makes_bars_invalid_until_the_next_snapshot() -> None:
    desk = Desk()
    desk.snapshot([(1, "B", 100, 5), (3, "A", 102, 4)], at=0.1)
    desk.send("N", at=6.0)
    desk.send(chr(ACTION_GAP), at=7.0)
    desk.send("N", at=12.0)
    desk.snapshot([(1, "B", 100, 5), (3, "A", 102, 4)], at=17.0)
    desk.send("N", at=18.0)
    desk.mark(30.25)
    valid = {int(bar["bar_start"] - START) // BAR_NS: bool(bar["valid"]) for bar in desk.bars}
    assert [valid[k] for k in range(6)] == [True, False, False, False, True, True]


def test_a_record_that_doubts_the_book_makes_bars_invalid() -> None:
    desk = Desk()
    desk.snapshot([(1, "B", 100, 5), (3, "A", 102, 4)], at=0.1)
    desk.send("N", at=6.0)
    desk.send("N", at=11.0, flags=F_LAST | F_MAYBE_BAD_BOOK)
    desk.mark(15.25)
    valid = {int(bar["bar_start"] - START) // BAR_NS: bool(bar["valid"]) for bar in desk.bars}
    assert [valid[k] for k in range(3)] == [True, True, False]


def test_an_r_before_the_open_begins_a_good_book_and_one_in_trading_hours_ends_it() -> None:
    desk = Desk(open_at=5.0)
    desk.stock()
    desk.send("N", at=6.0)
    desk.send("R", at=11.0)
    desk.send("A", 1, "B", 100, 5, at=11.0)
    desk.send("A", 3, "A", 102, 4, at=11.0)
    desk.mark(20.25)
    assert [bool(bar["valid"]) for bar in desk.bars] == [True, True, False, False]


def test_a_mark_closes_the_bars_of_a_silent_contract(desk: Desk) -> None:
    assert desk.mark(5.249) == []
    assert len(desk.mark(5.25)) == 1
    assert [int(bar["n_events"]) for bar in desk.mark(60.25)] == [0] * 11
    assert desk.bars[-1]["bid_px"] == 25.0


def test_no_mark_closes_a_bar_while_an_event_is_open(desk: Desk) -> None:
    desk.send("A", 7, "B", 100, 1, at=4.9, recv=5.1, flags=0)
    assert desk.mark(5.3) == []
    assert desk.send("A", 8, "B", 100, 1, recv=5.3).t == START + round(4.9 * NS)
    (bar,) = desk.mark(5.3)
    assert (bar["n_events"], bar["n_lost_last"], bar["bid_ct"]) == (6, 0, 4)


def test_no_mark_closes_a_bar_while_a_market_snapshot_is_open(desk: Desk) -> None:
    desk.snapshot([(1, "B", 99, 5)], at=4.0)
    assert desk.mark(13.9) == []
    assert len(desk.mark(14.0)) == 2


def test_an_event_that_lost_its_last_record_ends_before_the_next_ts_event(desk: Desk) -> None:
    desk.send("A", 7, "B", 101, 1, flags=0)
    desk.send("A", 8, "B", 101, 1, at=1.0)
    (bar,) = desk.mark(5.25)
    assert bar["n_lost_last"] == 1
    assert bar["ofi"] == 2


def test_a_late_record_takes_the_time_that_no_mark_has_passed(desk: Desk) -> None:
    assert desk.send("N", at=1.0, recv=1.2).t == START + NS
    assert desk.send("N", at=2.0, recv=9.0).t == START + round(8.75 * NS)
    assert desk.send("N", at=3.0, recv=9.0).t == START + round(8.75 * NS)


def test_an_empty_bar_of_an_option_is_no_row() -> None:
    desk = Desk(dense=False)
    desk.stock()
    desk.send("N", at=21.0)
    desk.mark(60.25)
    assert [int(bar["bar_start"] - START) // BAR_NS for bar in desk.bars] == [0, 4]


def test_a_hidden_trade_counts_in_volume_and_in_neither_side(desk: Desk) -> None:
    desk.send("T", 0, "N", 101, 7)
    desk.send("T", 0, "B", 102, 2)
    (bar,) = desk.mark(5.25)
    assert (bar["volume"], bar["buy_volume"], bar["sell_volume"]) == (9, 2, 0)
    assert (bar["high"], bar["low"]) == (25.5, 25.25)


def test_an_order_id_with_its_highest_bit_set_is_like_any_other(desk: Desk) -> None:
    desk.send("A", -7, "B", 99, 5)
    assert desk.book.queue(BUY, 99) == [(-7, 5)]
    desk.send("C", -7, "B", 99, 5)
    assert desk.book.queue(BUY, 99) == []


KEYS = st.integers(-40, 40) | st.sampled_from([2**63 - 1, -(2**63), 2**62, 2**40])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=200))
def test_the_hash_table_survives_growth_and_deletion(steps: list[tuple[bool, int]]) -> None:
    s = np.zeros(S_SIZE, np.int64)
    s[S_BITS] = 2
    table, rows = np.zeros((4, 2), np.int64), np.zeros((256, ORDER), np.int64)
    truth: dict[int, int] = {}
    for n, (insert, order_id) in enumerate(steps):
        at = orders.place(table, s, order_id)
        row = orders.find(table, s, order_id)
        assert row == table[at, T_ROW] - 1
        assert (row >= 0) == (order_id in truth)
        if row >= 0 and not insert:
            orders.remove(table, rows, s, at)
            del truth[order_id]
        elif row < 0 and insert:
            if 2 * (len(truth) + 1) > len(table):
                larger = np.zeros((2 * len(table), 2), np.int64)
                orders.enter(larger, s, table)
                table = larger
                at = orders.place(table, s, order_id)
            rows[orders.insert(table, rows, s, at, order_id), O_SZ] = n
            truth[order_id] = n
        assert s[S_USED] <= len(table) // 2
    assert s[S_N_ORDERS] == len(truth)
    for order_id, n in truth.items():
        assert rows[orders.find(table, s, order_id), O_SZ] == n


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 60) | st.integers(-(2**40), 2**40), st.integers(1, 9)),
        max_size=120,
    ),
    st.randoms(use_true_random=False),
)
def test_the_ladder_is_a_sorted_dict(joins: list[tuple[int, int]], random: Any) -> None:
    arena = Arena()
    b = arena[arena.add(orders=128, levels=128)]
    initialise(b)
    rows = b.orders
    standing: list[int] = []
    for row, (key, sz) in enumerate(joins):
        rows[row, O_KEY], rows[row, O_SZ] = key, sz
        ladder.join(b, BID, row, 1)
        standing.append(row)
        if random.random() < 0.4:
            gone = standing.pop(random.randrange(len(standing)))
            ladder.leave(b, BID, gone, rows[gone, O_SZ], 1)
        truth: dict[int, list[int]] = {}
        for at in standing:
            truth.setdefault(int(rows[at, O_KEY]), []).append(int(rows[at, O_SZ]))
        n = b.s[S_N_BID]
        slots = b.slots[BID, :n]
        found = b.levels[slots].T
        assert b.keys[BID, :n].tolist() == found[L_KEY].tolist() == sorted(truth)
        assert found[L_SZ].tolist() == [sum(truth[k]) for k in sorted(truth)]
        assert found[L_CT].tolist() == [len(truth[k]) for k in sorted(truth)]
        assert [_queue(rows, first) for first in found[L_FIRST]] == [
            truth[k] for k in sorted(truth)
        ]
        best_three = sum(sum(truth[k]) for k in sorted(truth)[-3:])
        assert ladder.size_of_best(b, BID, 3) == best_three
        if random.random() < 0.5:
            most = [ladder.largest(b, slot) for slot in slots]
            assert most == [max(truth[k]) for k in sorted(truth)]


def _queue(rows: Any, first: int) -> list[int]:
    sizes = []
    while first:
        sizes.append(int(rows[first - 1, O_SZ]))
        first = rows[first - 1, O_NEXT]
    return sizes
