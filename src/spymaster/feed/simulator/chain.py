"""Which ES options there are: weekly expiries, calls and puts, strikes five points apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import databento_dbn as dbn

from spymaster.feed.simulator.contract import UNDEF_I64, Contract, clock_ns, listed

_CODES = "FGHJKMNQUVXZ"
_STRIKE_STEP = 5
#: No more expiries than this, each with at least so many strikes if there are so many options.
_EXPIRIES, _STRIKES = 8, 50


@dataclass(frozen=True)
class Option:
    """One ES option: it expires on a Friday, at 16:00 New York, a quarterly one at 9:30."""

    expiry: date
    strike: int
    call: bool

    @cached_property
    def future(self) -> Contract:
        """What it is settled in: the nearest quarterly future."""
        return listed(self.expiry, 1)[0]

    @property
    def quarterly(self) -> bool:
        return self.expiry == self.future.last_day

    @property
    def asset(self) -> str:
        """CME's product: ES for the quarterlies, EW1 to EW5 for the Fridays of a month."""
        return "ES" if self.quarterly else f"EW{(self.expiry.day + 6) // 7}"

    @property
    def symbol(self) -> str:
        code, kind = _CODES[self.expiry.month - 1], "C" if self.call else "P"
        return f"{self.asset}{code}{self.expiry.year % 10} {kind}{self.strike}"

    @property
    def instrument_id(self) -> int:
        week = self.expiry.toordinal() // 7 % 400
        return 1_000_000 + week * 10_000 + self.strike // _STRIKE_STEP * 2 + self.call

    @property
    def expiration_ns(self) -> int:
        return clock_ns(self.expiry, 9 * 3600 + 1800 if self.quarterly else 16 * 3600)

    @property
    def definition(self) -> dict[str, Any]:
        """What its definition says beyond what all say: no tick, for it varies with the premium."""
        kind = dbn.InstrumentClass.CALL if self.call else dbn.InstrumentClass.PUT
        return {
            "min_price_increment": UNDEF_I64,
            "strike_price": self.strike * 10**9,
            "strike_price_currency": "USD",
            "low_limit_price": 50_000_000,
            "high_limit_price": 99_999 * 10**9,
            "asset": self.asset,
            "group": "EW",
            "security_type": "OOF",
            "cfi": f"O{'C' if self.call else 'P'}{'A' if self.quarterly else 'E'}FPS",
            "instrument_class": kind,
            "underlying": self.future.symbol,
            "underlying_id": self.future.instrument_id,
            "expiration": self.expiration_ns,
            "activation": clock_ns(self.expiry - timedelta(days=365), 17 * 3600),
            "maturity_year": self.expiry.year,
            "maturity_month": self.expiry.month,
            "market_depth": 3,
            "market_segment_id": 54,
            "inst_attrib_value": 270_339,
            "channel_id": 1,
            "appl_id": 311,
            "settl_currency": "",
            "tick_rule": 4,
        }


def chain(session: date, n: int, around: float) -> list[Option]:
    """`n` options that trade in a session, the nearest expiries and strikes first.

    `around` is the price the strikes lie about.

    >>> [o.symbol for o in chain(date(2024, 1, 8), 2, 4801.25)]
    ['EW2F4 P4800', 'EW2F4 C4800']
    >>> chain(date(2024, 3, 15), 2, 4800.0)[0].symbol
    'ESH4 P4800'
    """
    friday = session + timedelta(days=(4 - session.weekday()) % 7)
    expiries = max(1, min(_EXPIRIES, n // (2 * _STRIKES)))
    middle = round(around / _STRIKE_STEP)
    made: list[Option] = []
    k = 0
    while len(made) < n:
        strike = (middle + ((k + 1) // 2 if k % 2 else -(k // 2))) * _STRIKE_STEP
        for week in range(expiries):
            expiry = friday + timedelta(weeks=week)
            made += [Option(expiry, strike, call) for call in (False, True)]
        k += 1
    return made[:n]
