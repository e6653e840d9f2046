"""How near is a touch and how far a break today, by how far the market has been moving."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

SESSIONS, LEAST_SESSIONS = 5, 3
_LEAST_TOUCH, _LEAST_BARRIER = 2, 8


class Scale(NamedTuple):
    """Touch and barrier of a session, in ticks."""

    touch_ticks: int
    barrier_ticks: int


def range_scale(ranges: Sequence[float]) -> Scale | None:
    """The scale of a session from `range12m` of the complete sessions before it, latest last.

    R is the median of the last five; the barrier half of it, at least 8 ticks, the touch a sixth of
    the barrier, at least 2; both round half up, in integers. None with fewer than three sessions.

    >>> range_scale([40.0, 47.0, 90.0])  # 23.5 up to 24
    Scale(touch_ticks=4, barrier_ticks=24)
    >>> range_scale([54.0] * 3)  # 27, of which a sixth is 4.5
    Scale(touch_ticks=5, barrier_ticks=27)
    >>> range_scale([40.0, 47.0]) is None
    True
    """
    if len(ranges) < LEAST_SESSIONS:
        return None
    barrier = max(_LEAST_BARRIER, int((median(ranges[-SESSIONS:]) + 1) // 2))
    return Scale(max(_LEAST_TOUCH, (barrier + 3) // 6), barrier)
