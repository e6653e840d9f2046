"""The exchange's calendar: which days trade, from when to when."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from spymaster.errors import SessionError
from spymaster.market.clock import NS

#: A stray timestamp must not ask for the calendar of the year 2262.
FIRST_YEAR, LAST_YEAR = 1990, 2100
ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class TradingDay:
    """One session of an exchange: its hours, and what they are on an ordinary day (ns UTC)."""

    date: dt.date
    open: int
    close: int
    regular_open: int
    regular_close: int
    breaks: tuple[tuple[int, int], ...]

    @property
    def early_close(self) -> bool:
        return self.close < self.regular_close

    @property
    def late_open(self) -> bool:
        return self.open > self.regular_open


@lru_cache(maxsize=16)
def _calendar(name: str) -> Any:
    import pandas_market_calendars as mcal  # three seconds to import: only when asked

    known: list[str] = mcal.get_calendar_names()
    if name not in known:
        near = get_close_matches(name, known, 3) or ["CME_Equity", "NASDAQ"]
        raise SessionError(
            f"calendar {name!r} is not known to pandas_market_calendars;"
            f" allowed are its names, such as {', '.join(near)}."
            " Set it as underlier.<name>.calendar"
        )
    return mcal.get_calendar(name)


def _column(schedule: Any, name: str) -> list[int]:
    if name not in schedule.columns:
        return [0] * len(schedule)
    times: npt.NDArray[Any] = schedule[name].dt.tz_convert(None).to_numpy("datetime64[ns]")
    return [int(t) for t in times.astype(np.int64)]


def _regular(calendar: Any, day: dt.date, field: str) -> int:
    """What the hours of an ordinary day would be: (from when, time, days before) by date."""
    in_force = [
        rule
        for rule in calendar.regular_market_times[field]
        if rule[0] is None or dt.date.fromisoformat(str(rule[0])[:10]) <= day
    ]
    _, time, *offset = in_force[-1]
    local = dt.datetime.combine(day + (offset[0] if offset else 0) * ONE_DAY, time)
    zone = dt.UTC if calendar.tz is None else calendar.tz
    return int(local.replace(tzinfo=zone).timestamp()) * NS


@lru_cache(maxsize=1024)
def trading_days(calendar: str, year: int) -> tuple[TradingDay, ...]:
    """Every session of a year that the calendar names, in order."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise SessionError(
            f"calendar {calendar}: year {year} is outside {FIRST_YEAR} to {LAST_YEAR}."
            " Look for a broken timestamp in the input"
        )
    source = _calendar(calendar)
    schedule = source.schedule(f"{year}-01-01", f"{year}-12-31")
    columns = [
        _column(schedule, name)
        for name in ("market_open", "market_close", "break_start", "break_end")
    ]
    rows = zip([stamp.date() for stamp in schedule.index], *columns, strict=True)
    return tuple(_trading_day(source, *row) for row in rows)


def _trading_day(
    source: Any, day: dt.date, open_: int, close: int, pause: int, resume: int
) -> TradingDay:
    return TradingDay(
        day,
        open_,
        close,
        _regular(source, day, "market_open"),
        _regular(source, day, "market_close"),
        # A break that was abolished (CME, since 2021-06-28) stays in the schedule, empty.
        ((pause, resume),) if pause < resume else (),
    )


@lru_cache(maxsize=1024)
def _dates(calendar: str, year: int) -> tuple[dt.date, ...]:
    return tuple(day.date for day in trading_days(calendar, year))


def trading_day(calendar: str, day: dt.date) -> TradingDay | None:
    """The session named by this day, or None on a weekend or holiday."""
    found = on_or_after(calendar, day)
    return found if found.date == day else None


def on_or_after(calendar: str, day: dt.date) -> TradingDay:
    """The session of this day, or the next one."""
    for year in (day.year, day.year + 1):
        at = bisect_left(_dates(calendar, year), day)
        if at < len(_dates(calendar, year)):
            return trading_days(calendar, year)[at]
    raise SessionError(f"calendar {calendar} has no session on or after {day}. Check the calendar")


def before(calendar: str, day: dt.date) -> TradingDay:
    """The last session before this day."""
    for year in (day.year, day.year - 1):
        at = bisect_left(_dates(calendar, year), day)
        if at > 0:
            return trading_days(calendar, year)[at - 1]
    raise SessionError(f"calendar {calendar} has no session before {day}. Check the calendar")
