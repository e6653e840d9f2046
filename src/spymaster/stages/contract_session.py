"""All silver and gold stages of one contract in one session, over one state.

The same object serves a file, a feed and a task on Spark: records and clock marks in, rows out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import EVENT
from spymaster.kernel.contract_book import ContractBook
from spymaster.kernel.notes import Notes, blank_notes
from spymaster.kernel.state import pack, unpack
from spymaster.kernel.summary import SessionSummary
from spymaster.kernel.trades import trades_of
from spymaster.stages.contract import ContractDay
from spymaster.stages.gold_extract_setup_vectors import GoldExtractSetupVectors
from spymaster.stages.rows import Rows
from spymaster.stages.silver_add_session_levels import SilverAddSessionLevels
from spymaster.stages.silver_compute_bar_5s_features import SilverComputeBar5sFeatures
from spymaster.stages.silver_extract_level_approach_2m import SilverExtractLevelApproach2m
from spymaster.stages.silver_filter_first_4_hours import SilverFilterFirst4Hours

_NO_EVENTS, _NO_NOTES = np.zeros(0, EVENT), blank_notes(0)


class ContractSession:
    """One contract, one session. `advance` and `close` change the state in place, return rows.

    Cutting the records anywhere, placing clock marks anywhere, and saving and loading the state
    between change no row (law 2).
    """

    def __init__(self, day: ContractDay, spec: str) -> None:
        s = day.session
        self.day = day
        self._bars = SilverComputeBar5sFeatures(day)
        self._levels = SilverAddSessionLevels(day)
        self._focus = SilverFilterFirst4Hours(day)
        self._approach = SilverExtractLevelApproach2m(day)
        self._vectors = GoldExtractSetupVectors(day, spec)
        self.summary = SessionSummary(
            (s.hull.start, s.hull.end),
            (s.regular.start, s.regular.end),
            (s.trigger.start, s.trigger.end),
            day.tick_steps,
        )

    @property
    def book(self) -> ContractBook:
        """The order book."""
        return self._bars.book

    def advance(self, events: NDArray[Any]) -> list[Rows]:
        """Take events (`EVENT`) in feed order."""
        notes, bars, rows = self._bars.advance(events)
        return rows + self._follow(events, notes, bars)

    def close(self, mark: int) -> list[Rows]:
        """Take a clock mark: a ts_recv of the feed that no later record precedes, ns UTC."""
        bars, rows = self._bars.close(mark)
        return rows + self._follow(_NO_EVENTS, _NO_NOTES, bars)

    def _follow(self, events: NDArray[Any], notes: Notes, bars: NDArray[Any]) -> list[Rows]:
        trades = trades_of(events, notes)
        self.summary.advance(trades)
        rows = self._levels.advance(events, notes, trades)
        levels, more = self._levels.close(self._bars.book.watermark)
        if not self.day.selected:
            return rows
        trades, bars = self._focus.advance(trades, bars)
        episodes, setups, finished = self._approach.advance(trades, levels, bars)
        vectors = self._vectors.advance(bars, levels, setups, episodes)
        return rows + more + finished + vectors

    def to_bytes(self) -> bytes:
        """The whole state, as engines keep it."""
        parts = (self._bars, self._levels, self._approach, self._vectors, self.summary)
        return pack("SESSION", 1, [np.frombuffer(p.to_bytes(), "u1") for p in parts])

    @classmethod
    def from_bytes(cls, day: ContractDay, spec: str, data: bytes) -> ContractSession:
        """Go on where `to_bytes` left off, for the same contract, session and spec."""
        session = cls(day, spec)
        *parts, summary = (a.tobytes() for a in unpack(data, "SESSION", 1)[1])
        session._bars.restore(parts[0])
        session._levels.restore(parts[1])
        session._approach.restore(parts[2])
        session._vectors.restore(parts[3])
        session.summary = SessionSummary.from_bytes(summary)
        return session
