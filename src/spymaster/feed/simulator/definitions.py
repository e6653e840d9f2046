"""Definitions as Databento ships them: what the exchange says about an instrument, once a day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Protocol

import databento_dbn as dbn

from spymaster.feed.dbn_write import Interval
from spymaster.feed.simulator.venue import Venue

DAY_NS = 86_400 * 1_000_000_000
_UNDEF_I32, _UNDEF_U16, _UNDEF_U8, _UNDEF_I64 = 2**31 - 1, 2**16 - 1, 255, 2**63 - 1


class Defined(Protocol):
    """An instrument: its symbol, its number, and what its definition says of it alone."""

    @property
    def symbol(self) -> str: ...
    @property
    def instrument_id(self) -> int: ...
    @property
    def definition(self) -> dict[str, Any]: ...


def day_start_ns(day: date) -> int:
    """Midnight UTC."""
    return (day - date(1970, 1, 1)).days * DAY_NS


def interval(day: date, instrument: Defined) -> Interval:
    """The symbol mapping of one UTC day."""
    return Interval(day, day + timedelta(days=1), str(instrument.instrument_id))


def definition(day: date, venue: Venue, instrument: Defined, version: int) -> bytes:
    """The definition record of one instrument, as it stands at the UTC day's start."""
    common: dict[str, Any] = {
        "publisher_id": venue.publisher,
        "instrument_id": instrument.instrument_id,
        "ts_event": day_start_ns(day),
        "ts_recv": day_start_ns(day),
        "raw_symbol": instrument.symbol,
        "raw_instrument_id": instrument.instrument_id,
        **_UNSAID,
        **instrument.definition,
    }
    if version == 3:
        return bytes(dbn.InstrumentDefMsg(**common))
    old = dbn.InstrumentDefMsgV1 if version == 1 else dbn.InstrumentDefMsgV2
    return bytes(old(**common, **_OLD))


#: What an instrument does not say otherwise.
_UNSAID: dict[str, Any] = {
    "display_factor": 10_000_000,
    "security_update_action": dbn.SecurityUpdateAction.ADD,
    "high_limit_price": _UNDEF_I64,
    "low_limit_price": _UNDEF_I64,
    "max_price_variation": _UNDEF_I64,
    "unit_of_measure_qty": 50_000_000_000,
    "min_price_increment_amount": 0,
    "price_ratio": _UNDEF_I64,
    "strike_price": _UNDEF_I64,
    "inst_attrib_value": 270_351,
    "underlying_id": 0,
    "market_depth_implied": 0,
    "market_depth": 0,
    "market_segment_id": 0,
    "max_trade_vol": 3000,
    "min_lot_size": 0,
    "min_lot_size_block": 0,
    "min_lot_size_round_lot": 0,
    "min_trade_vol": 1,
    "contract_multiplier": _UNDEF_I32,
    "decay_quantity": _UNDEF_I32,
    "original_contract_size": _UNDEF_I32,
    "appl_id": 0,
    "maturity_year": _UNDEF_U16,
    "decay_start_date": _UNDEF_U16,
    "channel_id": 0,
    "currency": "USD",
    "settl_currency": "USD",
    "secsubtype": "",
    "exchange": "XCME",
    "unit_of_measure": "IPNT",
    "underlying": "",
    "strike_price_currency": "",
    "match_algorithm": dbn.MatchAlgorithm.FIFO,
    "main_fraction": _UNDEF_U8,
    "price_display_format": _UNDEF_U8,
    "sub_fraction": _UNDEF_U8,
    "underlying_product": 5,
    "maturity_month": _UNDEF_U8,
    "maturity_day": _UNDEF_U8,
    "maturity_week": _UNDEF_U8,
    "user_defined_instrument": dbn.UserDefinedInstrument.NO,
    "contract_multiplier_unit": 127,
    "flow_schedule_type": 127,
    "tick_rule": _UNDEF_U8,
}

_OLD: dict[str, Any] = {
    "trading_reference_price": _UNDEF_I64,
    "trading_reference_date": _UNDEF_U16,
    "md_security_trading_status": _UNDEF_U8,
    "settl_price_type": _UNDEF_U8,
}
