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
from spymaster.market.sessions import Session, Window
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Coded, Rows

_LEVELS = numpy_dtype(TABLES["silver.session_levels"])


class RecordTags:
    """What normalising adds to each record of a market: time, windows, effect on the book."""

    reads = ("bronze.mbo",)
    writes = ("silver.mbo_normalized",)

    def __init__(self, session: Session, names: list[str]) -> None:
        self._session, self._names = session, names

    def advance(self, events: NDArray[Any], numbers: NDArray[np.int64], notes: Notes) -> list[Rows]:
        """Take events, whose they are, and their notes; rows of those within the hull."""
        if not len(events):
            return []
        hull, t = self._session.hull, notes.t
        kept = _within(t, hull) & (events["action"] != ACTION_GAP)
        if not kept.all():
            events, numbers, notes = events[kept], numbers[kept], notes.take(kept)
            t = notes.t
        if not len(events):
            return []
        columns = {
            "contract_id": Coded(numbers.astype(np.int32), self._names),
            "ts_recv": events["ts_recv"],
            "is_snapshot": events["flags"] & F_SNAPSHOT != 0,
            "event_index": events["event_index"],
            **notes._asdict(),
        }
        for name in WINDOWS:
            columns[f"in_{name}"] = _within(t, getattr(self._session, name))
        return [Rows("silver.mbo_normalized", None, columns, len(events))]


def _within(t: NDArray[np.int64], window: Window) -> NDArray[np.bool_]:
    low, high = int(t.min()), int(t.max())
    if window.start <= low and high < window.end:
        return np.ones(len(t), np.bool_)
    if high < window.start or window.end <= low:
        return np.zeros(len(t), np.bool_)
    inside: NDArray[np.bool_] = (t >= window.start) & (t < window.end)
    return inside


class SilverAddSessionLevels:
    """The levels of the selected contract, each told once, when it becomes known."""

    reads = ("silver.mbo_normalized", "silver.session_summary")
    writes = ("silver.session_levels",)

    def __init__(self, day: ContractDay) -> None:
        s = day.session
        self._day = day
        self._levels = SessionLevels(
            (s.premarket.start, s.premarket.end),
            (s.opening_range.start, s.opening_range.end),
            {k: v // day.price_step for k, v in day.previous.items()},
            s.start,
        )

    def advance(self, trades: NDArray[Any]) -> None:
        """Take trades (`TRADE`)."""
        self._levels.advance(trades)

    def close(self, watermark: int) -> tuple[NDArray[Any], list[Rows]]:
        """No later record has a t below `watermark`: levels (`LEVEL`) that became known, rows."""
        levels = self._levels.close(watermark)
        if not len(levels):
            return levels, []
        out = np.zeros(len(levels), _LEVELS)
        out["level_price"] = levels["price"] * self._day.price_step
        out["known_at"] = levels["known_at"]
        types = [LEVEL_TYPES[i] for i in levels["type"]]
        columns = {"contract_id": self._day.contract_id, "level_type": types}
        return levels, [Rows("silver.session_levels", out, columns)]

    def to_bytes(self) -> bytes:
        """The whole state."""
        return self._levels.to_bytes()

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off."""
        self._levels = SessionLevels.from_bytes(data)
