"""A simulated market for the settings: where they look is where it is busy."""

from __future__ import annotations

from typing import Any

from spymaster.feed.simulator.config import SimulationConfig
from spymaster.settings import Settings


def configured(settings: Settings, underlier: str, **chosen: Any) -> SimulationConfig:
    """A market with the settings' windows and distances; `chosen`: SimulationConfig's others."""
    market = settings.of(underlier)
    return SimulationConfig(
        underlier=underlier,
        windows=market.windows.model_dump(),
        touch_ticks=market.approach.touch_ticks,
        barrier_ticks=market.approach.barrier_ticks,
        approach_bars=market.approach.approach_bars,
        timeout_bars=market.approach.timeout_bars,
        **chosen,
    )
