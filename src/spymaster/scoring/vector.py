"""Vectors and outcomes as they come by the topic `features_gold`."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson

from spymaster.bus import Message
from spymaster.contracts.column import INSTRUMENT_TYPES
from spymaster.contracts.silver import OUTCOMES
from spymaster.lake.parquet import SAFE
from spymaster.stages.hashes import feature_hash
from spymaster.stages.vector_spec import spec_hash

log = logging.getLogger(__name__)

#: What a score and its errors take over from their vector.
IDENTITY = (
    "vector_time", "model_id", "contract_id", "episode_id", "feature_hash",
    "session_date", "underlier", "instrument_type",
)  # fmt: skip


@dataclass(frozen=True)
class Vector:
    """One vector: its identity, and its numbers with None for what is missing.

    `wrong`: why it cannot be scored, if it cannot: it is of another feature contract.
    """

    identity: Mapping[str, Any]
    numbers: list[float | None]
    wrong: str | None = None

    @property
    def hash(self) -> str:
        """Its feature_hash."""
        return str(self.identity["feature_hash"])


@dataclass(frozen=True)
class Outcome:
    """What came of a vector; `label` None: censored."""

    hash: str
    label: str | None
    known_at: int


Told: TypeAlias = Vector | Outcome


def read(messages: Iterable[Message], model_id: str, contract: str) -> list[Told]:
    """The vectors for a model, and outcomes, in the topic's order.

    `contract`: the feature contract that vectors must have. Anyone may post: what breaks the
    topic's schema, or is not what its `feature_hash` says, is left out and told in the log.
    """
    specs: dict[str, str] = {}
    found: list[Told] = []
    for m in messages:
        kind = m.headers.get("kind")
        if kind not in ("vector", "outcome"):
            continue
        try:
            row = orjson.loads(m.value)
            if kind == "outcome":
                found.append(_outcome(row))
            elif row["model_id"] == model_id:
                spec = row["lookback_spec"]
                if spec not in specs:
                    specs[spec] = spec_hash(spec)
                found.append(_vector(row, specs[spec], contract))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            where = f"{m.topic}[{m.partition}] at {m.offset}"
            log.warning("%s: no %s of ours: %s", where, kind, str(error)[:200])
    return found


def _outcome(row: Mapping[str, Any]) -> Outcome:
    if row["label"] not in (None, *OUTCOMES):
        raise ValueError(f"label is {row['label']!r}")
    return Outcome(_text(row, "feature_hash"), row["label"], int(row["known_at"]))


def _text(row: Mapping[str, Any], name: str) -> str:
    if not isinstance(row[name], str):
        raise ValueError(f"{name} is {row[name]!r}, not text")
    return str(row[name])


def _vector(row: Mapping[str, Any], spec: str, contract: str) -> Vector:
    texts = {name: _text(row, name) for name in IDENTITY if name != "vector_time"}
    identity: dict[str, Any] = {"vector_time": int(row["vector_time"]), **texts}
    if dt.date.fromisoformat(identity["session_date"]).isoformat() != identity["session_date"]:
        raise ValueError(f"session_date is {identity['session_date']!r}")
    kind, underlier = identity["instrument_type"], identity["underlier"]
    if kind not in INSTRUMENT_TYPES or not SAFE.fullmatch(underlier):
        raise ValueError(f"it is {kind!r} of {underlier!r}")
    numbers = list(row["feature_vector"])
    given = feature_hash(
        row["contract_id"],
        int(row["vector_time"]),
        row["episode_id"],
        spec,
        np.array(numbers, np.float64),
    )
    if given != row["feature_hash"]:
        raise ValueError(f"its numbers have the hash {given}")
    wrong = None
    if spec != contract:
        wrong = f"its feature contract is {spec}, the settings' is {contract}"
    return Vector(identity, numbers, wrong)
