"""What a book must know of its contract and session before the first record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spymaster.contracts.event import BAR_NS
from spymaster.kernel import layout
from spymaster.kernel.layout import I64
from spymaster.kernel.level_book import Watch


@dataclass(frozen=True)
class BookParams:
    """What a book must know of its contract and session. Times ns UTC, windows half-open."""

    price_step: int  # 1e-9 currency
    tick_steps: int
    origin: int  # start of the session's input: microseconds count from here
    bars: tuple[int, int]
    trading: Sequence[tuple[int, int]]
    dense: bool  # futures and stocks: a bar without events is a row too
    warm: bool = True
    watch: Watch | None = None  # the levels to follow, of the selected contract
    light: bool = False  # only the clock and whether the book is good: no orders, no bars

    def array(self) -> I64:
        """The parameters as the kernel reads them."""
        p = np.zeros(layout.P_SIZE, np.int64)
        p[layout.P_STEP], p[layout.P_TICK] = self.price_step, self.tick_steps
        p[layout.P_ORIGIN] = self.origin
        p[layout.P_BAR0], p[layout.P_BAR1] = self.bars[0] // BAR_NS, self.bars[1] // BAR_NS
        p[layout.P_DENSE], p[layout.P_WARM] = self.dense, self.warm
        p[layout.P_LIGHT] = self.light
        p[layout.P_N_TRADING] = len(self.trading)
        for i, (start, end) in enumerate(self.trading):
            p[layout.P_TRADING + 2 * i], p[layout.P_TRADING + 2 * i + 1] = start, end
        return p
