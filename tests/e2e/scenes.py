"""What the end-to-end tests share: configurations, small simulated markets, runs, re-encoding."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spymaster.engines.local import LocalEngine, Report
from spymaster.feed.dbn import MBO_RECORD, DbnReader
from spymaster.feed.dbn_write import make_metadata, write_dbn
from spymaster.feed.simulator import SimulationConfig, simulate
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings

NS = 1_000_000_000
DAY_NS = 86_400 * NS
UNDEF_PRICE = 2**63 - 1
TICK = 250_000_000

#: The real evening of ES (vendor's file of 2023-12-25), as the contracts configure it.
EVENING = {
    "bars": "17:00-19:00",
    "premarket": "17:00-18:10",
    "opening_range": "18:10-18:20",
    "focus": "17:00-19:00",
    "trigger": "18:20-19:00",
}
EVENING_APPROACH = {"scale": "fixed", "barrier_ticks": 8}
#: A short morning, so that a simulated session is a second's work.
MORNING = {
    "bars": "09:00-11:30",
    "premarket": "08:30-09:30",
    "opening_range": "09:30-09:40",
    "focus": "09:00-11:20",
    "trigger": "09:30-11:20",
    "regular": "09:30-11:30",
}
#: Half an hour, for tests that run many times over.
SHORT = {
    "bars": "09:25-10:00",
    "premarket": "09:00-09:30",
    "opening_range": "09:30-09:33",
    "focus": "09:25-10:00",
    "trigger": "09:30-10:00",
    "regular": "09:30-10:00",
}
#: An evening that spans two UTC days (New York's 19:00 is midnight UTC in winter).
NIGHT = {
    "bars": "18:00-21:00",
    "premarket": "18:00-18:30",
    "opening_range": "18:30-18:40",
    "focus": "18:00-21:00",
    "trigger": "18:30-21:00",
    "regular": "18:30-21:00",
}
FIXED = {"scale": "fixed"}


def configured(
    root: Path, windows: Mapping[str, str] = MORNING, approach: Mapping[str, Any] = FIXED
) -> Settings:
    """Settings of one underlier, ES."""
    es = {
        "model_id": "ES_MODEL",
        "venue": "GLBX.MDP3",
        "calendar": "CME_Equity",
        "windows": dict(windows),
        "approach": dict(approach),
    }
    return Settings.model_validate({"root": str(root), "underlier": {"ES": es}})


def short(root: Path) -> Settings:
    return configured(root, SHORT, {"scale": "fixed", "barrier_ticks": 12})


def evening(root: Path) -> Settings:
    return configured(root, EVENING, EVENING_APPROACH)


def market(
    out: Path,
    sessions: int = 2,
    events: int = 12_000,
    windows: Mapping[str, str] = MORNING,
    first: date = date(2024, 1, 8),
    **more: Any,
) -> list[Path]:
    """A simulated market's files: MBO and definitions, day by day."""
    config = SimulationConfig(
        first_session=first, sessions=sessions, events_per_session=events, windows=windows, **more
    )
    return simulate(config, out).files


def run(settings: Settings, files: Iterable[Path] = (), **how: Any) -> Report:
    """Land and compute with an engine of its own; no session may fail."""
    chunk = how.pop("chunk_records", 250_000)
    progress: Callable[..., None] | None = how.pop("progress", None)
    report = LocalEngine(settings, chunk_records=chunk, progress=progress).run(files, **how)
    for failed in report.failed:
        raise failed.error
    return report


def two(root: Path) -> Settings:
    """ES, and a stock, in evenings that span two UTC days."""
    es = configured(root, NIGHT, {"scale": "fixed", "barrier_ticks": 12})
    other = {
        **es.underlier["ES"].model_dump(),
        "model_id": "TSLA_MODEL",
        "venue": "XNAS.ITCH",
        "boundary": "17:00",
        "calendar": "CME_Equity",
    }
    both = {"ES": es.underlier["ES"].model_dump(), "TSLA": other}
    return Settings.model_validate({"root": str(root), "underlier": both})


def two_venues(out: Path) -> list[Path]:
    """Two ES sessions whose files share a day and whose front month rolls, one session of TSLA."""
    files = market(out, sessions=2, events=3_000, windows=NIGHT, first=date(2024, 1, 9))
    stock = records(mbo("mbo", files)[1])
    # The two contracts change places in the files of the first whole session: the watch rolls.
    for path in mbo("mbo", files)[:2]:
        whole = records(path)
        one, other = sorted(set(whole["instrument_id"].tolist()))
        whole["instrument_id"] = np.where(whole["instrument_id"] == one, other, one)
        rewrite(path, path, whole)
    stock = stock[stock["instrument_id"] == stock["instrument_id"][0]]
    stock["publisher_id"] = 2
    with DbnReader(mbo("mbo", files)[1]) as reader:
        start, end = int(reader.metadata.start), int(reader.metadata.end)
    head = make_metadata("XNAS.ITCH", {"TSLA": int(stock["instrument_id"][0])}, start, end)
    write_dbn(out / "xnas-itch-20240109.mbo.dbn.zst", head, stock)
    return sorted(out.glob("*.zst"))


def mirrored(path: Path, out: Path) -> Path:
    """A file upside down about its median trade: p becomes axis - p, sides change places."""
    kept = records(path)
    traded = kept["price"][kept["action"] == ord("T")]
    axis = 2 * int(np.median(traded)) // TICK * TICK
    priced = kept["price"] != UNDEF_PRICE
    kept["price"][priced] = axis - kept["price"][priced]
    bid, ask = kept["side"] == ord("B"), kept["side"] == ord("A")
    kept["side"][bid], kept["side"][ask] = ord("A"), ord("B")
    return rewrite(path, out, kept)


def rows(root: Path, table: str, *columns: str, **filters: Any) -> list[dict[str, Any]]:
    """Rows of a table; none where there is no table."""
    return held(root, table, *columns, **filters).to_pylist()


def held(root: Path, table: str, *columns: str, **filters: Any) -> pa.Table:
    return Lake(root).scan(table, list(columns) or None, filters or None, missing_ok=True)


def counts(root: Path, layers: Sequence[str] = ("bronze", "silver", "gold")) -> dict[str, int]:
    """Rows per table."""
    lake = Lake(root)
    return {n: lake.scan(n).num_rows for n in lake.existing() if n.split(".")[0] in layers}


def assert_equal(a: Path, b: Path, layers: Sequence[str] = ("bronze", "silver", "gold")) -> None:
    """The same facts in every table of these layers; says how many rows it compared."""
    for name in sorted({*counts(a, layers), *counts(b, layers)}):
        found = diff(a, b, name)
        print("\n".join(found.lines()))
        assert found.equal, str(found)


def records(path: Path) -> np.ndarray:
    """All MBO records of a file."""
    with DbnReader(path) as reader:
        parts = [chunk.records for chunk in reader.chunks()]
    return np.concatenate([np.empty(0, MBO_RECORD), *parts])


def rewrite(path: Path, out: Path, kept: np.ndarray, **how: Any) -> Path:
    """The same file with other records."""
    with DbnReader(path) as reader:
        head = reader.metadata
    return write_dbn(out, head, kept, **how)


def head(symbols: Mapping[str, int], start: int, **more: Any) -> Any:
    """Metadata of one UTC day of CME."""
    return make_metadata("GLBX.MDP3", symbols, start, start + DAY_NS, **more)


def encoded(table: pa.Table) -> np.ndarray:
    """Rows of bronze.mbo as the DBN records that they came from."""
    out = np.zeros(table.num_rows, MBO_RECORD)
    out["length"], out["rtype"] = 14, 0xA0
    for name in ("publisher_id", "instrument_id", "order_id", "size", "flags", "channel_id"):
        out[name] = table[name].to_numpy()
    for name in ("ts_in_delta", "sequence"):
        out[name] = table[name].to_numpy()
    out["ts_event"] = table["event_time"].to_numpy()
    out["price"] = table["price"].fill_null(UNDEF_PRICE).to_numpy()
    out["ts_recv"] = table["ts_recv"].to_numpy()
    out["action"] = [ord(a) for a in table["action"].to_pylist()]
    out["side"] = [ord(s) for s in table["side"].to_pylist()]
    for i, payload in enumerate(table["payload"].to_pylist()):
        if payload != "{}":
            out["ts_recv"][i] = json.loads(payload)["ts_recv"]
    return out


def mbo(name: str, files: Iterable[Path]) -> list[Path]:
    """The files of a schema: `mbo` or `definition`."""
    return [f for f in files if f".{name}." in f.name]
