"""Many contracts in one arena: each as if it were alone, whatever the others do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.contracts import TABLES
from spymaster.contracts.event import EVENT
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel import books as kernel
from spymaster.kernel.books import Books
from spymaster.kernel.closed_bars import Bars
from spymaster.kernel.contract_book import ContractBook, Notes
from spymaster.kernel.layout import (
    H_END,
    H_FREE,
    LEVEL,
    ORDER,
    SNAP,
    W_N_LEVELS,
    W_N_ORDERS,
    W_N_SNAP,
    W_PLACES,
)
from tests.kernel_tables import book_params
from tests.scenarios import Scenario, random_scenario, walk_scenario

BAR_5S = numpy_dtype(TABLES["silver.bar_5s"])
SCENARIOS = [
    *(random_scenario(seed, "cme", n=350) for seed in range(3)),
    *(random_scenario(seed, "nasdaq", "STK", n=250) for seed in range(2)),
    random_scenario(5, "cme", "OPT", n=300),
    walk_scenario(2, 400),
]


def told(parts: list[tuple[Notes, Bars]]) -> bytes:
    """Notes and bars laid end to end, as bytes."""
    notes = zip(*(notes for notes, _ in parts), strict=True)
    bars = zip(*(bars[:3] for _, bars in parts), strict=True)
    return b"".join(np.concatenate(column).tobytes() for column in (*notes, *bars))


def alone(s: Scenario, pieces: list[tuple[np.ndarray, int | None]]) -> tuple[bytes, bytes]:
    """What a book of its own tells of these pieces, and its state at the end."""
    book, parts = ContractBook(book_params(s.params), BAR_5S), []
    for events, mark in pieces:
        parts.append(book.advance(events))
        if mark is not None:
            parts.append((book.advance(events[:0])[0], book.close(mark)))
    return told(parts), book.to_bytes()


class Floor:
    """A `Books` with a scenario per contract; remembers what each was given and told."""

    def __init__(self) -> None:
        self.books = Books(BAR_5S)
        self.given: list[list[tuple[np.ndarray, int | None]]] = []
        self.told: list[list[tuple[Notes, Bars]]] = []
        self.scenarios: list[Scenario] = []

    def add(self, s: Scenario) -> None:
        assert self.books.add(book_params(s.params)) == len(self.scenarios)
        self.scenarios.append(s)
        self.given.append([])
        self.told.append([])

    def advance(self, upto: list[int], at: list[int], rng: np.random.Generator) -> None:
        """Give each contract its records from `at` to `upto`, interleaved at random."""
        whose = np.repeat(np.arange(len(at)), np.array(upto) - np.array(at))
        rng.shuffle(whose)
        mixed = np.zeros(len(whose), EVENT)
        for c, s in enumerate(self.scenarios):
            mine = s.events[at[c] : upto[c]].copy()
            mine["contract"] = c
            mixed[whose == c] = mine
            self.given[c].append((mine, None))
        notes, bars = self.books.advance(mixed, whose)
        assert (np.diff(bars.contract) >= 0).all()
        for c in range(len(at)):
            self.told[c].append((notes.take(whose == c), mine_of(bars, c)))

    def close(self, mark: int) -> None:
        bars = self.books.close(mark)
        nothing = self.books.advance(np.zeros(0, EVENT), np.zeros(0, np.int64))[0]
        for c in range(len(self.scenarios)):
            self.given[c].append((self.scenarios[c].events[:0], mark))
            self.told[c].append((nothing, mine_of(bars, c)))

    def save_and_load(self) -> None:
        """Every contract goes through bytes into other books."""
        loaded = Books(BAR_5S)
        for c in range(len(self.books)):
            assert loaded.from_bytes(self.books.to_bytes(c)) == c
        self.books = loaded

    def assert_each_as_if_alone(self) -> tuple[int, int]:
        records = bars = 0
        for c, s in enumerate(self.scenarios):
            rows, state = alone(s, self.given[c])
            assert told(self.told[c]) == rows, (c, s.name)
            assert self.books.to_bytes(c) == state, (c, s.name)
            records += sum(len(e) for e, _ in self.given[c])
            bars += sum(len(b.rows) for _, b in self.told[c])
        return records, bars


def mine_of(bars: Bars, c: int) -> Bars:
    return Bars(*(column[bars.contract == c] for column in bars))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, len(SCENARIOS) - 1), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
)
def test_each_contract_is_as_if_alone(which: list[int], seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    floor, at = Floor(), []
    for step in range(steps + 1):
        while len(at) < len(which) and (step == steps or rng.random() < 0.6 or not at):
            floor.add(SCENARIOS[which[len(at)]])  # some come late
            at.append(0)
        sizes = [len(s.events) for s in floor.scenarios]
        last = step == steps
        upto = [n if last else int(rng.integers(a, n + 1)) for a, n in zip(at, sizes, strict=True)]
        floor.advance(upto, at, rng)
        at = upto
        if rng.random() < 0.5:
            floor.save_and_load()
        if rng.random() < 0.5:
            seen = max(
                int(s.events["ts_recv"][a - 1]) if a else 0
                for s, a in zip(floor.scenarios, at, strict=True)
            )
            coming = min(
                (
                    int(s.events["ts_recv"][a])
                    for s, a in zip(floor.scenarios, at, strict=True)
                    if a < len(s.events)
                ),
                default=seen,
            )
            floor.close(min(seen, coming))
    floor.close(max(s.last_mark for s in floor.scenarios))
    records, bars = floor.assert_each_as_if_alone()
    assert records == sum(len(s.events) for s in floor.scenarios)
    assert bars > 0


def test_a_book_that_grows_in_mid_chunk_leaves_its_neighbours_alone() -> None:
    """One contract takes thousands of orders and levels between the records of two others."""
    big = np.zeros(6000, EVENT)
    start = SCENARIOS[0].events["ts_recv"][0]
    big["ts_event"] = big["ts_recv"] = start + np.arange(6000)
    big["order_id"], big["size"], big["flags"] = np.arange(6000), 1, 128
    big["action"], big["side"] = ord("A"), np.where(np.arange(6000) % 2, ord("A"), ord("B"))
    big["price"] = np.where(np.arange(6000) % 2, 10_000, 0) + np.arange(6000) % 3000
    many = SCENARIOS[0]
    floor = Floor()
    for s in (many, many, many):
        floor.add(s)
    floor.scenarios[1] = type(many)("big", big, many.params, many.rule)
    rng = np.random.default_rng(0)
    floor.advance([200, 3000, 100], [0, 0, 0], rng)
    held = len(floor.books._arena.memory.words)
    floor.advance([len(many.events), 6000, len(many.events)], [200, 3000, 100], rng)
    floor.close(many.last_mark)
    floor.assert_each_as_if_alone()
    assert floor.books[1].n_orders == 6000
    assert len(floor.books._arena.memory.words) > held


def test_blocks_that_a_growing_book_left_are_used_again() -> None:
    floor = Floor()
    for _ in range(40):
        floor.add(SCENARIOS[0])
        floor.advance([len(SCENARIOS[0].events)] * len(floor.given), _done(floor), _rng())
    m = floor.books._arena.memory
    w = m.where[: len(floor.books)]
    held = 2 * w[:, W_PLACES] + ORDER * w[:, W_N_ORDERS]
    held += (LEVEL + 4) * w[:, W_N_LEVELS] + SNAP * w[:, W_N_SNAP]
    free = 0
    for size, head in enumerate(m.heap[H_FREE:]):
        while head:
            free += 1 << size
            head = m.words[head - 1]
    assert held.sum() + free == m.heap[H_END]
    assert 0 < free < held.sum() // 2
    floor.assert_each_as_if_alone()


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def _done(floor: Floor) -> list[int]:
    return [sum(len(e) for e, _ in given) for given in floor.given]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 9), max_size=80), st.integers(10, 12))
def test_the_counting_sort_is_numpys_stable_sort(contracts: list[int], n: int) -> None:
    numbers = np.array(contracts, np.int64)
    places, runs = np.empty(len(contracts), np.int64), np.empty((n, 3), np.int64)
    found = kernel.group(numbers, np.zeros(n + 1, np.int64), places, runs)
    order = np.argsort(numbers, kind="stable")
    assert places[order].tolist() == list(range(len(contracts)))
    present, first, count = np.unique(contracts, return_index=True, return_counts=True)
    assert runs[:found, 0].tolist() == present.tolist()
    assert (runs[:found, 2] - runs[:found, 1]).tolist() == count.tolist()
    assert order[runs[:found, 1]].tolist() == first.tolist()


@pytest.mark.parametrize("strange", [-1, 2, 2**31 - 1])
def test_a_record_of_no_known_contract_is_refused_before_anything_is_done(strange: int) -> None:
    books = Books(BAR_5S)
    for _ in range(2):
        books.add(book_params(SCENARIOS[0].params))
    before = [books.to_bytes(i) for i in range(2)]
    events = SCENARIOS[0].events[:3].copy()
    numbers = np.array([0, 1, strange])
    with pytest.raises(IndexError, match=f"record 2: contract {strange} is none of the 2"):
        books.advance(events, numbers)
    assert [books.to_bytes(i) for i in range(2)] == before
    with pytest.raises(IndexError, match="contract 2 is none of the 2"):
        books.to_bytes(2)


def test_every_number_of_a_bar_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for bars is not zeroed: what the loop does not write would be anything."""
    s, rows = SCENARIOS[0], []
    empty = np.empty
    for dirt in (0, 255):

        def dirty(*args: Any, dirt: int = dirt) -> np.ndarray:
            out = empty(*args)
            out.view(np.ndarray).reshape(-1).view(np.uint8)[:] = dirt
            return out

        monkeypatch.setattr(np, "empty", dirty)
        rows.append(alone(s, [(s.events, s.last_mark)]))
    assert rows[0] == rows[1]
