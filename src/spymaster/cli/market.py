"""A simulated market for the settings' windows, with progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.progress import Progress

from spymaster.cli.console import errors
from spymaster.feed.simulator import Simulation, SimulationConfig, simulate
from spymaster.settings import Settings


def simulate_market(folder: Path, settings: Settings, underlier: str, **chosen: Any) -> Simulation:
    """Write the DBN files of some sessions of an underlier into a folder.

    Windows and distances are those of the settings; `chosen` are SimulationConfig's other fields.
    """
    market = settings.of(underlier)
    config = SimulationConfig(
        underlier=underlier,
        windows=market.windows.model_dump(),
        touch_ticks=market.approach.touch_ticks,
        barrier_ticks=market.approach.barrier_ticks,
        approach_bars=market.approach.approach_bars,
        timeout_bars=market.approach.timeout_bars,
        **chosen,
    )
    with Progress(console=errors, transient=True) as bar:
        task = bar.add_task("simulating", total=1.0)
        return simulate(
            config,
            folder,
            lambda share, what: bar.update(task, completed=share, description=what),
        )
