"""SilverAddSessionLevels: each record's time and windows, and the prices that traders watch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.event import ACTION_GAP, F_SNAPSHOT
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.contracts.silver import LEVEL_TYPES, WINDOWS
from spymaster.kernel.levels import SessionLevels
from spymaster.kernel.notes import Notes
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Rows

_NORMALIZED = numpy_dtype(TABLES["silver.mbo_normalized"])
_LEVELS = numpy_dtype(TABLES["silver.session_levels"])


class SilverAddSessionLevels:
    """Tags records with the session's windows; tells each level when it becomes known."""

    reads = ("bronze.mbo", "silver.session_summary")
    writes = ("silver.mbo_normalized", "silver.session_levels")

    def __init__(self, day: ContractDay) -> None:
        s = day.session
        self._day = day
        self._id = {"contract_id": day.contract_id}
        self._levels = SessionLevels(
            (s.premarket.start, s.premarket.end),
            (s.opening_range.start, s.opening_range.end),
            {k: v // day.price_step for k, v in day.previous.items()},
            s.start,
        )

    def advance(self, events: NDArray[Any], notes: Notes, trades: NDArray[Any]) -> list[Rows]:
        """Take events, their notes and the trades among them."""
        self._levels.advance(trades)
        hull = self._day.session.hull
        kept = (notes.t >= hull.start) & (notes.t < hull.end)
        kept &= events["action"] != ACTION_GAP
        if not kept.any():
            return []
        events, notes = events[kept], notes.take(kept)
        out = np.zeros(len(events), _NORMALIZED)
        for name in ("ts_recv", "event_index"):
            out[name] = events[name]
        for name in Notes._fields:
            out[name] = getattr(notes, name)
        out["is_snapshot"] = events["flags"] & F_SNAPSHOT != 0
        for name in WINDOWS:
            window = getattr(self._day.session, name)
            out[f"in_{name}"] = (notes.t >= window.start) & (notes.t < window.end)
        return [Rows("silver.mbo_normalized", out, self._id)]

    def close(self, watermark: int) -> tuple[NDArray[Any], list[Rows]]:
        """No later record has a t below `watermark`: levels (`LEVEL`) that became known, rows."""
        if not self._day.selected:
            return self._levels.close(watermark)[:0], []
        levels = self._levels.close(watermark)
        if not len(levels):
            return levels, []
        out = np.zeros(len(levels), _LEVELS)
        out["level_price"] = levels["price"] * self._day.price_step
        out["known_at"] = levels["known_at"]
        types = [LEVEL_TYPES[i] for i in levels["type"]]
        return levels, [Rows("silver.session_levels", out, {**self._id, "level_type": types})]

    def to_bytes(self) -> bytes:
        """The whole state."""
        return self._levels.to_bytes()

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off."""
        self._levels = SessionLevels.from_bytes(data)
