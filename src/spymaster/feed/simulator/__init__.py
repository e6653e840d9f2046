"""A market of one's own: ES futures order by order, written as real DBN files."""

from spymaster.feed.simulator.config import DEFAULT_WINDOWS, SimulationConfig
from spymaster.feed.simulator.configured import configured
from spymaster.feed.simulator.engine import Simulation, simulate
from spymaster.feed.simulator.random_stream import random_stream

__all__ = [
    "DEFAULT_WINDOWS",
    "Simulation",
    "SimulationConfig",
    "configured",
    "random_stream",
    "simulate",
]
