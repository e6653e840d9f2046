"""The book at an episode's level, as its vector sees it: what rests there, comes and goes."""

from __future__ import annotations

from typing import Any

from spymaster.kernel.compiled import compiled
from spymaster.kernel.features import NOW
from spymaster.kernel.layout import ADDED, ASK, BID, CANCELLED, EXECUTED, I64, REFILLED
from spymaster.kernel.level_book import V_FLOW, V_RESTING_CT, V_RESTING_SZ, V_TRADED
from spymaster.kernel.ring import (
    ADDS,
    BEST_CT,
    DEPTH10,
    F64,
    PULLS,
    VOLUME,
    ratio,
)

_LEVEL_AT = [name for name, _, _ in NOW].index("level_ahead_sz")


@compiled
def at_level(at: I64, setup: Any, med: F64, out: F64) -> None:
    """The book within touch of the level; `at` is its row, as level_book.py writes it."""
    ahead = ASK if setup.side > 0 else BID
    behind = BID if setup.side > 0 else ASK
    added, cancelled = V_FLOW + 2 * ADDED, V_FLOW + 2 * CANCELLED
    executed, refilled = V_FLOW + 2 * EXECUTED, V_FLOW + 2 * REFILLED
    j = _LEVEL_AT
    for side in (ahead, behind):
        out[j] = at[V_RESTING_SZ + side] / med[DEPTH10]
        out[j + 2] = at[V_RESTING_CT + side] / med[BEST_CT]
        out[j + 4] = at[added + side] / med[ADDS]
        out[j + 6] = at[cancelled + side] / med[PULLS]
        out[j + 8] = at[executed + side] / med[VOLUME]
        out[j + 10] = at[refilled + side] / med[VOLUME]
        out[j + 12] = ratio(at[refilled + side], at[executed + side])
        j += 1
    out[_LEVEL_AT + 14] = at[V_TRADED] / med[VOLUME]
    resting = at[V_RESTING_SZ + BID] + at[V_RESTING_SZ + ASK]
    out[_LEVEL_AT + 15] = ratio(setup.touch_volume, resting)
