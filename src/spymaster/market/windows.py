"""A window of a session: as it is configured, and as it lies in time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from spymaster.market.clock import DAY_SECONDS, clock_seconds, clock_text, instant

ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """A stretch of time, half-open, in ns UTC; empty when start == end.

    >>> Window(10, 20).contains(10), Window(10, 20).contains(20)
    (True, False)
    """

    start: int
    end: int

    def contains(self, t: int) -> bool:
        return self.start <= t < self.end

    @property
    def empty(self) -> bool:
        return self.start == self.end


def parse_window(text: str) -> tuple[int, int]:
    """Clock times of a window, in seconds of the day.

    >>> parse_window("09:30-09:45")
    (34200, 35100)
    """
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError("must be two clock times HH:MM-HH:MM, such as 09:30-16:00")
    return clock_seconds(start), clock_seconds(end)


def window_text(text: str) -> str:
    """One spelling for one window.

    >>> window_text("09:30:00 - 09:45")
    '09:30-09:45'
    """
    start, end = parse_window(text)
    return f"{clock_text(start)}-{clock_text(end)}"


def session_offsets(text: str, boundary: int) -> tuple[int, int]:
    """How far into a session of one day a window starts and ends, in clock seconds.

    A window may span midnight, not the boundary between two sessions: raises ValueError.

    >>> session_offsets("17:00-19:00", clock_seconds("17:00"))
    (0, 7200)
    >>> session_offsets("23:00-01:00", clock_seconds("17:00"))
    (21600, 28800)
    """
    start, end = parse_window(text)
    first = (start - boundary) % DAY_SECONDS
    last = (end - boundary) % DAY_SECONDS or DAY_SECONDS
    if first >= last:
        raise ValueError(
            f"{text} crosses the boundary between sessions at {clock_text(boundary)}"
            " or is empty; it must lie within one session"
        )
    return first, last


def resolve(text: str, day: dt.date, session_end: int) -> Window:
    """Where a window lies in the session that ends on ``day`` at ``session_end``.

    Its start is the last such clock time strictly before the session's end (after a long weekend
    the evening belongs to the eve of the session), its end the first one after its start.
    """
    start_clock, end_clock = parse_window(text)
    first = day if instant(day, start_clock) < session_end else day - ONE_DAY
    start = instant(first, start_clock)
    end = instant(first, end_clock)
    return Window(start, end if end > start else instant(first + ONE_DAY, end_clock))
