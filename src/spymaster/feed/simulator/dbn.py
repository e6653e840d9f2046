"""DBN files as Databento ships them: metadata, records, zstd, and never half a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import databento_dbn as dbn
import numpy as np
import zstandard
from databento_dbn.metadata import MappingInterval
from numpy.typing import NDArray

from spymaster.feed.simulator.contract import Contract, clock_ns

DATASET = "GLBX.MDP3"
_DAY_NS = 86_400 * 1_000_000_000
_UNDEF_I32, _UNDEF_U16, _UNDEF_U8, _UNDEF_I64 = 2**31 - 1, 2**16 - 1, 255, 2**63 - 1


@dataclass
class _Interval:
    start_date: date
    end_date: date
    symbol: str


@dataclass
class _Mapping:
    raw_symbol: str
    intervals: Sequence[MappingInterval]


def day_start_ns(day: date) -> int:
    """Midnight UTC."""
    return (day - date(1970, 1, 1)).days * _DAY_NS


def metadata(day: date, schema: Any, contracts: Sequence[Contract], version: int) -> bytes:
    """The head of a file that holds one UTC day."""
    return bytes(
        dbn.Metadata(
            dataset=DATASET,
            start=day_start_ns(day),
            end=day_start_ns(day) + _DAY_NS,
            stype_in=dbn.SType(dbn.SType.RAW_SYMBOL),
            stype_out=dbn.SType(dbn.SType.INSTRUMENT_ID),
            schema=schema,
            symbols=[c.symbol for c in contracts],
            partial=[],
            not_found=[],
            mappings=[_mapping(day, c) for c in contracts],
            limit=None,
            ts_out=False,
            version=version,
        )
    )


def _mapping(day: date, contract: Contract) -> _Mapping:
    return _Mapping(
        contract.symbol,
        [_Interval(day, day + timedelta(days=1), str(contract.instrument_id))],
    )


def definition(day: date, contract: Contract, version: int) -> bytes:
    """What the exchange says about a contract, once a day."""
    first_day = clock_ns(contract.last_day - timedelta(days=5 * 365), 17 * 3600)
    common: dict[str, Any] = {
        "publisher_id": 1,
        "instrument_id": contract.instrument_id,
        "ts_event": day_start_ns(day),
        "ts_recv": day_start_ns(day),
        "min_price_increment": 250_000_000,
        "display_factor": 10_000_000,
        "raw_symbol": contract.symbol,
        "asset": "ES",
        "security_type": "FUT",
        "instrument_class": dbn.InstrumentClass.FUTURE,
        "security_update_action": dbn.SecurityUpdateAction.ADD,
        "expiration": contract.expiration_ns,
        "activation": first_day,
        "high_limit_price": _UNDEF_I64,
        "low_limit_price": _UNDEF_I64,
        "max_price_variation": 6_000_000_000,
        "unit_of_measure_qty": 50_000_000_000,
        "min_price_increment_amount": 12_500_000_000,
        "price_ratio": _UNDEF_I64,
        "strike_price": _UNDEF_I64,
        "inst_attrib_value": 270_351,
        "underlying_id": 0,
        "raw_instrument_id": contract.instrument_id,
        "market_depth_implied": 0,
        "market_depth": 10,
        "market_segment_id": 64,
        "max_trade_vol": 3000,
        "min_lot_size": 0,
        "min_lot_size_block": 0,
        "min_lot_size_round_lot": 0,
        "min_trade_vol": 1,
        "contract_multiplier": _UNDEF_I32,
        "decay_quantity": _UNDEF_I32,
        "original_contract_size": _UNDEF_I32,
        "appl_id": 310,
        "maturity_year": contract.year,
        "decay_start_date": _UNDEF_U16,
        "channel_id": 0,
        "currency": "USD",
        "settl_currency": "USD",
        "secsubtype": "",
        "group": "ES",
        "exchange": "XCME",
        "cfi": "FFIXSX",
        "unit_of_measure": "IPNT",
        "underlying": "",
        "strike_price_currency": "",
        "match_algorithm": dbn.MatchAlgorithm.FIFO,
        "main_fraction": _UNDEF_U8,
        "price_display_format": _UNDEF_U8,
        "sub_fraction": _UNDEF_U8,
        "underlying_product": 5,
        "maturity_month": contract.month,
        "maturity_day": _UNDEF_U8,
        "maturity_week": _UNDEF_U8,
        "user_defined_instrument": dbn.UserDefinedInstrument.NO,
        "contract_multiplier_unit": 127,
        "flow_schedule_type": 127,
        "tick_rule": _UNDEF_U8,
    }
    if version == 3:
        return bytes(dbn.InstrumentDefMsg(**common))
    old = dbn.InstrumentDefMsgV1 if version == 1 else dbn.InstrumentDefMsgV2
    extra: dict[str, Any] = {
        "trading_reference_price": _UNDEF_I64,
        "trading_reference_date": _UNDEF_U16,
        "md_security_trading_status": _UNDEF_U8,
        "settl_price_type": _UNDEF_U8,
    }
    return bytes(old(**common, **extra))


class DbnFile:
    """One `.dbn.zst` being written: it has its name only when it is whole."""

    def __init__(self, path: Path, head: bytes) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._file = self._part.open("wb")
        self._zstd = zstandard.ZstdCompressor(level=1, threads=0).stream_writer(self._file)
        self._zstd.write(head)

    def write(self, records: NDArray[np.void] | bytes) -> None:
        if not isinstance(records, bytes):
            records = np.ascontiguousarray(records).tobytes()
        self._zstd.write(records)

    def __enter__(self) -> DbnFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)
            return
        self._zstd.flush(zstandard.FLUSH_FRAME)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self.path)
