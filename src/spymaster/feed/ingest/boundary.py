"""Where a capture ends and the next begins: at UTC midnight, and when a session has ended."""

from __future__ import annotations

from collections.abc import Mapping

from spymaster.contracts.event import LATENESS_NS
from spymaster.market.clock import DAY_NS
from spymaster.market.sessions import sessions_touched
from spymaster.settings import UnderlierSettings


def next_boundary(underliers: Mapping[str, UnderlierSettings], ts: int) -> int:
    """The first UTC midnight, or end of a session's windows plus the lateness, after `ts` (ns).

    A group of records at or past it is the mark that the closed file needs.
    """
    midnight = (ts // DAY_NS + 1) * DAY_NS
    ends = [
        s.hull.end + LATENESS_NS
        for name, u in underliers.items()
        for s in sessions_touched(u, name, ts, midnight)
    ]
    return min([midnight, *(end for end in ends if ts < end)])
