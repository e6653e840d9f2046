"""ES options: definitions without a tick, many interleaved contracts, a legal book in each."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from spymaster.feed.simulator import Simulation, SimulationConfig, simulate
from spymaster.feed.simulator.chain import chain
from spymaster.feed.simulator.options import theory
from tests.e2e.scenes import configured, run
from tests.e2e.scenes import rows as lake_rows
from tests.markets import (
    HOUR,
    LAST,
    SNAPSHOT,
    assert_official_reader_agrees,
    days,
    definitions,
    rows,
)

STEM = "es-opt-glbx-mdp3"
UNDEF = 2**63 - 1
A, C, F, M, T = (ord(letter) for letter in "ACFMT")


def config(**more: object) -> SimulationConfig:
    given = {
        "sessions": 2,
        "events_per_session": 6_000,
        "contracts": 1,
        "windows": HOUR,
        "options": 300,
        "option_events_per_session": 30_000,
        "first_session": date(2024, 1, 11),
        **more,
    }
    return SimulationConfig(**given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(config(), tmp_path_factory.mktemp("options"))


def test_options_lie_in_files_of_their_own_that_both_readers_decode(market: Simulation) -> None:
    files = days(market, STEM)
    assert len(files) == 3
    total = sum(map(assert_official_reader_agrees, files))
    futures = sum(len(rows(p)) for p in days(market) if p not in files)
    print(total, "records of options,", futures, "of futures")
    assert total + futures == market.records
    assert 45_000 < total < 75_000


def test_definitions_are_those_of_options_without_a_tick(market: Simulation) -> None:
    found = definitions(market, STEM)
    kinds = Counter(str(r.instrument_class) for r in found)
    assert kinds["C"] == kinds["P"] > 0
    assert len({r.instrument_id for r in found}) == len({r.raw_symbol for r in found}) == 300
    for r in found:
        assert r.min_price_increment == UNDEF
        assert (r.security_type, r.underlying) == ("OOF", "ESH4")
        assert r.asset in {"EW2", "EW3", "EW4"}
        assert r.raw_symbol.endswith(f"{r.instrument_class}{r.strike_price // 10**9}")


def test_every_book_is_legal_and_prices_are_on_their_tick(market: Simulation) -> None:
    books: dict[int, dict[int, list[int]]] = {}
    seen: Counter[str] = Counter()
    first = days(market, STEM)[0]
    for path in days(market, STEM):
        found = rows(path)
        assert (np.diff(found["ts_recv"]) >= 0).all()
        assert set(found["channel_id"].tolist()) == {1}
        fresh: set[int] = set()
        before: dict[int, dict[int, list[int]]] = {}
        names = ("instrument_id", "action", "side", "price", "size", "order_id", "flags")
        for number, action, side, price, size, order, flags in zip(
            *(found[n].tolist() for n in names), strict=True
        ):
            if flags & SNAPSHOT and number not in fresh:
                before[number] = books.get(number, {})
                fresh.add(number)
                books[number] = {}
            if flags & SNAPSHOT and path != first:
                assert before[number][order] == [side, price, size]
                seen["repeated"] += 1
            book = books.setdefault(number, {})
            assert price % 50_000_000 == 0
            if action == A:
                assert order not in book
                book[order] = [side, price, size]
            elif action == C:
                assert book.pop(order) == [side, price, size]
            elif action == M:
                assert book[order][0] == side
                book[order] = [side, price, size]
            elif action == F:
                assert book[order][2] >= size
            seen[chr(action)] += 1
            if flags & LAST:
                bids = [p for s, p, _ in book.values() if s == ord("B")]
                asks = [p for s, p, _ in book.values() if s == ord("A")]
                assert not bids or not asks or max(bids) < min(asks)
    print(seen)
    assert min(seen[k] for k in ("A", "C", "M", "T", "F", "repeated")) > 100
    interleaved = np.diff(rows(days(market, STEM)[1])["instrument_id"].astype(np.int64)) != 0
    assert interleaved.mean() > 0.5


def test_options_become_bars(market: Simulation, tmp_path: Path) -> None:
    run(configured(tmp_path, HOUR), market.files)
    bars = lake_rows(tmp_path, "silver.bar_5s", "contract_id", "n_unknown", "n_crossed")
    contracts = {b["contract_id"] for b in bars if ".OPT." in b["contract_id"]}
    assert len(contracts) > 200
    assert "ES.OPT.EW2.20240112.C.4800" in contracts
    assert sum(b["n_unknown"] + b["n_crossed"] for b in bars) == 0
    assert lake_rows(tmp_path, "bronze.quarantine") == []


def test_the_futures_are_the_same_with_options_and_without(
    market: Simulation, tmp_path: Path
) -> None:
    alone = simulate(config(options=0), tmp_path)
    for path in alone.files:
        twin = market.files[0].parent / path.name
        assert path.read_bytes() == twin.read_bytes()


def test_five_thousand_options_and_the_same_seed_the_same_bytes(tmp_path: Path) -> None:
    many = config(options=5_000, sessions=1, option_events_per_session=50_000)
    first, again = simulate(many, tmp_path / "1"), simulate(many, tmp_path / "2")
    for a, b in zip(first.files, again.files, strict=True):
        assert a.read_bytes() == b.read_bytes()
    ids = np.concatenate([rows(p)["instrument_id"] for p in days(first, STEM)])
    print(len(np.unique(ids)), "options with records")
    assert len(np.unique(ids)) > 3_000


def test_the_chain_rolls_and_quarterlies_have_their_own_product() -> None:
    before, after = chain(date(2024, 1, 12), 300, 4800.0), chain(date(2024, 1, 16), 300, 4800.0)
    assert {o.expiry for o in before} - {o.expiry for o in after} == {date(2024, 1, 12)}
    quarterly = next(o for o in chain(date(2024, 3, 11), 2, 4800.0))
    assert (quarterly.asset, quarterly.symbol) == ("ES", "ESH4 P4800")
    assert len({o.instrument_id for o in chain(date(2024, 1, 8), 5_000, 4800.0)}) == 5_000


def test_theory_is_bacheliers() -> None:
    # At the money: spread times 1 / sqrt(2 pi), with 720 points a year for 0.01 years.
    assert theory(4800.0, 1, 4800.0, 0.01) == pytest.approx(72.0 / math.sqrt(2 * math.pi))
    parity = theory(4700.0, 1, 4800.0, 0.05) - theory(4700.0, 0, 4800.0, 0.05)
    assert parity == pytest.approx(100.0)
