"""A simulated market for the settings' windows, with progress."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from rich.progress import Progress

from spymaster.cli.console import errors
from spymaster.feed.simulator import Simulation, SimulationConfig, simulate
from spymaster.settings import UnderlierSettings


def simulate_market(
    folder: Path,
    es: UnderlierSettings,
    sessions: int,
    first: dt.date | None,
    events: int,
    seed: int,
    signal: bool,
    strength: float,
    dbn_version: int,
) -> Simulation:
    """Write the DBN files of some sessions of ES into a folder."""
    config = SimulationConfig(
        first_session=first or dt.date(2024, 1, 8),
        sessions=sessions,
        seed=seed,
        events_per_session=events,
        signal=signal,
        strength=strength,
        windows=es.windows.model_dump(),
        touch_ticks=es.approach.touch_ticks,
        barrier_ticks=es.approach.barrier_ticks,
        approach_bars=es.approach.approach_bars,
        timeout_bars=es.approach.timeout_bars,
        dbn_version=dbn_version,
    )
    with Progress(console=errors, transient=True) as bar:
        task = bar.add_task("simulating", total=1.0)
        return simulate(
            config,
            folder,
            lambda share, what: bar.update(task, completed=share, description=what),
        )
