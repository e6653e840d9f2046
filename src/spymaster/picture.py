"""One episode as a picture: price about the level, trigger, barriers, and the bars with vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spymaster.errors import LakeError
from spymaster.lake import Lake

_BEFORE, _AFTER = 30, 6
_E9 = 1e9


def draw_episode(lake: Lake, episode_id: str, path: Path) -> Path:
    """Draw an episode of silver.level_approach_2m into a PNG file. LakeError if there is none."""
    plt = _pyplot()
    found = lake.scan("silver.level_approach_2m", filters={"episode_id": episode_id}).to_pylist()
    if not found:
        raise LakeError(
            f"silver.level_approach_2m: no episode {episode_id}. "
            "See: spymaster show silver.level_approach_2m"
        )
    episode = found[0]
    bars = _bars(lake, episode)
    x = (bars["bar_start"] - episode["trigger_bar"]) / 60e9
    level = episode["level_price"] / _E9
    figure, ax = plt.subplots(figsize=(10, 5), layout="constrained")
    try:
        traded = ~np.isnan(bars["high"])
        ax.vlines(x[traded], bars["low"][traded], bars["high"][traded], color="#8899aa", lw=1.5)
        ax.plot(x, bars["mid"], color="#1f4e8c", lw=1.2, label="mid")
        _lines(ax, episode, level, lake)
        vectors = x[(x >= 0)][: episode["n_vectors"]]
        if len(vectors):
            bottom = float(np.nanmin(bars["low"]))
            ax.plot(vectors, np.full(len(vectors), bottom), "|", color="#444444", label="vectors")
        outcome = episode["outcome"] or "censored"
        types = ", ".join(episode["level_types"])
        direction = episode["direction"].lower().replace("_", " ")
        ax.set_title(
            f"{episode['contract_id']}  {episode['session_date']}  {types} {level:,.2f}  "
            f"{direction}: {outcome}"
        )
        ax.set_xlabel("minutes since the trigger")
        ax.set_ylabel("price (currency)")
        ax.ticklabel_format(axis="y", useOffset=False)
        figure.legend(loc="outside right upper", frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=110)
    finally:
        plt.close(figure)
    return path


def _lines(ax: Any, episode: dict[str, Any], level: float, lake: Lake) -> None:
    side = 1 if episode["direction"] == "FROM_BELOW" else -1
    tick = _tick(lake, episode["contract_id"])
    barrier, touch = episode["barrier_ticks"] * tick, episode["touch_ticks"] * tick
    ax.axhline(level, color="#000000", lw=1, label="level")
    ax.axhspan(level - touch, level + touch, color="#000000", alpha=0.07, lw=0, label="touch")
    ax.axhline(level + side * barrier, color="#2a7f3f", ls="--", lw=1, label="break")
    ax.axhline(level - side * barrier, color="#b03030", ls="--", lw=1, label="reject")
    start = episode["trigger_bar"]
    ax.plot(
        (episode["trigger_time"] - start) / 60e9,
        episode["trigger_price"] / _E9,
        "o",
        color="#d08000",
        label="trigger",
    )
    if episode["outcome_time"] is not None:
        ax.axvline(
            (episode["outcome_time"] - start) / 60e9, color="#d08000", lw=1, ls=":", label="outcome"
        )


def _tick(lake: Lake, contract_id: str) -> float:
    rows = lake.scan("bronze.definitions", ["tick"], {"contract_id": contract_id})
    return float(rows["tick"][0].as_py() / _E9)


def _bars(lake: Lake, episode: dict[str, Any]) -> dict[str, Any]:
    columns = ["bar_start", "mid", "high", "low"]
    where = {"contract_id": episode["contract_id"], "session_date": str(episode["session_date"])}
    rows = lake.scan("silver.bar_5s", columns, where).sort_by("bar_start")
    start = rows["bar_start"].to_numpy()
    first = episode["trigger_bar"] - _BEFORE * 5 * 10**9
    last = episode["outcome_bar"] + _AFTER * 5 * 10**9
    keep = (start >= first) & (start <= last)
    return {c: rows[c].to_numpy(zero_copy_only=False)[keep] for c in columns}


def _pyplot() -> Any:
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise LakeError(
            "pictures need matplotlib: install spymaster with its extra [query]."
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
