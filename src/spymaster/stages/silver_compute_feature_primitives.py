"""SilverComputeFeaturePrimitives: returns, flow, liquidity, toxicity and impact, bar by bar."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from spymaster.kernel.primitives import Primitives
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Rows


class SilverComputeFeaturePrimitives:
    """A row per bar of a future or stock; options have bars only when something happens."""

    reads = ("silver.bar_5s", "silver.session_summary")
    writes = ("silver.feature_primitives",)

    def __init__(self, day: ContractDay) -> None:
        self._day = day
        self._primitives = Primitives(day.price_step, day.tick_steps, day.previous_volume)

    def advance(self, bars: NDArray[Any]) -> list[Rows]:
        """Take closed bars (rows of silver.bar_5s)."""
        if self._day.instrument_type == "OPT" or not len(bars):
            return []
        columns = {"contract_id": self._day.contract_id}
        return [Rows("silver.feature_primitives", self._primitives.advance(bars), columns)]

    def to_bytes(self) -> bytes:
        """The whole state."""
        return self._primitives.to_bytes()

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off."""
        self._primitives = Primitives.from_bytes(data)
