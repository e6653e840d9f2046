"""Vectors and outcomes as they come by the topic `features_gold`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson

from spymaster.bus import Message
from spymaster.stages.hashes import feature_hash
from spymaster.stages.vector_spec import spec_hash

#: What a score and its errors take over from their vector.
IDENTITY = (
    "vector_time", "model_id", "contract_id", "episode_id", "feature_hash",
    "session_date", "underlier", "instrument_type",
)  # fmt: skip


@dataclass(frozen=True)
class Vector:
    """One vector: its identity, and its numbers with None for what is missing.

    `wrong`: why it cannot be scored, if it cannot.
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
    """The vectors for a model, and outcomes, in the topic's order; what is not ours is left out.

    `contract`: the feature contract that vectors must have.
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
                known_at, label = int(row["known_at"]), row["label"]
                found.append(Outcome(str(row["feature_hash"]), label, known_at))
            elif row["model_id"] == model_id:
                spec = row["lookback_spec"]
                if spec not in specs:
                    specs[spec] = spec_hash(spec)
                found.append(_vector(row, specs[spec], contract))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # somebody else's message
    return found


def _vector(row: Mapping[str, Any], spec: str, contract: str) -> Vector:
    identity = {name: row[name] for name in IDENTITY}
    numbers = list(row["feature_vector"])
    given = feature_hash(
        row["contract_id"],
        int(row["vector_time"]),
        row["episode_id"],
        spec,
        np.array(numbers, np.float64),
    )
    wrong = None
    if given != row["feature_hash"]:
        wrong = f"its numbers have the hash {given}"
    elif spec != contract:
        wrong = f"its feature contract is {spec}, the settings' is {contract}"
    return Vector(identity, numbers, wrong)
