"""What an instrument is: from a definition or a symbol to a contract."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from spymaster.market.clock import new_york_date, utc_midnight
from spymaster.market.symbols import future_expiry, future_root, settlement, symbol_kind
from spymaster.market.ticks import INDEX_FUTURES, price_grid
from spymaster.settings import UnderlierSettings

UNDEFINED_64 = 2**63 - 1
UNDEFINED_32 = 2**31 - 1
E9 = 1_000_000_000

Underliers = Mapping[str, UnderlierSettings]


@dataclass(frozen=True)
class Instrument:
    """What a venue's number stood for from ``ts_recv`` on: a row of ``bronze.definitions``.

    ``contract_id`` is None where it is skipped: a spread, user-defined, or not configured.
    """

    venue: str
    instrument_id: int
    ts_recv: int
    source: str
    valid_to: int | None
    raw_symbol: str
    contract_id: str | None = None
    underlier: str | None = None
    instrument_type: str | None = None
    asset: str | None = None
    instrument_class: str | None = None
    underlying: str | None = None
    expiration: int | None = None
    strike_price: int | None = None
    min_price_increment: int | None = None
    multiplier: float | None = None
    price_step: int | None = None
    tick: int | None = None
    batch_id: str | None = None

    @property
    def skipped(self) -> bool:
        return self.contract_id is None

    def to_row(self) -> dict[str, Any]:
        """The row of ``bronze.definitions``, by column."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Instrument:
        """Back from a row of ``bronze.definitions``; columns it does not know are left out."""
        return cls(**{f.name: row.get(f.name) for f in fields(cls)})  # type: ignore[arg-type]


def from_definition(
    record: Any, venue: str, underliers: Underliers, batch_id: str | None = None
) -> Instrument:
    """One definition record, as a numpy record of DBN version 2 or 3.

    Strike and expiry are the exchange's own, never read out of the symbol.
    """
    plain = Instrument(
        venue=venue,
        instrument_id=int(record["instrument_id"]),
        ts_recv=int(record["ts_recv"]),
        source="definition",
        valid_to=None,
        raw_symbol=_text(record["raw_symbol"]) or "",
        asset=_text(record["asset"]),
        instrument_class=_text(record["instrument_class"]),
        underlying=_text(record["underlying"]),
        expiration=_defined(record["expiration"]),
        strike_price=_defined(record["strike_price"]),
        min_price_increment=_defined(record["min_price_increment"]),
        multiplier=_multiplier(record),
        batch_id=batch_id,
    )
    if _text(record["user_defined_instrument"]) == "Y":
        return plain
    return _identified(plain, _contract_month(record, plain), underliers)


def from_symbol(
    venue: str,
    raw_symbol: str,
    instrument_id: int,
    start_date: dt.date,
    end_date: dt.date,
    underliers: Underliers,
    batch_id: str | None = None,
) -> tuple[Instrument | None, str]:
    """What a file's symbol mapping tells without a definition, in force on [start_date, end_date).

    Returns the instrument and "", or a skipped one and why, or None and what is needed: an
    option's expiry and underlying are only in its definition.
    """
    plain = Instrument(
        venue=venue,
        instrument_id=instrument_id,
        ts_recv=utc_midnight(start_date),
        source="mapping",
        valid_to=utc_midnight(end_date),
        raw_symbol=raw_symbol,
        batch_id=batch_id,
    )
    kind = symbol_kind(raw_symbol)
    if kind == "spread":
        return plain, "a spread or user-defined instrument"
    if kind == "stock":
        return _mapped_stock(plain, underliers)
    if kind == "future":
        return _mapped_future(plain, start_date, underliers)
    return None, f"{venue} {raw_symbol} ({kind}) is told only by its definition: land that file too"


def _mapped_stock(plain: Instrument, underliers: Underliers) -> tuple[Instrument, str]:
    stock = replace(plain, instrument_class="K", asset=plain.raw_symbol, multiplier=1.0)
    found = _identified(stock, None, underliers)
    return found, f"{plain.raw_symbol} is not configured for {plain.venue}" * found.skipped


def _mapped_future(
    plain: Instrument, on: dt.date, underliers: Underliers
) -> tuple[Instrument | None, str]:
    root = future_root(plain.raw_symbol) or ""
    if _configured(root, plain.venue, underliers) is None:
        return plain, f"{root} is not configured for {plain.venue}"
    if root not in INDEX_FUTURES:
        return None, f"{plain.raw_symbol} has no known tick: land the definitions of {root} too"
    year, month, expiry = future_expiry(plain.raw_symbol, on)
    future = replace(
        plain,
        instrument_class="F",
        asset=root,
        expiration=settlement(expiry),
        min_price_increment=INDEX_FUTURES[root].tick,
        multiplier=INDEX_FUTURES[root].multiplier,
    )
    return _identified(future, f"{year}{month:02d}", underliers), ""


def _identified(plain: Instrument, month: str | None, underliers: Underliers) -> Instrument:
    """The same instrument with its contract, if it is an outright of a configured underlier."""
    kind = {"F": "FUT", "C": "OPT", "P": "OPT", "K": "STK"}.get(plain.instrument_class or "")
    root = _configured(_root(plain, kind), plain.venue, underliers)
    grid = price_grid(kind, root, plain.min_price_increment) if kind and root else None
    name = _contract_id(plain, kind, root, month) if kind and root else None
    if grid is None or name is None:
        return plain
    return replace(
        plain,
        contract_id=name,
        underlier=root,
        instrument_type=kind,
        price_step=grid[0],
        tick=grid[1],
    )


def _root(plain: Instrument, kind: str | None) -> str | None:
    """Futures belong to their product, stocks to themselves, options to what they settle in.

    Weekly options have products of their own (EW, E1A): their future tells where they belong.
    """
    if kind == "STK":
        return plain.raw_symbol
    if kind == "OPT" and plain.underlying:
        return future_root(plain.underlying) or plain.underlying
    return plain.asset


def _configured(root: str | None, venue: str, underliers: Underliers) -> str | None:
    found = underliers.get(root or "")
    return root if found is not None and found.venue == venue else None


def _contract_id(plain: Instrument, kind: str, root: str, month: str | None) -> str | None:
    if kind == "STK":
        return f"{root}.STK"
    if kind == "FUT":
        return f"{root}.FUT.{month}" if month else None
    if plain.expiration is None or plain.strike_price is None:
        return None
    expiry = new_york_date(plain.expiration).strftime("%Y%m%d")
    strike = strike_text(plain.strike_price)
    return f"{root}.OPT.{plain.asset}.{expiry}.{plain.instrument_class}.{strike}"


def strike_text(strike_price: int) -> str:
    """A strike (1e-9) as it is spoken, without trailing zeros.

    >>> strike_text(4_800_000_000_000), strike_text(2_500_000_000)
    ('4800', '2.5')
    """
    whole, rest = divmod(abs(strike_price), E9)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if strike_price < 0 else text


def _contract_month(record: Any, plain: Instrument) -> str | None:
    """The month in the contract's name, else that of its expiration (crude oil's differ)."""
    year, month = int(record["maturity_year"]), int(record["maturity_month"])
    if 1900 < year < 3000 and 1 <= month <= 12:
        return f"{year}{month:02d}"
    expiration = plain.expiration
    return new_york_date(expiration).strftime("%Y%m") if expiration is not None else None


def _multiplier(record: Any) -> float | None:
    """Currency per point: CME tells it as the unit of measure, 50 index points for ES."""
    factor = int(record["contract_multiplier"])
    if 0 < factor < UNDEFINED_32:
        return float(factor)
    quantity = _defined(record["unit_of_measure_qty"])
    return quantity / E9 if quantity else None


def _defined(value: Any) -> int | None:
    return None if int(value) >= UNDEFINED_64 else int(value)


def _text(value: Any) -> str | None:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\0").strip() or None
