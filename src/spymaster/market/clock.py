"""New York's wall clock and the feed's nanoseconds."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from zoneinfo import ZoneInfo

NS = 1_000_000_000
DAY_SECONDS = 86_400
DAY_NS = DAY_SECONDS * NS
NEW_YORK = ZoneInfo("America/New_York")

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def clock_seconds(text: str) -> int:
    """Half past nine in the morning is 34,200 seconds into the day.

    >>> clock_seconds("09:30"), clock_seconds("17:00:05")
    (34200, 61205)
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be a clock time HH:MM or HH:MM:SS, such as 09:30")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total % 5:
        raise ValueError("must be a multiple of 5 seconds, the length of a bar")
    return total


def clock_text(seconds: int) -> str:
    """The shortest spelling of a clock time, so that equal settings have equal bytes.

    >>> clock_text(34200), clock_text(61205)
    ('09:30', '17:00:05')
    """
    minutes, second = divmod(seconds, 60)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{text}:{second:02d}" if second else text


@lru_cache(maxsize=65_536)
def instant(day: dt.date, seconds: int) -> int:
    """When New York's clock shows this time on this day, in ns UTC.

    The cash open moves by an hour of UTC when the clocks change:

    >>> instant(dt.date(2024, 3, 11), 34200) - instant(dt.date(2024, 3, 8), 34200) == 71 * 3600 * NS
    True
    """
    moment = dt.datetime.combine(day, dt.time(), NEW_YORK) + dt.timedelta(seconds=seconds)
    return int(moment.timestamp()) * NS


def new_york_date(ts: int) -> dt.date:
    """The day on New York's calendar at ``ts`` (ns UTC)."""
    return dt.datetime.fromtimestamp(ts // NS, NEW_YORK).date()


def utc_date(ts: int) -> dt.date:
    """The UTC day of ``ts``: the day by which the vendor cuts its files.

    >>> utc_date(1703548800_000000000 - 1), utc_date(1703548800_000000000)
    (datetime.date(2023, 12, 25), datetime.date(2023, 12, 26))
    """
    return dt.date(1970, 1, 1) + dt.timedelta(days=ts // DAY_NS)


def utc_midnight(day: dt.date) -> int:
    """The first nanosecond of a UTC day.

    >>> utc_midnight(dt.date(2023, 12, 26))
    1703548800000000000
    """
    return (day - dt.date(1970, 1, 1)).days * DAY_NS
