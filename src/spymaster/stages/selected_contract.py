"""The contract that a session is about: its levels, the approaches of them, their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.closed_bars import Bars
from spymaster.kernel.state import pack, unpack
from spymaster.stages.contract import ContractDay
from spymaster.stages.gold_extract_setup_vectors import GoldExtractSetupVectors
from spymaster.stages.rows import Rows
from spymaster.stages.silver_add_session_levels import SilverAddSessionLevels
from spymaster.stages.silver_extract_level_approach_2m import SilverExtractLevelApproach2m
from spymaster.stages.silver_filter_first_4_hours import SilverFilterFirst4Hours


class SelectedContract:
    """The chain of stages after the bars: levels, focus, episodes, vectors."""

    def __init__(self, day: ContractDay, spec: str) -> None:
        self._levels = SilverAddSessionLevels(day)
        self._focus = SilverFilterFirst4Hours(day)
        self._approach = SilverExtractLevelApproach2m(day)
        self._vectors = GoldExtractSetupVectors(day, spec)

    def advance(self, trades: NDArray[Any], closed: Bars, watermark: int) -> list[Rows]:
        """Take trades (`TRADE`) and the bars that closed; no later t lies below `watermark`."""
        self._levels.advance(trades)
        levels, rows = self._levels.close(watermark)
        trades, bars, watched = self._focus.advance(trades, closed.rows, closed.levels)
        episodes, setups, finished = self._approach.advance(trades, levels, bars)
        vectors = self._vectors.advance(bars, watched, levels, setups, episodes)
        return rows + finished + vectors

    def to_bytes(self) -> bytes:
        """The whole state."""
        parts = (self._levels, self._approach, self._vectors)
        return pack("SELECTED", 1, [np.frombuffer(p.to_bytes(), "u1") for p in parts])

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off."""
        levels, approach, vectors = (a.tobytes() for a in unpack(data, "SELECTED", 1)[1])
        self._levels.restore(levels)
        self._approach.restore(approach)
        self._vectors.restore(vectors)
