"""What the stages must know of one contract in one session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spymaster.contracts.event import LATENESS_NS
from spymaster.kernel.approach import ApproachParams
from spymaster.kernel.book_params import BookParams
from spymaster.kernel.level_book import Watch
from spymaster.market.scale import Scale
from spymaster.market.sessions import Session
from spymaster.settings import ApproachSettings


@dataclass(frozen=True)
class ContractDay:
    """One contract in one session: its grid, the session's windows, and what was known before.

    `selected`: levels, episodes and vectors are made for it. `previous` holds the levels of the
    day before (PD_HIGH, PD_LOW, PD_CLOSE) in 1e-9 currency, as far as there are any;
    `previous_volume` is that of the previous complete session; `scale` holds the day's touch and
    barrier, by default the configured ones.
    """

    contract_id: str
    instrument_type: str
    price_step: int
    tick: int
    session: Session
    approach: ApproachSettings
    model_id: str
    selected: bool
    previous: Mapping[str, int] = field(default_factory=dict)
    previous_volume: int | None = None
    scale: Scale | None = None
    warm: bool = True

    @property
    def tick_steps(self) -> int:
        return self.tick // self.price_step

    @property
    def touch_ticks(self) -> int:
        return self.scale.touch_ticks if self.scale else self.approach.touch_ticks

    @property
    def barrier_ticks(self) -> int:
        return self.scale.barrier_ticks if self.scale else self.approach.barrier_ticks

    def book_params(self, *, light: bool = False) -> BookParams:
        """What the contract's book is told; `light`: only to keep the clock."""
        s = self.session
        return BookParams(
            price_step=self.price_step,
            tick_steps=self.tick_steps,
            origin=s.input_start - LATENESS_NS,
            bars=(s.bars.start, s.bars.end),
            trading=[(w.start, w.end) for w in s.trading],
            dense=self.instrument_type != "OPT",
            warm=self.warm,
            watch=self._watch() if self.selected and not light else None,
            light=light,
        )

    def _watch(self) -> Watch:
        s = self.session
        windows = [(w.start, w.end) for w in (s.premarket, s.opening_range)]
        prices = [price // self.price_step for price in self.previous.values()]
        return Watch(self.touch_ticks * self.tick_steps, windows, prices)

    def approach_params(self) -> ApproachParams:
        s, a = self.session, self.approach
        return ApproachParams(
            bars=(s.bars.start, s.bars.end),
            focus=(s.focus.start, s.focus.end),
            trigger=(s.trigger.start, s.trigger.end),
            touch_ticks=self.touch_ticks,
            barrier_ticks=self.barrier_ticks,
            approach_bars=a.approach_bars,
            timeout_bars=a.timeout_bars,
            max_episodes=a.max_episodes,
            tick_steps=self.tick_steps,
        )
