"""A simulated market for the settings' windows, with progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.progress import Progress

from spymaster.cli.console import errors
from spymaster.feed.simulator import Simulation, SimulationConfig, configured, simulate
from spymaster.settings import Settings


def simulate_market(folder: Path, settings: Settings, underlier: str, **chosen: Any) -> Simulation:
    """Write the DBN files of some sessions of an underlier into a folder.

    Windows and distances are those of the settings; `chosen` are SimulationConfig's other fields.
    """
    return simulate_shown(folder, configured(settings, underlier, **chosen))


def simulate_shown(folder: Path, config: SimulationConfig) -> Simulation:
    """Write the DBN files of a market into a folder, with progress."""
    with Progress(console=errors, transient=True) as bar:
        task = bar.add_task("simulating", total=1.0)
        return simulate(
            config,
            folder,
            lambda share, what: bar.update(task, completed=share, description=what),
        )
