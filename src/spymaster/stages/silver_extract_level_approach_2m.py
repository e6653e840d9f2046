"""SilverExtractLevelApproach2m: price comes to a level, and breaks it, is rejected, or neither."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.event import BAR_NS
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.contracts.silver import DIRECTIONS, LEVEL_TYPES, OUTCOMES
from spymaster.kernel.approach import CENSORED, Approaches
from spymaster.kernel.layout import NONE
from spymaster.stages.contract import ContractDay
from spymaster.stages.hashes import episode_id
from spymaster.stages.rows import Rows

_APPROACH = numpy_dtype(TABLES["silver.level_approach_2m"])


class SilverExtractLevelApproach2m:
    """The episodes of a contract at its known levels."""

    reads = ("silver.session_levels", "silver.mbo_normalized", "silver.bar_5s")
    writes = ("silver.level_approach_2m",)

    def __init__(self, day: ContractDay) -> None:
        self._day = day
        self._approaches = Approaches(day.approach_params())

    def advance(
        self, trades: NDArray[Any], levels: NDArray[Any], bars: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], list[Rows]]:
        """Take trades, levels that became known, closed bars.

        Returns finished episodes (`EPISODE`), setups (`SETUP`) of those bars, and rows.
        """
        episodes, setups = self._approaches.advance(
            trades,
            levels,
            np.ascontiguousarray(bars["bar_start"]),
            np.ascontiguousarray(bars["valid"]),
        )
        return episodes, setups, self._rows(episodes)

    def _rows(self, episodes: NDArray[Any]) -> list[Rows]:
        if not len(episodes):
            return []
        day, n = self._day, len(episodes)
        out = np.zeros(n, _APPROACH)
        out["level_price"] = episodes["price"] * day.price_step
        out["touch_ticks"], out["barrier_ticks"] = day.touch_ticks, day.barrier_ticks
        out["trigger_bar"] = episodes["trigger_bar"] * BAR_NS
        out["trigger_time"] = episodes["trigger_t"]
        out["trigger_price"] = episodes["trigger_price"] * day.price_step
        out["outcome_bar"] = episodes["outcome_bar"] * BAR_NS
        out["outcome_time"] = episodes["outcome_t"]
        told = episodes["outcome"] != CENSORED
        out["time_to_outcome_ns"] = np.where(
            told, episodes["outcome_t"] - episodes["trigger_t"], NONE
        )
        out["favourable_ticks"] = episodes["favourable"] / day.tick_steps
        out["adverse_ticks"] = episodes["adverse"] / day.tick_steps
        out["n_vectors"] = episodes["outcome_bar"] - episodes["trigger_bar"]
        out["known_at"] = (episodes["outcome_bar"] + 1) * BAR_NS
        columns = {
            "contract_id": day.contract_id,
            "episode_id": [day_episode_id(day, e) for e in episodes],
            "level_types": level_types(episodes["types"]),
            "direction": directions(episodes["side"]),
            "outcome": outcomes(episodes["outcome"]),
        }
        return [Rows("silver.level_approach_2m", out, columns)]

    def to_bytes(self) -> bytes:
        """The whole state."""
        return self._approaches.to_bytes()

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off."""
        self._approaches = Approaches.from_bytes(data)


def day_episode_id(day: ContractDay, episode: Any) -> str:
    """The id of an `EPISODE` or `SETUP`."""
    return episode_id(
        day.contract_id,
        day.session.session_date,
        int(episode["price"]) * day.price_step,
        directions([episode["side"]])[0],
        int(episode["trigger_bar"]) * BAR_NS,
    )


def level_types(masks: Any) -> list[list[str]]:
    """The words for a bit per level type, in the contract's order."""
    return [[w for i, w in enumerate(LEVEL_TYPES) if int(m) >> i & 1] for m in masks]


def directions(sides: Any) -> list[str]:
    """+1 came from below, -1 from above."""
    return [DIRECTIONS[0] if side > 0 else DIRECTIONS[1] for side in sides]


def outcomes(codes: Any) -> list[str | None]:
    """The word for an outcome; None for a censored episode."""
    return [None if c == CENSORED else OUTCOMES[int(c)] for c in codes]
