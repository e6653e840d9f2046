"""Small lakes with gold rows of their own making, by the contracts: a second rather than minutes.

Outcomes lean on the first feature, so that there is something to learn.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.contracts.silver import DIRECTIONS, OUTCOMES
from spymaster.kernel.features import FEATURES
from spymaster.kernel.weights import training_weights
from spymaster.lake import Lake
from spymaster.settings import Settings
from spymaster.stages.hashes import episode_id, feature_hash
from spymaster.stages.vector_spec import lookback_spec, spec_hash, vector_spec_rows

BAR = 5_000_000_000
CONTRACT = "ES.FUT.202403"


def sessions(count: int, first: dt.date = dt.date(2024, 1, 8)) -> list[dt.date]:
    """Weekdays, in order."""
    days = (first + dt.timedelta(days=i) for i in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


def settings(root: Path, **more: Any) -> Settings:
    """The defaults under a root."""
    return Settings.load(None, root=str(root), **more)


def rows_of(
    day: dt.date,
    spec: str,
    *,
    episodes: int = 6,
    vectors: int = 5,
    seed: int = 0,
    model_id: str = "ES_MODEL",
    underlier: str = "ES",
    data_version: str = "v1",
    last_known_at: int | None = None,
) -> pa.Table:
    """Rows of gold.training_view of one session; two episodes at a time run beside each other."""
    random = np.random.default_rng([seed, day.toordinal()])
    opening = int(dt.datetime.combine(day, dt.time(14, 30), dt.UTC).timestamp()) * 10**9
    out: list[dict[str, Any]] = []
    for e in range(episodes):
        begin = opening + (e // 2) * 200 * BAR
        side = e % 2
        lean = float(random.standard_normal())
        outcome = OUTCOMES[int(np.digitize(lean + random.standard_normal(), [-0.5, 0.5]))]
        named = episode_id(CONTRACT, day, 4_800_000_000_000 + e, DIRECTIONS[side], begin)
        for i in range(vectors):
            vector = random.standard_normal(len(FEATURES))
            vector[0] = lean
            vector[5 + e % 7] = np.nan
            time = begin + (i + 1) * BAR
            out.append(
                {
                    "feature_hash": feature_hash(CONTRACT, time, named, spec_hash(spec), vector),
                    "vector_time": time,
                    "model_id": model_id,
                    "contract_id": CONTRACT,
                    "episode_id": named,
                    "lookback_spec": spec,
                    "feature_vector": vector,
                    "label": outcome,
                    "known_at": last_known_at or begin + (vectors + 1) * BAR,
                    "data_version": data_version,
                    "level_price": 4_800_000_000_000 + e,
                    "level_types": ["PD_HIGH", "PM_HIGH"][: 1 + side],
                    "direction": DIRECTIONS[side],
                    "touch_ticks": 4,
                    "barrier_ticks": 24,
                    "session_date": day,
                    "underlier": underlier,
                    "instrument_type": "FUT",
                }
            )
    codes = np.unique([row["episode_id"] for row in out], return_inverse=True)[1]
    weights = training_weights(codes, np.array([row["vector_time"] for row in out]))
    for row, weight in zip(out, weights.tolist(), strict=True):
        row["weight"] = weight
    return pa.Table.from_pylist(out, arrow_schema(TABLES["gold.training_view"]))


def put(lake: Lake, rows: pa.Table) -> None:
    """Put a session's rows in the place of those there, as a run does."""
    row = rows.slice(0, 1).to_pylist()[0]
    cut = {n: row[n] for n in ("session_date", "underlier", "instrument_type")}
    with lake.writer("gold.training_view") as writer:
        writer.write(rows)
    lake.replace("gold.training_view", cut, writer.parts)


def tell(lake: Lake, day: dt.date, *, status: str = "complete", data_version: str = "v1") -> None:
    """A row of lineage."""
    row = dict.fromkeys(TABLES["lineage"].names)
    stamp = (lake.version("lineage") or 0) + 1
    row |= {"session_date": day, "underlier": "ES", "status": status, "committed_at": stamp}
    row |= {"data_version": data_version, "files": ["f" * 64], "table_versions": json.dumps({})}
    lake.append_rows("lineage", [row])


def make(root: Path, days: Iterable[dt.date], chosen: Settings | None = None, **how: Any) -> Lake:
    """A lake whose sessions are complete under the settings' feature contract."""
    lake = Lake(root)
    spec = lookback_spec((chosen or settings(root)).of("ES"))
    lake.append_rows("gold.vector_spec", vector_spec_rows(spec))
    for day in days:
        put(lake, rows_of(day, spec, **how))
        tell(lake, day)
    return lake
