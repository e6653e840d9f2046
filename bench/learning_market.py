"""The market to learn from at four strengths of its signal: seconds, episodes, nats gained.

`python -m bench.learning_market [FOLDER]` prints a table; the lakes stay in FOLDER where one is
named. Judged on the last three eighths of the sessions, after one left out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import spymaster
from spymaster.engines.warm import warm_up
from spymaster.feed.simulator import simulate
from spymaster.feed.simulator.information import information
from spymaster.ml.learning_market import MIDDLE, SETTINGS, STRONG, WEAK, learning_market

OUTCOMES = ("BREAK", "REJECT", "CHOP")
BASELINE = ("distance_barriers", "bars_since_trigger", "volatility_72")
FLOW = ("ofi_mean_12", "ofi_mean_36", "ofi_mean_72", "imbalance_1_mean_36", "imbalance_1_mean_72",
        "imbalance_5_mean_36", "imbalance_5_mean_72", "trade_imbalance_mean_36",
        "trade_imbalance_mean_72", "depth_ahead_mean_36", "added_ahead_mean_36")  # fmt: skip


def make(folder: Path, strength: float) -> dict[str, float]:
    """A market and its lake; seconds."""
    begun = time.perf_counter()
    made = simulate(learning_market(strength), folder / "market")
    simulated = time.perf_counter()
    command = [sys.executable, "-m", "spymaster", "hist", "run", *map(str, made.files), "--jobs",
               "2", "--config", str(SETTINGS), "--root", str(folder / "data")]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"simulate": simulated - begun, "hist run": time.perf_counter() - simulated}


def told(rows: pl.DataFrame, truth: Path, timeout_s: int) -> np.ndarray:
    """What w says at each vector, towards the level (+1) or away (-1); 0 where no plan is on."""
    touches = pl.read_csv(truth).sort("time")
    up = np.where(touches["direction"].to_numpy() == "from_below", 1, -1)
    at = rows["vector_time"].to_numpy()
    last = np.searchsorted(touches["time"].to_numpy(), at, side="right") - 1
    since = (at - touches["time"].to_numpy()[last]) / 1e9
    s = np.where(rows["direction"].to_numpy() == "FROM_BELOW", 1, -1)
    leans = (up * touches["w"].to_numpy())[last] * s
    return np.where((last >= 0) & (since <= timeout_s + 5), leans, 0)


def judged(rows: pl.DataFrame, w: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Nats gained over the baseline on later sessions, each with its 95 % by sessions drawn."""
    label = np.array([OUTCOMES.index(x) for x in rows["label"]])
    weight, session = rows["weight"].to_numpy(), rows["session_date"].to_numpy()
    days = np.unique(session)
    cut = len(days) * 5 // 8
    fit, test = np.isin(session, days[:cut]), np.isin(session, days[cut + 1 :])
    s = np.where(rows["direction"].to_numpy() == "FROM_BELOW", 1, -1)
    plain = np.column_stack([rows.select(BASELINE).to_numpy(), s])
    d, b = plain[:, 0], plain[:, 1]
    curved = np.column_stack([plain, d**2, d * b, b**2, d * b**2, d**2 * b, d**3])

    def loss(x: np.ndarray, c: float) -> np.ndarray:
        model = make_pipeline(
            SimpleImputer(keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(C=c, max_iter=500),
        )
        scaled = weight[fit] / weight[fit].mean()
        model.fit(x[fit], label[fit], logisticregression__sample_weight=scaled)
        p = np.maximum(model.predict_proba(x[test]), 1e-6)
        return -np.log(p[np.arange(len(p)), label[test]])

    _, day = np.unique(session[test], return_inverse=True)
    total = np.bincount(day, weight[test])
    drawn = np.random.default_rng(0).integers(0, len(total), (2000, len(total)))

    def gain(other: np.ndarray) -> tuple[float, float, float]:
        gained = np.bincount(day, (base - other) * weight[test])
        spread = gained[drawn].sum(axis=1) / total[drawn].sum(axis=1)
        low, high = np.quantile(spread, [0.025, 0.975])
        return float(gained.sum() / total.sum()), float(low), float(high)

    base = loss(plain, 1.0)
    flow = np.column_stack([curved, rows.select(FLOW).to_numpy()])
    knows = np.column_stack([curved, w, w * d, w * b, w * d**2])
    return {"reads flow": gain(loss(flow, 0.1)), "told w": gain(loss(knows, 1.0))}


def line(folder: Path, strength: float) -> str:
    """One row of the table."""
    config = learning_market(strength)
    seconds = make(folder, strength)
    rows = spymaster.scan("gold.training_view", folder / "data", named=True)
    rows = rows.sort("session_date", "vector_time", "episode_id")
    episodes = rows.group_by("episode_id").agg(pl.first("label"))
    counts = Counter(episodes["label"])
    law = information(strength, config.touch_ticks, config.barrier_ticks, config.timeout_bars)
    found = judged(rows, told(rows, folder / "market" / "truth.csv", config.timeout_bars * 5))
    cells: list[Any] = [
        strength,
        f"{seconds['simulate']:.0f} + {seconds['hist run']:.0f}",
        rows["session_date"].n_unique(),
        f"{len(episodes):,} ({' / '.join(str(counts[o]) for o in OUTCOMES)})",
        f"{len(rows):,}",
        f"{law.gain:.3f}",
        *(f"{g:+.3f} [{low:+.3f}, {high:+.3f}]" for g, low, high in reversed(found.values())),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Make, judge, print."""
    warm_up()
    print("| strength | simulate + hist run, s | sessions | episodes (BREAK / REJECT / CHOP) | "
          "vectors | Bayes gain | told w | reads flow |")  # fmt: skip
    print("|" + "---:|" * 8)
    with tempfile.TemporaryDirectory() as text:
        home = Path(sys.argv[1] if len(sys.argv) > 1 else text)
        for strength in (0.0, WEAK, MIDDLE, STRONG):
            print(line(home / f"{strength:g}", strength), flush=True)


if __name__ == "__main__":
    main()
