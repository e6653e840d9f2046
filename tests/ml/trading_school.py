"""A school whose sessions have a market: DBN files landed and in bronze, every quote known.

The book is one bid and one ask, which move together every five seconds; at every seventh move the
ask is away for a second and a half. Episodes, vectors and outcomes are the school's own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.contracts.event import F_LAST, F_SNAPSHOT, NS
from spymaster.engines.local import LocalEngine
from spymaster.feed.dbn import MBO_RECORD
from spymaster.feed.dbn_write import write_dbn
from spymaster.lake import Lake
from spymaster.market.clock import utc_midnight
from spymaster.ml.freeze import freeze
from spymaster.settings import Settings
from spymaster.stages.vector_spec import lookback_spec
from tests.e2e.scenes import head
from tests.ml import lakes, schools

TICK = 250_000_000
SESSIONS, EPISODES, VECTORS = 20, 16, 2
LATENCY = 250_000_000
_NUMBER, _BID, _ASK = 17077, 1, 2
_OPEN, _CLOSE = 14 * 3600 + 25 * 60, 17 * 3600  # of the moves, in seconds of a UTC day
_MOVE, _AWAY = 100_000_000, 1_600_000_000
_END = 21 * 3600 + 300


class State(NamedTuple):
    """The quote from a moment (ns UTC) on, in 1e-9 currency; `ask` None: there is none."""

    t: int
    bid: int
    ask: int | None


def settings(root: Path, **backtest: Any) -> Settings:
    """The defaults, with so few sessions that a rule needs few trades."""
    how = {"min_trades": 5, "draws": 1_000, "shuffles": 1, "step": 0.1, **backtest}
    return lakes.settings(root, ml={"backtest": how})


def make(root: Path, market: Path) -> Lake:
    """Sessions with vectors, outcomes and a market, frozen; files lie in `market`."""
    days = lakes.sessions(SESSIONS)
    lake = lakes.make(root, days, episodes=EPISODES, vectors=VECTORS)
    spec = lookback_spec(settings(root).of("ES"))
    for day in days:
        put_episodes(lake, lakes.rows_of(day, spec, episodes=EPISODES, vectors=VECTORS))
    freeze(lake, settings(root), schools.ES, schools.FIRST, schools.NOW)
    LocalEngine(settings(root)).bronze([file_of(day, market) for day in days])
    return lake


def put_episodes(lake: Lake, vectors: pa.Table) -> None:
    """The episodes of a session's vectors; a barrier is reached 2 s before its bar ends."""
    table = TABLES["silver.level_approach_2m"]
    rows: dict[str, dict[str, Any]] = {}
    for v in vectors.to_pylist():
        row: dict[str, Any] = dict.fromkeys(table.names, 0)
        row |= {name: v[name] for name in table.names if name in v}
        early = 0 if v["label"] == "CHOP" else 2 * NS
        row |= {"outcome": v["label"], "outcome_time": v["known_at"] - early}
        rows[v["episode_id"]] = row
    first = next(iter(rows.values()))
    cut = {n: first[n] for n in ("session_date", "underlier", "instrument_type")}
    with lake.writer(table.name) as writer:
        writer.write(pa.Table.from_pylist([*rows.values()], arrow_schema(table)))
    lake.replace(table.name, cut, writer.parts)


def states(day: dt.date) -> list[State]:
    """Every quote of a day."""
    midnight = utc_midnight(day)
    random = np.random.default_rng(day.toordinal())
    bid = 4_800 * NS
    out = [State(midnight, bid, bid + TICK)]
    for k, second in enumerate(range(_OPEN, _CLOSE, 5)):
        bid += int(random.integers(-3, 4)) * TICK
        t = midnight + second * NS
        if k % 7 == 0:
            out += [State(t + _MOVE, bid, None), State(t + _AWAY, bid, bid + 2 * TICK)]
        else:
            out.append(State(t + _MOVE, bid, bid + TICK))
    return out


def quote_from(there: Sequence[State], t: int) -> tuple[int, int, int]:
    """(since when, bid, ask): the first two-sided quote at or after a moment, the obvious way."""
    now = max(i for i, s in enumerate(there) if s.t <= t)
    first = next(s for s in there[now:] if s.ask is not None)
    assert first.ask is not None
    return max(t, first.t), first.bid, first.ask


def file_of(day: dt.date, folder: Path) -> Path:
    """The day's market as a file of the venue's."""
    midnight = utc_midnight(day)
    rows: list[tuple[int, int, str, str, int, int, int]] = []
    shot = F_SNAPSHOT
    there = states(day)
    opening = there[0]
    assert opening.ask is not None
    rows.append((opening.t, 0, "R", "N", 2**63 - 1, 0, shot))
    rows.append((opening.t, _BID, "A", "B", opening.bid, 5, shot))
    rows.append((opening.t, _ASK, "A", "A", opening.ask, 5, shot | F_LAST))
    before = opening.ask
    for s in there[1:]:
        rows.append((s.t, _BID, "M", "B", s.bid, 5, 0))
        if s.ask is None:
            rows.append((s.t, _ASK, "C", "A", before, 5, F_LAST))
        else:
            rows.append((s.t, _ASK, "A" if before == 0 else "M", "A", s.ask, 5, F_LAST))
        before = s.ask or 0
    rows.append((midnight + _END * NS, 9, "T", "N", there[-1].bid, 1, F_LAST))
    out = np.zeros(len(rows), MBO_RECORD)
    out["length"], out["rtype"], out["publisher_id"] = 14, 0xA0, 1
    out["instrument_id"] = _NUMBER
    out["ts_event"], out["order_id"] = [r[0] for r in rows], [r[1] for r in rows]
    out["ts_recv"] = out["ts_event"] + 119_000
    out["action"], out["side"] = [ord(r[2]) for r in rows], [ord(r[3]) for r in rows]
    out["price"], out["size"], out["flags"] = [[r[i] for r in rows] for i in (4, 5, 6)]
    out["sequence"] = np.arange(len(rows))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"es-glbx-mdp3-{day:%Y%m%d}.mbo.dbn.zst"
    return write_dbn(path, head({"ESH4": _NUMBER}, midnight), out)
