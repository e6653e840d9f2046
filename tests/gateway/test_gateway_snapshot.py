"""A market snapshot in mid-day is the book as the oracle has it, and the feed goes on there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spymaster.feed.gateway import Fault, Gateway
from spymaster.feed.gateway.resting import RestingOrders
from spymaster.feed.gateway.tape import Tape, tape_file
from tests.e2e.scenes import SHORT, market, mbo, records
from tests.gateway.client import ALL, ES, Wall, hear
from tests.oracle.book import Book, Order
from tests.oracle.effects import LiveBook
from tests.real_data import es_mbo

R, LAST, SNAPSHOT = ord("R"), 128, 32


def books(rows: np.ndarray) -> dict[int, Book]:
    """The oracle's book of every instrument after these records."""
    found: dict[int, LiveBook] = {}
    open_snapshots: set[int] = set()
    for i, row in enumerate(rows):
        number, action, side = int(row["instrument_id"]), chr(row["action"]), chr(row["side"])
        live = found.setdefault(number, LiveBook())
        order_id, price, size = int(row["order_id"]), int(row["price"]), int(row["size"])
        if not row["flags"] & SNAPSHOT:
            open_snapshots.discard(number)
            live.apply(action, order_id, side, price, size, ts_event=int(row["ts_event"]), t=i)
            continue
        if number not in open_snapshots or action == "R":
            live.replace(Book())
        open_snapshots.add(number)
        if action == "A":
            live.book.add(Order(order_id, side, price, size, i, False))
        if row["flags"] & LAST:
            open_snapshots.discard(number)
    return {number: live.book for number, live in found.items()}


def queues(book: Book) -> dict[tuple[str, int], list[tuple[int, int]]]:
    """By side and price, the orders in their priority: id and size."""
    return {
        (side, price): [(o.order_id, o.size) for o in book.queue(side, price)]
        for side in ("B", "A")
        for price in book.prices(side)
    }


def assert_same(snapshot: np.ndarray, rows: np.ndarray) -> None:
    """The snapshot is well-formed and is the oracle's books of the records before it."""
    assert (snapshot["flags"] & SNAPSHOT > 0).all()
    wanted = books(rows)
    for number in np.unique(snapshot["instrument_id"]).tolist():
        own = snapshot[snapshot["instrument_id"] == number]
        assert own["action"].tolist() == [R] + [ord("A")] * (len(own) - 1)
        assert (own["flags"] & LAST > 0).tolist() == [False] * (len(own) - 1) + [True]
        assert queues(books(own)[number]) == queues(wanted[number])


@pytest.mark.parametrize("broken", [3_000, 9_001, 20_000])
def test_a_snapshot_in_mid_day_is_the_book(
    broken: int, files: list[Path], feed: np.ndarray
) -> None:
    with Gateway(files, at_end="close", faults=[Fault("close", broken)]) as gateway:
        hear(gateway)
        heard = hear(gateway, {**ALL, "snapshot": True})
    snapshot = heard.mbo[: heard.count - (len(feed) - broken)]
    assert len(snapshot) > 500
    assert_same(snapshot, feed[:broken])
    assert heard.mbo[len(snapshot) :].tobytes() == feed[broken:].tobytes()
    assert len(np.unique(snapshot["ts_recv"])) == 1
    assert feed["ts_recv"][broken - 1] <= snapshot["ts_recv"][0] <= feed["ts_recv"][broken]


def test_a_snapshot_of_the_paced_feed_is_of_its_time(files: list[Path], feed: np.ndarray) -> None:
    wall, begin = Wall(), int(feed["ts_recv"][0])
    middle = int(feed["ts_recv"][6_000])
    at_begin = int((feed["ts_recv"] <= begin).sum())
    past = feed[feed["ts_recv"] <= middle]
    own = past[past["instrument_id"] == past["instrument_id"][0]]
    with Gateway(files, speed=1.0, wall=wall) as gateway:
        hear(gateway, until=lambda h: h.count == at_begin)
        wall.now = middle - begin
        heard = hear(
            gateway,
            {**ES, "snapshot": True},
            until=lambda h: bool(h.system("heartbeat")),
            heartbeat_interval_s=1,
        )
    assert (heard.mbo["ts_recv"] == middle).all()
    assert_same(heard.mbo, own)


def test_the_real_book_at_many_places() -> None:
    rows = records(es_mbo())
    orders = RestingOrders(Tape([tape_file(es_mbo())], 10_000))
    for position in (8_725, 8_726, 30_000, 29_999, 68_792):
        snapshot = orders.snapshot(position, 1, None)
        assert_same(snapshot, rows[:position])
    assert len(snapshot) == 11_217 + 1
    assert len(orders.snapshot(68_792, 1, np.array([1]))) == 0


def test_the_books_of_many_options(tmp_path: Path) -> None:
    files = market(tmp_path, 1, 2_000, SHORT, options=300, option_events_per_session=30_000)
    (options,) = [path for path in mbo("mbo", files) if "opt" in path.name][-1:]
    rows = records(options)
    orders = RestingOrders(Tape([tape_file(options)]))
    assert len(np.unique(rows["instrument_id"])) > 100
    for position in (len(rows) // 2, len(rows)):
        assert_same(orders.snapshot(position, 1, None), rows[:position])
