"""SilverComputeFeaturePrimitives: returns, flow, liquidity, toxicity and impact, bar by bar."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from spymaster.kernel.closed_bars import Bars
from spymaster.kernel.primitives import Primitives
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Rows


class SilverComputeFeaturePrimitives:
    """A row per bar of a future or stock; options have bars only when something happens."""

    reads = ("silver.bar_5s", "silver.session_summary")
    writes = ("silver.feature_primitives",)

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._primitives: list[Primitives | None] = []

    def add(self, day: ContractDay) -> None:
        """Take one more contract."""
        dense = day.instrument_type != "OPT"
        made = Primitives(day.price_step, day.tick_steps, day.previous_volume) if dense else None
        self._primitives.append(made)

    def advance(self, bars: Bars) -> tuple[dict[int, NDArray[Any]], list[Rows]]:
        """Take closed bars of any contracts: `PRIMITIVE`s by contract's number, and their rows."""
        made = {}
        for number in bars.contracts():
            primitives = self._primitives[number]
            if primitives is not None:
                made[number] = primitives.advance(bars.of(number).rows)
        table = self.writes[0]
        return made, [Rows(table, m, {"contract_id": self._names[n]}) for n, m in made.items()]

    def to_bytes(self, number: int) -> bytes:
        """A contract's whole state."""
        primitives = self._primitives[number]
        return b"" if primitives is None else primitives.to_bytes()

    def restore(self, number: int, data: bytes) -> None:
        """Let a contract go on where `to_bytes` left off."""
        self._primitives[number] = Primitives.from_bytes(data) if data else None
