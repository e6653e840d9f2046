"""Instruments: definitions first, then mappings; nothing is guessed."""

import datetime as dt
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databento_dbn import InstrumentDefMsg, InstrumentDefMsgV2

from spymaster.contracts.bronze import DEFINITIONS
from spymaster.market.clock import DAY_NS, utc_midnight
from spymaster.market.instruments import Instrument, Instruments, from_definition, from_symbol
from spymaster.settings import Settings

UNDERLIERS = Settings().underlier
GLBX = "GLBX.MDP3"
UNDEFINED = 2**63 - 1
DATA = Path(os.environ.get("SPYMASTER_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
START, END = dt.date(2024, 1, 10), dt.date(2024, 1, 11)
T0 = utc_midnight(START)


def record(layout: Any = InstrumentDefMsgV2, **values: Any) -> Any:
    """A definition record; what is not given is undefined, as in the feed."""
    row = np.zeros(1, np.dtype(layout._dtypes))[0]
    undefined = {
        "expiration": 2**64 - 1,
        "strike_price": UNDEFINED,
        "min_price_increment": UNDEFINED,
        "unit_of_measure_qty": UNDEFINED,
        "contract_multiplier": 2**31 - 1,
        "maturity_year": 2**16 - 1,
        "maturity_month": 255,
        "user_defined_instrument": "N",
        "instrument_id": 17077,
        "ts_recv": T0,
    }
    for name, value in {**undefined, **values}.items():
        row[name] = value
    return row


def future(**values: Any) -> Any:
    es = {
        "raw_symbol": "ESH4",
        "asset": "ES",
        "instrument_class": "F",
        "expiration": 1_710_509_400_000_000_000,
        "min_price_increment": 250_000_000,
        "unit_of_measure_qty": 50_000_000_000,
        "maturity_year": 2024,
        "maturity_month": 3,
    }
    return record(**{**es, **values})


def option(**values: Any) -> Any:
    weekly = {
        "raw_symbol": "E2BF4 C4800",
        "asset": "E2B",
        "instrument_class": "C",
        "underlying": "ESH4",
        "strike_price": 4_800_000_000_000,
        "expiration": 1_704_834_000_000_000_000,  # 2024-01-09 16:00 New York
        "maturity_year": 2024,
        "maturity_month": 1,
    }
    return record(**{**weekly, **values})


def defined(row: Any, venue: str = GLBX) -> Instrument:
    return from_definition(row, venue, UNDERLIERS, "file-1")


def mapped(
    symbol: str, venue: str = GLBX, start: dt.date = START, end: dt.date = END, number: int = 17077
) -> tuple[Instrument | None, str]:
    return from_symbol(venue, symbol, number, start, end, UNDERLIERS, "file-2")


def known(symbol: str, **place: Any) -> Instrument:
    found, _ = mapped(symbol, **place)
    assert found is not None
    return found


def test_an_instrument_is_a_row_of_bronze_definitions() -> None:
    assert [f.name for f in fields(Instrument)] == DEFINITIONS.names
    es = defined(future())
    assert Instrument.from_row({**es.to_row(), "another": 1}) == es


def test_a_future_is_named_by_its_contract_month() -> None:
    es = defined(future())
    assert (es.contract_id, es.underlier, es.instrument_type) == ("ES.FUT.202403", "ES", "FUT")
    assert (es.price_step, es.tick, es.multiplier) == (250_000_000, 250_000_000, 50.0)
    assert es.expiration == 1_710_509_400_000_000_000
    assert es.strike_price is None
    assert (es.ts_recv, es.source, es.valid_to, es.batch_id) == (T0, "definition", None, "file-1")


def test_a_future_without_a_maturity_is_named_by_its_expiration() -> None:
    assert defined(future(maturity_year=65535)).contract_id == "ES.FUT.202403"


def test_a_weekly_option_belongs_to_the_root_of_its_future() -> None:
    weekly = defined(option())
    assert weekly.contract_id == "ES.OPT.E2B.20240109.C.4800"
    assert (weekly.underlier, weekly.instrument_type, weekly.asset) == ("ES", "OPT", "E2B")


def test_an_option_without_a_tick_is_priced_in_cents_and_told_in_nickels() -> None:
    weekly = defined(option())
    assert weekly.min_price_increment is None
    assert (weekly.price_step, weekly.tick) == (10_000_000, 50_000_000)


def test_the_expiry_of_an_option_is_new_yorks_date_not_utcs() -> None:
    late = 1_704_848_400_000_000_000  # 2024-01-10 01:00 UTC, an evening in New York
    assert defined(option(expiration=late)).contract_id == "ES.OPT.E2B.20240109.C.4800"


def test_a_strike_is_printed_without_trailing_zeros() -> None:
    half = defined(option(strike_price=12_500_000_000, instrument_class="P"))
    assert half.contract_id == "ES.OPT.E2B.20240109.P.12.5"


def test_an_option_without_strike_or_expiry_names_no_contract() -> None:
    assert defined(option(strike_price=UNDEFINED)).skipped
    assert defined(option(expiration=2**64 - 1)).skipped


@pytest.mark.parametrize("kind", ["S", "M", "T", "X", "B"])
def test_spreads_and_the_like_are_skipped(kind: str) -> None:
    assert defined(future(instrument_class=kind, raw_symbol="ESH4-ESM4")).skipped


def test_user_defined_instruments_are_skipped() -> None:
    assert defined(option(user_defined_instrument="Y")).skipped


def test_what_is_not_configured_is_skipped() -> None:
    assert defined(future(asset="NQ", raw_symbol="NQH4")).skipped
    assert defined(option(underlying="NQH4")).skipped
    assert defined(future(), venue="XEUR.EOBI").skipped


def test_a_stock_has_a_cent_for_a_tick_and_a_hundredth_of_it_for_a_step() -> None:
    row = record(raw_symbol="TSLA", instrument_class="K", min_price_increment=10_000_000)
    tsla = defined(row, venue="XNAS.ITCH")
    assert (tsla.contract_id, tsla.underlier, tsla.instrument_type) == ("TSLA.STK", "TSLA", "STK")
    assert (tsla.price_step, tsla.tick) == (100_000, 10_000_000)


def test_a_record_of_the_third_version_reads_the_same() -> None:
    values = {name: future()[name] for name in ("raw_symbol", "asset", "instrument_class")}
    row = record(InstrumentDefMsg, **values, maturity_year=2024, maturity_month=3,
                 min_price_increment=250_000_000)  # fmt: skip
    assert defined(row).contract_id == "ES.FUT.202403"


@pytest.mark.parametrize(
    ("file", "contract"),
    [
        ("definition-glbx-es-fut.dbn.zst", "ES.FUT.202306"),
        ("definition-glbx-es-futspread.dbn.zst", None),
        ("definition-glbx-es-opt.dbn.zst", "ES.OPT.ES.20240621.C.4250"),
    ],
)
def test_real_definitions_of_cme(file: str, contract: str | None) -> None:
    path = DATA / "es-definitions" / file
    if not path.exists():
        pytest.skip(f"vendor data is not here: {path}")
    import databento

    rows = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
    found = [from_definition(row, GLBX, UNDERLIERS) for row in rows]
    assert found[0].contract_id == contract
    assert len(found) == 2


def test_a_mapping_tells_a_future_by_its_symbol_and_the_known_tick() -> None:
    es = known("ESH4", start=dt.date(2023, 12, 25), end=dt.date(2023, 12, 26))
    assert es.contract_id == "ES.FUT.202403"
    assert (es.price_step, es.multiplier, es.source) == (250_000_000, 50.0, "mapping")
    assert es.expiration == 1_710_509_400_000_000_000
    assert (es.ts_recv, es.valid_to) == (
        utc_midnight(dt.date(2023, 12, 25)),
        utc_midnight(dt.date(2023, 12, 26)),
    )


@pytest.mark.parametrize(
    ("symbol", "on", "contract"),
    [
        ("ESH4", "2014-03-21", "ES.FUT.201403"),
        ("ESH4", "2014-03-22", "ES.FUT.202403"),
        ("ESH4", "2024-03-15", "ES.FUT.202403"),
        ("ESH4", "2024-03-16", "ES.FUT.203403"),
        ("ESZ9", "2024-03-16", "ES.FUT.202912"),
        ("ESH0", "2019-12-31", "ES.FUT.202003"),
        ("ESH24", "2023-12-25", "ES.FUT.202403"),
    ],
)
def test_a_year_digit_means_the_first_year_not_yet_expired(
    symbol: str, on: str, contract: str
) -> None:
    start = dt.date.fromisoformat(on)
    assert known(symbol, start=start, end=start + dt.timedelta(days=1)).contract_id == contract


def test_a_mapping_tells_a_stock() -> None:
    tsla = known("TSLA", venue="XNAS.ITCH")
    assert (tsla.contract_id, tsla.price_step, tsla.tick) == ("TSLA.STK", 100_000, 10_000_000)


@pytest.mark.parametrize("symbol", ["ESM4 C4250", "EW1F4 P4700", "TSLA  240119C00250000"])
def test_an_option_is_not_identified_without_its_definition(symbol: str) -> None:
    found, reason = mapped(symbol)
    assert found is None
    assert "definition" in reason


@pytest.mark.parametrize(
    ("symbol", "reason"),
    [
        ("ESH4-ESM4", "spread"),
        ("UD:1V: VT 2813156", "spread"),
        ("ES:BF H4-M4-U4", "spread"),
        ("NQH4", "NQ is not configured"),
        ("AAPL", "AAPL is not configured"),
    ],
)
def test_a_mapping_that_is_skipped_says_why(symbol: str, reason: str) -> None:
    found, why = mapped(symbol)
    assert found is not None
    assert found.skipped
    assert reason in why


def test_a_future_without_a_known_tick_is_not_identified() -> None:
    crude = {"CL": UNDERLIERS["ES"]}
    found, reason = from_symbol(GLBX, "CLH4", 1, START, END, crude)
    assert found is None
    assert "tick" in reason


def test_a_definition_is_known_from_its_arrival_until_the_next() -> None:
    first = defined(future(ts_recv=T0))
    second = defined(future(ts_recv=T0 + 100, raw_symbol="ESM4", maturity_month=6))
    found = Instruments([second, first])
    assert found.resolve(GLBX, 17077, T0 - 1) is None
    assert found.resolve(GLBX, 17077, T0) == first
    assert found.resolve(GLBX, 17077, T0 + 99) == first
    assert found.resolve(GLBX, 17077, T0 + 100) == second
    assert found.resolve(GLBX, 5, T0) is None
    assert found.resolve("XNAS.ITCH", 17077, T0) is None


def test_a_definition_beats_a_mapping_of_the_same_symbol() -> None:
    definition = defined(future(ts_recv=T0 - 30 * DAY_NS))
    mapping = known("ESH4")
    assert Instruments([mapping, definition]).resolve(GLBX, 17077, T0) == definition


def test_a_mapping_holds_on_its_days_alone() -> None:
    mapping = known("ESH4")
    found = Instruments([mapping])
    assert found.resolve(GLBX, 17077, T0 - 1) is None
    assert found.resolve(GLBX, 17077, T0 + DAY_NS - 1) == mapping
    assert found.resolve(GLBX, 17077, T0 + DAY_NS) is None


def test_a_number_given_away_again_follows_the_mapping_of_the_day() -> None:
    old = defined(future(ts_recv=T0 - 30 * DAY_NS, raw_symbol="ESM4", maturity_month=6))
    mapping = known("ESH4")
    found = Instruments([old, mapping])
    assert found.resolve(GLBX, 17077, T0) == mapping
    assert found.resolve(GLBX, 17077, T0 - 1) == old
    assert found.resolve(GLBX, 17077, T0 + DAY_NS) == old


def test_the_same_symbol_ten_years_later_is_another_contract() -> None:
    old = defined(future(ts_recv=T0 - 3700 * DAY_NS, expiration=T0 - 3600 * DAY_NS))
    mapping = known("ESH4")
    assert Instruments([old, mapping]).resolve(GLBX, 17077, T0) == mapping


def test_a_definition_inside_the_mappings_days_is_the_newer_knowledge() -> None:
    mapping = known("ESH4")
    renumbered = defined(future(ts_recv=T0 + 5, raw_symbol="ESM4", maturity_month=6))
    found = Instruments([mapping, renumbered])
    assert found.resolve(GLBX, 17077, T0) == mapping
    assert found.resolve(GLBX, 17077, T0 + 5) == renumbered


def test_a_definition_ends_a_day_after_its_expiration() -> None:
    es = defined(future())
    expiration = es.expiration
    assert expiration is not None
    found = Instruments([es])
    assert found.resolve(GLBX, 17077, expiration + DAY_NS - 1) == es
    assert found.resolve(GLBX, 17077, expiration + DAY_NS) is None


def test_a_skipped_definition_resolves_to_a_skipped_instrument() -> None:
    spread = defined(future(instrument_class="S", raw_symbol="ESH4-ESM4"))
    found = Instruments([spread]).resolve(GLBX, 17077, T0)
    assert found is not None
    assert found.skipped


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = [
        defined(future(ts_recv=T0)),
        defined(future(ts_recv=T0, raw_symbol="ESM4", maturity_month=6)),
        known("ESH4"),
        known("ESH4", end=dt.date(2024, 2, 1)),
    ]
    one, other = Instruments(rows), Instruments(reversed([*rows, *rows]))
    assert one.resolve(GLBX, 17077, T0) == other.resolve(GLBX, 17077, T0)


def test_the_outrights_of_an_underlier_come_nearest_expiry_first() -> None:
    march, june = known("ESH4", number=1), known("ESM4", number=2)
    rows = [june, march, known("ESH4-ESM4", number=3), replace(march, instrument_id=4)]
    found = Instruments(rows).outrights("ES", T0)
    assert [row.contract_id for row in found] == ["ES.FUT.202403", "ES.FUT.202406"]
    assert Instruments(rows).outrights("TSLA", T0) == []
