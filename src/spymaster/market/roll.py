"""The front month: which future of a product is the one to watch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from spymaster.market.clock import new_york_date
from spymaster.market.identify import Instrument

#: Without volumes: traders leave an index future about a week before it expires.
ROLL_DAYS = 8


def select_front(
    candidates: Iterable[Instrument],
    focus_end: int,
    session_date: dt.date,
    previous_volumes: Mapping[str, int] | None,
) -> str | None:
    """The future that traded most in the previous complete session, known before this one.

    Only outrights that expire after ``focus_end`` (ns UTC) count; a tie goes to the nearest
    expiry. Without volumes (none given, or none of these contracts traded): the nearest expiry
    at least 8 days after ``session_date``. None when no candidate qualifies.
    """
    alive = {
        row.contract_id: row.expiration
        for row in candidates
        if row.instrument_type == "FUT"
        and row.contract_id is not None
        and row.expiration is not None
        and row.expiration > focus_end
    }
    nearest = sorted(alive, key=lambda name: (alive[name], name))
    volumes = {name: (previous_volumes or {}).get(name, 0) for name in nearest}
    if any(volumes.values()):
        return max(nearest, key=lambda name: volumes[name])
    far = [name for name in nearest if _days_left(alive[name], session_date) >= ROLL_DAYS]
    return far[0] if far else None


def _days_left(expiration: int, session_date: dt.date) -> int:
    return (new_york_date(expiration) - session_date).days
