"""A root with a snapshot, models in a real MLflow store, and a streamed session's certificate."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from spymaster.contracts.arrow import arrow_schema
from spymaster.lake import Lake
from spymaster.ml import arrays
from spymaster.ml.candidate import candidate
from spymaster.ml.dataset import Dataset, load
from spymaster.ml.freeze import freeze
from spymaster.ml.model import save_model
from spymaster.ml.shuffle import shuffle_outcomes
from spymaster.ml.split_file import freeze_split
from spymaster.ml.sweep import MODEL
from spymaster.ml.tracking import ROLE, Store
from spymaster.settings import Settings
from spymaster.stages.vector_spec import lookback_spec
from tests.ml import lakes

ES = "ES_MODEL"
FIRST, LATER = dt.date(2024, 5, 1), dt.date(2024, 7, 1)
#: 2024-07-02, after every session that a test makes.
NOW = 1_719_900_000_000_000_000
KNOBS = {"kind": "logistic", "alpha": 1.0, "scaling": "standard", "clip": 6.0, "indicators": False}


def now() -> int:
    return NOW


def settings(root: Path, **gate: Any) -> Settings:
    return lakes.settings(root, ml={"gate": {"draws": 2_000, "latency_ms": 1_000.0, **gate}})


def make(root: Path, sessions: int, run_date: dt.date = FIRST) -> Lake:
    """Sessions of 20 episodes with two vectors each, frozen; the last has a certificate."""
    days = lakes.sessions(sessions)
    lake = lakes.make(root, days, episodes=20, vectors=2)
    freeze(lake, settings(root), ES, run_date, NOW)
    stream(lake, days[-1], lookback_spec(settings(root).of("ES")))
    certify(lake, days[-1])
    return lake


def learn(root: Path, *, alpha: float = 1.0, shuffle: bool = False, **card: Any) -> str:
    """Fit a logistic regression as a sweep does, and tell it to the store; returns its run."""
    chosen = settings(root)
    data, cut = load(root, ES, FIRST), freeze_split(root, ES, FIRST)[0]
    train = data.of(cut.train)
    if shuffle:
        train = replace(train, label=shuffle_outcomes(train.label, train.episode, 1))
    told = {
        "snapshot": data.checksum,
        "run_date": FIRST.isoformat(),
        "seen_until": cut.validation[-1].isoformat(),
        **card,
    }
    model = candidate(train, data.of(cut.validation), {**KNOBS, "alpha": alpha}, 1, **told)
    return tell(chosen, model, data)


def tell(chosen: Settings, model: arrays.Model, data: Dataset) -> str:
    """Save a model in a run of the store."""
    store = Store(chosen, ES)
    run = store.start("model", {ROLE: "model"})
    store.files(run, lambda folder: save_model(folder / MODEL, model, data.features[:1]))
    store.end(run)
    return run


def stream(lake: Lake, day: dt.date, spec: str) -> None:
    """A vector of a streamed session, under a lookback_spec."""
    rows = lakes.rows_of(day, spec, episodes=1, vectors=1).to_pylist()
    kept = {n: v for n, v in rows[0].items() if n in lake.table("gold.setup_vectors_stream").names}
    with lake.writer("gold.setup_vectors_stream") as writer:
        table = lake.table("gold.setup_vectors_stream")
        writer.write(pa.Table.from_pylist([kept], arrow_schema(table)))
    lake.append("gold.setup_vectors_stream", writer.parts)


def certify(lake: Lake, day: dt.date, *, equal: bool = True, vectors: int = 1, at: int = 1) -> None:
    """A certificate of a streamed session."""
    row: dict[str, Any] = dict.fromkeys(lake.table("gold.parity").names)
    row |= {"session_date": day, "underlier": "ES", "against": "capture", "checked_at": at}
    row |= {
        "equal": equal,
        "vectors": vectors,
        "rows": "{}",
        "differences": [],
        "code_version": "c1",
    }
    lake.append_rows("gold.parity", [row])
