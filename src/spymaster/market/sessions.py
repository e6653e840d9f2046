"""Trading sessions: which one a moment belongs to, and where its windows lie."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from spymaster.contracts.event import LATENESS_NS
from spymaster.errors import SessionError
from spymaster.market import calendars
from spymaster.market.calendars import TradingDay
from spymaster.market.clock import (
    DAY_NS,
    clock_seconds,
    instant,
    new_york_date,
    utc_date,
    utc_midnight,
)
from spymaster.market.windows import Window, resolve
from spymaster.settings import UnderlierSettings

__all__ = [
    "Session",
    "Window",
    "previous_session",
    "session",
    "session_date_of",
    "session_dates",
    "sessions_touched",
]

ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Session:
    """A trading session: from one evening's boundary to the next session's, in ns UTC.

    ``trading`` is the exchange's open to its close, less breaks. A holiday's half session is
    ``short``: its windows end at the close, its boundaries stay.
    """

    session_date: dt.date
    underlier: str
    start: int
    end: int
    bars: Window
    premarket: Window
    opening_range: Window
    focus: Window
    trigger: Window
    regular: Window
    trading: tuple[Window, ...]
    short: bool

    @property
    def hull(self) -> Window:
        """From the start of the first window to the end of the last."""
        six = (
            self.bars,
            self.premarket,
            self.opening_range,
            self.focus,
            self.trigger,
            self.regular,
        )
        return Window(min(w.start for w in six), max(w.end for w in six))

    @property
    def input_start(self) -> int:
        """UTC midnight before the first window: the file of that day begins with a snapshot."""
        return utc_midnight(utc_date(self.hull.start))

    def utc_days(self, lateness_ns: int = LATENESS_NS) -> list[dt.date]:
        """The days whose files the session needs, in order.

        Only a clock mark at the last window's end plus the lateness closes the last bar: a window
        that ends at UTC midnight needs the next day's file too.
        """
        first, last = utc_date(self.hull.start), utc_date(self.hull.end + lateness_ns)
        return [first + n * ONE_DAY for n in range((last - first).days + 1)]


def session_date_of(u: UnderlierSettings, ts: int) -> dt.date:
    """The session that a moment (ns UTC) belongs to: named by the day it ends on.

    Half-open from boundary to boundary in New York; a weekend or holiday belongs to the next
    session of the calendar.
    """
    day = _checked_day(u, ts)
    found = calendars.on_or_after(u.calendar, day)
    if found.date == day and instant(day, clock_seconds(u.boundary)) <= ts:
        found = calendars.on_or_after(u.calendar, day + ONE_DAY)
    return found.date


def session_dates(u: UnderlierSettings, ts: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    """The session of each moment: int64 ns UTC in, datetime64[D] of the same shape out."""
    if ts.size == 0:
        return np.empty(ts.shape, "datetime64[D]")
    first, last = _checked_day(u, int(ts.min())), _checked_day(u, int(ts.max()))
    dates, ends = _boundaries(u.calendar, clock_seconds(u.boundary), first.year, last.year)
    return dates[np.searchsorted(ends, ts, side="right")]


def session(u: UnderlierSettings, name: str, date: dt.date) -> Session:
    """The session of a date, with its windows; SessionError when the exchange is closed on it."""
    day = calendars.trading_day(u.calendar, date)
    if day is None:
        earlier = calendars.before(u.calendar, date).date
        later = calendars.on_or_after(u.calendar, date).date
        raise SessionError(
            f"{name} {date}: not a session of the calendar {u.calendar};"
            f" the nearest are {earlier} and {later}. Ask for one of them"
        )
    boundary = clock_seconds(u.boundary)
    start = instant(previous_session(u, date), boundary)
    end = instant(date, boundary)
    windows = {
        field: _shorten(resolve(text, date, end), day)
        for field, text in u.windows.model_dump().items()
    }
    short = day.early_close or day.late_open
    return Session(
        date, name, start, end, **windows, trading=_trading(day, start, end), short=short
    )


def sessions_touched(
    u: UnderlierSettings, name: str, from_ts: int, to_ts: int, lateness_ns: int = LATENESS_NS
) -> list[Session]:
    """The sessions that need something of the half-open interval [from_ts, to_ts), in order.

    A session needs everything from its ``input_start`` to the first mark at its hull's end plus
    the lateness, both included.
    """
    if to_ts <= from_ts:
        return []
    # A session's input begins up to a day before its windows, its last mark may lie just past it.
    date = session_date_of(u, from_ts - DAY_NS)
    last = session_date_of(u, to_ts + DAY_NS)
    touched = []
    while date <= last:
        candidate = session(u, name, date)
        if candidate.input_start < to_ts and from_ts <= candidate.hull.end + lateness_ns:
            touched.append(candidate)
        date = calendars.on_or_after(u.calendar, date + ONE_DAY).date
    return touched


def previous_session(u: UnderlierSettings, date: dt.date) -> dt.date:
    """The last session before a date, short ones included."""
    return calendars.before(u.calendar, date).date


def _checked_day(u: UnderlierSettings, ts: int) -> dt.date:
    first = dt.date(calendars.FIRST_YEAR + 1, 1, 1)
    last = dt.date(calendars.LAST_YEAR, 1, 1)
    if not utc_midnight(first) <= ts < utc_midnight(last):
        raise SessionError(
            f"time {ts} ns: not a moment of the calendar {u.calendar};"
            f" allowed is {first} to {last}. Look for a broken timestamp in the input"
        )
    return new_york_date(ts)


@lru_cache(maxsize=64)
def _boundaries(
    calendar: str, boundary: int, first_year: int, last_year: int
) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.int64]]:
    days = [
        day.date
        for year in range(first_year, last_year + 2)
        for day in calendars.trading_days(calendar, year)
    ]
    ends = np.array([instant(day, boundary) for day in days], np.int64)
    return np.array(days, "datetime64[D]"), ends


def _shorten(window: Window, day: TradingDay) -> Window:
    """Cut off what an early close or a late open took away, and nothing else.

    A window before the regular open (CME's pre-open, a stock's premarket) stays whole.
    """
    start, end = window.start, window.end
    if day.early_close:
        start, end = min(start, day.close), min(end, day.close)
    if day.late_open and day.regular_open <= start:
        start = max(start, day.open)
    return Window(start, max(start, end))


def _trading(day: TradingDay, start: int, end: int) -> tuple[Window, ...]:
    edges = [day.open]
    for pause, resume in day.breaks:
        edges += [pause, resume]
    edges.append(day.close)
    clipped = [min(max(edge, start), end) for edge in edges]
    pairs = zip(clipped[::2], clipped[1::2], strict=True)
    return tuple(Window(a, b) for a, b in pairs if a < b)
