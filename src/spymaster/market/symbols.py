"""What a venue's symbol says when no definition does."""

from __future__ import annotations

import datetime as dt
import re
from typing import Literal

from spymaster.market import calendars
from spymaster.market.clock import instant

MONTH_CODES = "FGHJKMNQUVXZ"
_FUTURE = re.compile(rf"([A-Z0-9]*[A-Z][A-Z0-9]*?)([{MONTH_CODES}])(\d{{1,2}})")
_CME_OPTION = re.compile(r"\S+ [CP]-?\d+(\.\d+)?")
_OSI_OPTION = re.compile(r"[A-Z0-9.]{1,6} *\d{6}[CP]\d{8}")
_STOCK = re.compile(r"[A-Z]+([ .+*=^#-][A-Z]*)*")
ONE_DAY = dt.timedelta(days=1)
_NINE_THIRTY = 9 * 3600 + 30 * 60

Kind = Literal["future", "option", "spread", "stock", "unknown"]


def symbol_kind(raw_symbol: str) -> Kind:
    """What sort of instrument a symbol looks like.

    >>> [symbol_kind(s) for s in ("ESH4", "ESM4 C4250", "ESH4-ESM4", "UD:1V: VT 2813156", "TSLA")]
    ['future', 'option', 'spread', 'spread', 'stock']
    """
    if _FUTURE.fullmatch(raw_symbol):
        return "future"
    if ":" in raw_symbol or re.search(r"\d-[A-Z]", raw_symbol):
        return "spread"
    if _CME_OPTION.fullmatch(raw_symbol) or _OSI_OPTION.fullmatch(raw_symbol):
        return "option"
    return "stock" if _STOCK.fullmatch(raw_symbol) else "unknown"


def future_root(symbol: str) -> str | None:
    """The product a future's symbol begins with.

    >>> future_root("ESH4"), future_root("M2KZ24"), future_root("TSLA")
    ('ES', 'M2K', None)
    """
    found = _FUTURE.fullmatch(symbol)
    return found[1] if found else None


def future_expiry(symbol: str, on: dt.date) -> tuple[int, int, dt.date]:
    """Year, month and expiry of an index future, as its symbol reads on a day.

    One digit for the year repeats every ten years: it means the first such year whose expiry is
    not before the day. Raises ValueError for what is no future's symbol.

    >>> future_expiry("ESH4", dt.date(2023, 12, 25))
    (2024, 3, datetime.date(2024, 3, 15))
    >>> future_expiry("ESH4", dt.date(2024, 3, 16))[0]
    2034
    """
    found = _FUTURE.fullmatch(symbol)
    if found is None:
        raise ValueError(f"{symbol} is not a future's symbol")
    month, digits = MONTH_CODES.index(found[2]) + 1, found[3]
    if len(digits) == 2:
        year = 2000 + int(digits)
        return year, month, third_friday(year, month)
    year = on.year + (int(digits) - on.year) % 10
    if third_friday(year, month) < on:
        year += 10
    return year, month, third_friday(year, month)


def third_friday(year: int, month: int) -> dt.date:
    """The day index futures settle: the third Friday, or the day before if stocks do not trade.

    >>> third_friday(2024, 3), third_friday(2026, 6)
    (datetime.date(2024, 3, 15), datetime.date(2026, 6, 18))
    """
    first = dt.date(year, month, 1)
    friday = first + ((4 - first.weekday()) % 7 + 14) * ONE_DAY
    # Settlement needs the stocks' opening prices: on Juneteenth and Good Friday there are none.
    return calendars.before("NASDAQ", friday + ONE_DAY).date


def settlement(expiry: dt.date) -> int:
    """An index future trades until 9:30 New York on its last day (ns UTC)."""
    return instant(expiry, _NINE_THIRTY)
