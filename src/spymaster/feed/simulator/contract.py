"""What is traded: the quarterly E-mini contracts, which one is in front, or a stock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import databento_dbn as dbn

from spymaster.feed.simulator.venue import NASDAQ, Venue

NEW_YORK = ZoneInfo("America/New_York")
UNDEF_I64, UNDEF_TIME = 2**63 - 1, 2**64 - 1
_CODES = {3: "H", 6: "M", 9: "U", 12: "Z"}
#: Traders leave a contract this many days before it expires.
ROLL_DAYS = 8


@dataclass(frozen=True)
class Contract:
    """One ES future. `ordinal` counts quarters since the year 0 and never repeats.

    >>> contract = listed(date(2024, 1, 8), 1)[0]
    >>> contract.symbol, contract.last_day, contract.instrument_id
    ('ESH4', datetime.date(2024, 3, 15), 18096)
    """

    ordinal: int

    @property
    def year(self) -> int:
        return self.ordinal // 4

    @property
    def month(self) -> int:
        return self.ordinal % 4 * 3 + 3

    @property
    def symbol(self) -> str:
        return f"ES{_CODES[self.month]}{self.year % 10}"

    @property
    def last_day(self) -> date:
        """The third Friday of the contract's month."""
        first = date(self.year, self.month, 1)
        return first + timedelta(days=(4 - first.weekday()) % 7 + 14)

    @property
    def definition(self) -> dict[str, Any]:
        """What its definition says beyond what all say."""
        return {
            "min_price_increment": 250_000_000,
            "min_price_increment_amount": 12_500_000_000,
            "max_price_variation": 6_000_000_000,
            "market_segment_id": 64,
            "asset": "ES",
            "group": "ES",
            "security_type": "FUT",
            "cfi": "FFIXSX",
            "instrument_class": dbn.InstrumentClass.FUTURE,
            "expiration": self.expiration_ns,
            "activation": clock_ns(self.last_day - timedelta(days=5 * 365), 17 * 3600),
            "maturity_year": self.year,
            "maturity_month": self.month,
            "market_depth": 10,
            "channel_id": 0,
            "appl_id": 310,
        }

    @property
    def expiration_ns(self) -> int:
        """Final settlement, 09:30 in New York."""
        return clock_ns(self.last_day, 9 * 3600 + 1800)

    @property
    def instrument_id(self) -> int:
        return 10_000 + self.ordinal


@dataclass(frozen=True)
class Stock:
    """A share: it has no expiry, and its number is the same every day."""

    symbol: str
    instrument_id: int = 16_244
    ordinal: int = 0

    @property
    def definition(self) -> dict[str, Any]:
        """What its definition says beyond what all say."""
        return {
            "min_price_increment": 10_000_000,
            "asset": self.symbol,
            "group": "Q",
            "security_type": "",
            "exchange": "XNAS",
            "cfi": "ESXXXX",
            "unit_of_measure": "",
            "unit_of_measure_qty": UNDEF_I64,
            "instrument_class": dbn.InstrumentClass.STOCK,
            "expiration": UNDEF_TIME,
            "activation": UNDEF_TIME,
            "min_lot_size_round_lot": 100,
            "inst_attrib_value": 0,
            "underlying_product": 255,
        }


Listed = Contract | Stock


def clock_ns(day: date, seconds: int) -> int:
    """A New York clock time as int64 ns UTC; `seconds` may reach into the next day."""
    at = datetime.combine(day + timedelta(days=seconds // 86400), time(), NEW_YORK)
    at = at.replace(
        hour=seconds // 3600 % 24, minute=seconds // 60 % 60, second=seconds % 60, fold=0
    )
    return int(at.timestamp()) * 1_000_000_000


def listed(session: date, n: int) -> list[Contract]:
    """The `n` nearest contracts that still trade in this session, the nearest first."""
    ordinal = session.year * 4 + (session.month - 1) // 3
    if Contract(ordinal).last_day < session:
        ordinal += 1
    return [Contract(ordinal + k) for k in range(n)]


def in_front(session: date) -> Contract:
    """The contract that the volume is in.

    >>> in_front(date(2024, 3, 7)).symbol, in_front(date(2024, 3, 8)).symbol
    ('ESH4', 'ESM4')
    """
    for contract in listed(session, 2):
        if contract.last_day >= session + timedelta(days=ROLL_DAYS):
            return contract
    return listed(session, 2)[1]


def active(venue: Venue, session: date, n: int) -> list[Listed]:
    """What is simulated in a session: the futures, the front one first, or the stock."""
    if venue.convention == NASDAQ:
        return [Stock(venue.underlier)]
    front = in_front(session)
    found: list[Listed] = [front, *[c for c in listed(session, n) if c != front]]
    return found[:n]
