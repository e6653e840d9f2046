"""Markets: windows, approach of levels, and the model that is for them."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from spymaster.market.clock import clock_seconds
from spymaster.market.windows import session_offsets
from spymaster.settings.base import AtLeastOne, Clock, Frozen, Name, WindowText


class WindowSettings(Frozen):
    """The windows of a session, as half-open New York clock times."""

    bars: WindowText = "08:30-16:00"
    premarket: WindowText = "05:00-09:30"
    opening_range: WindowText = "09:30-09:45"
    focus: WindowText = "08:30-12:30"
    trigger: WindowText = "09:30-12:30"
    regular: WindowText = "09:30-16:00"


class ApproachSettings(Frozen):
    """How near is a touch, how far is a break, how long may it take."""

    scale: Literal["range", "fixed"] = "range"
    touch_ticks: AtLeastOne = 4
    barrier_ticks: AtLeastOne = 24
    approach_bars: AtLeastOne = 24
    timeout_bars: AtLeastOne = 144
    max_episodes: AtLeastOne = 10

    @model_validator(mode="after")
    def _touch_is_nearer(self) -> ApproachSettings:
        if self.touch_ticks >= self.barrier_ticks:
            raise ValueError(
                f"touch_ticks {self.touch_ticks} is not below barrier_ticks {self.barrier_ticks};"
                " a level is touched before it breaks"
            )
        return self


class UnderlierSettings(Frozen):
    """One market: its model, its feed, its calendar and its windows."""

    model_id: Name
    venue: Name
    calendar: Name
    boundary: Clock = "17:00"
    windows: WindowSettings = WindowSettings()
    approach: ApproachSettings = ApproachSettings()

    @model_validator(mode="after")
    def _windows_nest(self) -> UnderlierSettings:
        boundary = clock_seconds(self.boundary)
        spans: dict[str, tuple[int, int]] = {}
        for name, text in self.windows.model_dump().items():
            try:
                spans[name] = session_offsets(text, boundary)
            except ValueError as error:
                raise ValueError(f"windows.{name} {error}") from None
        for inner, outer in (("trigger", "focus"), ("focus", "bars")):
            if spans[inner][0] < spans[outer][0] or spans[outer][1] < spans[inner][1]:
                raise ValueError(
                    f"windows.{inner} {getattr(self.windows, inner)} does not lie within"
                    f" windows.{outer} {getattr(self.windows, outer)}"
                )
        return self
