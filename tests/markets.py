"""Short simulated markets for tests: configurations, and records read both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import databento as db
import numpy as np

from spymaster.feed.dbn import DbnReader
from spymaster.feed.simulator import Simulation

NS = 1_000_000_000
LAST, SNAPSHOT = 128, 32
#: An hour of New York's morning: sessions of a few 10,000 records, as busy as a large market's.
HOUR = {
    "bars": "09:25-10:30",
    "premarket": "09:00-09:30",
    "opening_range": "09:30-09:35",
    "focus": "09:25-10:30",
    "trigger": "09:30-10:30",
    "regular": "09:30-10:30",
}


def days(simulation: Simulation, stem: str = "") -> list[Path]:
    """Its MBO files whose names begin with `stem`, in order."""
    return [p for p in simulation.files if ".mbo." in p.name and p.name.startswith(stem)]


def rows(path: Path) -> np.ndarray:
    """All records of a file, by our reader; times as int64."""
    with DbnReader(path) as reader:
        parts = [chunk.records for chunk in reader.chunks()]
        assert reader.damage is None
    return np.concatenate(parts)


def live(path: Path) -> np.ndarray:
    """The records that are not of a market snapshot."""
    found = rows(path)
    return found[found["flags"] & SNAPSHOT == 0]


def assert_official_reader_agrees(path: Path) -> int:
    """Databento's own decoder sees the same records; returns how many."""
    ours = rows(path)
    theirs = db.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
    assert len(ours) == len(theirs)
    for name in ("ts_event", "ts_recv", "order_id", "price", "size", "flags", "sequence"):
        assert np.array_equal(ours[name], theirs[name].astype(ours[name].dtype)), name
    for name in ("action", "side"):
        assert np.array_equal(ours[name], theirs[name].view("u1")), name
    return len(ours)


def definitions(simulation: Simulation, stem: str = "") -> list[Any]:
    """Every definition record, by Databento's decoder."""
    return [
        record
        for path in simulation.files
        if ".definition." in path.name and path.name.startswith(stem)
        for record in db.DBNStore.from_bytes(path.read_bytes())
    ]
