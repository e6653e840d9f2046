"""GoldExtractSetupVectors: a vector per bar of every open episode, later its label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.event import BAR_NS
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel.state import pack, unpack
from spymaster.kernel.vectors import SetupVectors
from spymaster.stages.contract import ContractDay
from spymaster.stages.hashes import feature_hash
from spymaster.stages.rows import Rows
from spymaster.stages.silver_extract_level_approach_2m import (
    day_episode_id,
    directions,
    level_types,
    outcomes,
)
from spymaster.stages.vector_spec import spec_hash

_VECTOR = numpy_dtype(TABLES["gold.setup_vectors"])
_LABEL = numpy_dtype(TABLES["gold.labels"])
#: A vector whose label is not known yet: its level, its time, its hash as four int64.
_OPEN = np.dtype([("price", "<i8"), ("vector_time", "<i8"), ("hash", "<i8", 2)])


class GoldExtractSetupVectors:
    """The vectors of a contract, oriented so that a market and its mirror image look the same."""

    reads = (
        "silver.bar_5s",
        "silver.level_book",
        "silver.session_levels",
        "silver.level_approach_2m",
    )
    writes = ("gold.setup_vectors", "gold.labels")

    def __init__(self, day: ContractDay, spec: str) -> None:
        self._day, self._spec, self._spec_hash = day, spec, spec_hash(spec)
        self._vectors = SetupVectors(
            day.price_step, day.tick_steps, day.session.focus.start, day.barrier_ticks
        )
        self._open = np.zeros(0, _OPEN)

    def advance(
        self,
        bars: NDArray[Any],
        watched: NDArray[np.int64],
        levels: NDArray[Any],
        setups: NDArray[Any],
        episodes: NDArray[Any],
    ) -> list[Rows]:
        """Take closed bars and what they saw at the levels, levels that became known, setups of
        those bars, finished episodes.
        """
        vectors = self._vectors.advance(bars, watched, levels, setups)
        rows = self._vector_rows(setups, vectors) if len(setups) else []
        return rows + self._label_rows(episodes)

    def _vector_rows(self, setups: NDArray[Any], vectors: NDArray[np.float64]) -> list[Rows]:
        day = self._day
        out = np.zeros(len(setups), _VECTOR)
        out["vector_time"] = (setups["bar"] + 1) * BAR_NS
        out["level_price"] = setups["price"] * day.price_step
        out["touch_ticks"], out["barrier_ticks"] = day.touch_ticks, day.barrier_ticks
        episode_ids = [day_episode_id(day, s) for s in setups]
        hashes = [
            feature_hash(day.contract_id, int(t), e, self._spec_hash, v)
            for t, e, v in zip(out["vector_time"], episode_ids, vectors, strict=True)
        ]
        waiting = np.zeros(len(setups), _OPEN)
        waiting["price"], waiting["vector_time"] = setups["price"], out["vector_time"]
        waiting["hash"] = [np.frombuffer(bytes.fromhex(h), "<i8") for h in hashes]
        self._open = np.concatenate([self._open, waiting])
        columns = {
            "contract_id": day.contract_id,
            "model_id": day.model_id,
            "episode_id": episode_ids,
            "lookback_spec": self._spec,
            "feature_vector": vectors,
            "feature_hash": hashes,
            "label": None,
            "level_types": level_types(setups["types"]),
            "direction": directions(setups["side"]),
        }
        return [Rows("gold.setup_vectors", out, columns)]

    def _label_rows(self, episodes: NDArray[Any]) -> list[Rows]:
        rows = []
        for episode, outcome in zip(episodes, outcomes(episodes["outcome"]), strict=True):
            of_it = (
                (self._open["price"] == episode["price"])
                & (self._open["vector_time"] > episode["trigger_bar"] * BAR_NS)
                & (self._open["vector_time"] <= episode["outcome_bar"] * BAR_NS)
            )
            mine, self._open = self._open[of_it], self._open[~of_it]
            if not len(mine):
                continue
            out = np.zeros(len(mine), _LABEL)
            out["vector_time"] = mine["vector_time"]
            out["known_at"] = (episode["outcome_bar"] + 1) * BAR_NS
            columns = {
                "contract_id": self._day.contract_id,
                "feature_hash": [h.tobytes().hex() for h in mine["hash"]],
                "episode_id": day_episode_id(self._day, episode),
                "label": outcome,
            }
            rows.append(Rows("gold.labels", out, columns))
        return rows

    def to_bytes(self) -> bytes:
        """The whole state."""
        inner = np.frombuffer(self._vectors.to_bytes(), "u1")
        return pack("GOLD", 1, [inner, self._open.view("<i8")])

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off."""
        inner, waiting = unpack(data, "GOLD", 1)[1]
        self._vectors = SetupVectors.from_bytes(inner.tobytes())
        self._open = waiting.view(_OPEN)
