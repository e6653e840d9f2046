"""The real evening of ES (vendor data, outside the repository) as the oracle's input."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from spymaster.contracts.column import INT_NULL
from spymaster.contracts.event import EVENT, F_SNAPSHOT, NOTE_BACKWARDS
from tests.oracle.params import ApproachParams, Params

FILE = "es-mbo/esh4-glbx-mdp3-20231225.mbo.dbn.zst"
ORIGIN = 1_703_462_400_000_000_000  # 2023-12-25 00:00 UTC
STEP = 250_000_000
APPROACH = ApproachParams(touch_ticks=4, barrier_ticks=8)


def clock(hour: int, minute: int = 0) -> int:
    """A time of 2023-12-25 UTC in ns."""
    return ORIGIN + (hour * 60 + minute) * 60_000_000_000


WINDOWS = {
    "bars": (clock(22), clock(24)),
    "premarket": (clock(22), clock(23, 10)),
    "opening_range": (clock(23, 10), clock(23, 20)),
    "focus": (clock(22), clock(24)),
    "trigger": (clock(23, 20), clock(24)),
    "regular": (clock(38, 30), clock(45)),
}
PARAMS = Params("FUT", STEP, 1, ORIGIN, WINDOWS, [(clock(23), clock(46))])


def evening_file() -> Path | None:
    """Path of the file, None where it is not at hand."""
    root = os.environ.get("SPYMASTER_TEST_DATA", "../shared/data")
    path = Path(root) / FILE
    return path if path.exists() else None


def evening_records(path: Path) -> np.ndarray:
    """The file's records as EVENT, prices in quarter points."""
    import databento

    raw = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
    return encode(raw, STEP)


def encode(raw: np.ndarray, price_step: int) -> np.ndarray:
    """MBO records of one instrument as EVENT."""
    out = np.zeros(len(raw), dtype=EVENT)
    received = raw["ts_recv"].astype(np.int64)
    out["ts_recv"] = np.maximum.accumulate(received)
    out["notes"] = np.where(received < out["ts_recv"], NOTE_BACKWARDS, 0)
    out["ts_event"] = raw["ts_event"].astype(np.int64)
    out["order_id"] = np.ascontiguousarray(raw["order_id"]).view(np.int64)
    out["size"], out["flags"] = raw["size"], raw["flags"]
    out["action"] = [ord(a) for a in raw["action"].tolist()]
    out["side"] = [ord(s) for s in raw["side"].tolist()]
    undefined = raw["price"] == np.iinfo(np.int64).max
    if np.any(raw["price"][~undefined] % price_step):
        raise ValueError(f"a price is no multiple of {price_step}")
    out["price"] = np.where(undefined, INT_NULL, raw["price"] // price_step)
    seen: dict[tuple[bool, int], int] = {}
    for i, (flags, ts_recv) in enumerate(
        zip(out["flags"].tolist(), out["ts_recv"].tolist(), strict=True)
    ):
        place = (bool(flags & F_SNAPSHOT), ts_recv)
        out["event_index"][i] = seen[place] = seen.get(place, -1) + 1
    return out
