"""Quotes that a backtest trades at: the session's book, asked at given times, nothing later."""

from __future__ import annotations

import numpy as np
import pytest

from spymaster.contracts.event import NS
from spymaster.engines.quotes import NONE, Quotes, QuoteWalk
from tests.kernel_tables import book_params
from tests.oracle.quotes import oracle_quotes
from tests.scenarios import Scenario, random_scenario, real_evening, walk_scenario


def asked(s: Scenario, seed: int = 0, n: int = 200) -> np.ndarray:
    """Times all over the feed, some of them exactly a record's, some twice, some past its end."""
    random = np.random.default_rng([seed, n])
    recv = s.events["ts_recv"]
    exact = random.choice(s.events["ts_event"], n // 4)
    anywhere = random.integers(recv[0] - NS, recv[-1] + 30 * NS, n)
    return np.sort(np.concatenate([exact, anywhere, anywhere[:5]]))


def walked(
    s: Scenario, times: np.ndarray, cuts: np.ndarray | tuple = (), mark: int | None = None
) -> Quotes:
    walk = QuoteWalk(book_params(s.params), times)
    for part in np.split(s.events, cuts):
        walk.advance(part)
    walk.close(s.last_mark if mark is None else mark)
    return walk.quotes()


def told(quotes: Quotes) -> list[tuple[int, ...] | None]:
    rows = zip(*(column.tolist() for column in quotes), strict=True)
    return [None if row[0] == NONE else row for row in rows]


@pytest.mark.parametrize("venue", ["cme", "nasdaq"])
def test_quotes_are_those_of_a_naive_walk_over_a_book_of_dicts(venue: str) -> None:
    late = missing = found = 0
    for seed in range(8):
        s = random_scenario(seed, venue)
        times = asked(s, seed)
        got = told(walked(s, times))
        assert got == oracle_quotes(s.events, s.params, times.tolist(), s.last_mark), s.name
        there = [(q, t) for q, t in zip(got, times.tolist(), strict=True) if q is not None]
        found += len(there)
        late += sum(q[0] > t for q, t in there)
        missing += len(got) - len(there)
        assert all(q[0] >= t and q[1] < q[2] for q, t in there)
    print(venue, found, "found,", late, "of them had to wait,", missing, "never came")
    assert found > 300
    assert late > 20


def test_quotes_of_a_market_in_doubt_are_those_of_the_naive_walk() -> None:
    for seed in range(6):
        s = walk_scenario(seed, 400)
        times = asked(s, seed)
        expected = oracle_quotes(s.events, s.params, times.tolist(), s.last_mark)
        assert told(walked(s, times)) == expected, s.name


def test_quotes_of_the_real_evening_are_those_of_the_naive_walk() -> None:
    s = real_evening()
    times = asked(s, n=2_000)
    got = walked(s, times)
    assert told(got) == oracle_quotes(s.events, s.params, times.tolist(), s.last_mark)
    inside = got.found & (times > s.params.trading[0][0])
    spread = (got.ask - got.bid)[inside] // s.params.price_step
    print(inside.sum(), "quotes in trading hours, spread", np.unique(spread, return_counts=True))
    assert inside.sum() > 500
    assert np.median(spread) == 1


def test_cutting_the_records_anywhere_changes_no_quote() -> None:
    for seed in range(4):
        s = random_scenario(seed, ("cme", "nasdaq")[seed % 2])
        times = asked(s, seed)
        whole = told(walked(s, times))
        random = np.random.default_rng(seed)
        for cuts in (np.arange(1, len(s.events)), np.sort(random.integers(0, len(s.events), 20))):
            assert told(walked(s, times, cuts)) == whole, s.name


def test_what_comes_after_a_quote_does_not_change_it() -> None:
    """The feed ends at any record: what was answered by then stays, and nothing else is made up."""
    for seed in range(6):
        s = random_scenario(seed, ("cme", "nasdaq")[seed % 2])
        times = asked(s, seed)
        whole = told(walked(s, times))
        for end in np.random.default_rng(seed).integers(1, len(s.events), 8):
            cut = Scenario(s.name, s.events[:end], s.params, s.rule)
            got = told(walked(cut, times, mark=int(cut.events["ts_recv"][-1])))
            answered = [q is not None for q in got]
            assert [q for q in got if q] == [q for q, a in zip(whole, answered, strict=True) if a]
            reached = [q is not None and q[0] <= int(cut.events["ts_event"].max()) for q in whole]
            late = int(cut.events["ts_recv"][-1]) - 2 * NS
            assert all(
                a for a, r, q in zip(answered, reached, whole, strict=True) if r and q[0] < late
            )


def test_times_must_ascend() -> None:
    s = walk_scenario(0, 50)
    with pytest.raises(ValueError, match="ascending"):
        QuoteWalk(book_params(s.params), np.array([2, 1]))
