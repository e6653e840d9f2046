"""The simulated ES day beside the real one, a part of docs/benchmarks.md."""

from __future__ import annotations

import tempfile
from pathlib import Path

from spymaster.feed.market_statistics import market_statistics, statistics_table
from spymaster.feed.simulator import SimulationConfig, simulate

EVENTS = 2_000_000


def realism_table(real: Path | None = None, events: int = EVENTS) -> str:
    """Markdown: real | simulated. real: an MBO file of ES; without it the simulated column alone.

    events: records of the simulated session, all contracts together.
    """
    columns = {} if real is None else {"real": market_statistics([real])}
    with tempfile.TemporaryDirectory() as folder:
        made = simulate(SimulationConfig(sessions=1, events_per_session=events), Path(folder))
        columns["simulated"] = market_statistics(p for p in made.files if ".mbo." in p.name)
    return statistics_table(columns)
