"""Does a model pass the gate when there is something to learn, and never when there is nothing?

    python -m bench.learning_proof [FOLDER] [--only signal,shuffled,off] [--write]

Simulated markets go the whole way: history, a streamed day with its certificate, snapshot, split,
sweep, gate. Each contest's result is a file in FOLDER (default ./learning-proof), so that a run
that was broken off goes on. `--write` puts the tables of all there is into docs/learning_proof.md.
About three hours of one core.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.proof_lakes import VIEW, Market, deal_anew, lake_of, linked
from bench.proof_tables import tables
from spymaster.engines.warm import warm_up
from spymaster.feed.simulator import SimulationConfig
from spymaster.feed.simulator.information import information
from spymaster.lake import Lake
from spymaster.ml.baseline import FEATURES, Baseline
from spymaster.ml.dataset import Dataset, load
from spymaster.ml.freeze import freeze
from spymaster.ml.gate import Rows, gate
from spymaster.ml.learning_market import MIDDLE, STRONG, WEAK, learning_market, learning_settings
from spymaster.ml.outcomes import floored
from spymaster.ml.promote import promote
from spymaster.ml.split_file import load_split
from spymaster.ml.sweep import sweep
from spymaster.settings import Settings

DOCS = Path(__file__).parents[1] / "docs" / "learning_proof.md"
HEADING = "# What came"
MODEL = "ES_MODEL"
TRIALS, SEED = 4, 7
#: Sessions simulated: of the market of which long histories are asked, of others with a signal, and
#: of those without: the gate asks for 10 test sessions and 200 episodes.
LONG, SHORT, OFF = 150, 60, 48
#: Sessions with rows in a snapshot, from the longest: how many does it take?
LENGTHS = (140, 112, 84, 55)
FEW, LEAST = LENGTHS[-1], 44
SHUFFLES = (1, 2, 3, 4, 5)
OFF_SEEDS = (7, 1, 2, 3, 4, 5, 6, 8, 9, 10)

Result = dict[str, Any]


def settings_of(root: Path) -> Settings:
    """Those of the market; latency is not what is asked here, on a machine that does other work."""
    settings = learning_settings(root)
    gate = settings.ml.gate.model_copy(update={"latency_ms": 1_000.0})
    ml = settings.ml.model_copy(update={"gate": gate})
    return settings.model_copy(update={"ml": ml})


def contest(root: Path, sessions: int | None) -> Result:
    """Snapshot the first `sessions` sessions with rows, sweep, and ask the gate."""
    settings = settings_of(root)
    lake = Lake(root)
    days = sorted(set(lake.scan(VIEW, ["session_date"])["session_date"].to_pylist()))
    run_date = (days[:sessions])[-1] + dt.timedelta(days=1)
    freeze(lake, settings, MODEL, run_date, time.time_ns())
    begun = time.process_time()
    swept = sweep(settings, MODEL, run_date, TRIALS, SEED, time.time_ns)
    took = time.process_time() - begun
    verdict = promote(settings, MODEL, time.time_ns)
    data, cut = load(root, MODEL, run_date), load_split(root, MODEL, run_date)
    test = Rows.of(data.of(cut.test))
    checks = {c.name: {"passed": c.passed, "told": c.told, **c.facts} for c in verdict.checks}
    return {
        "sessions": len(data.sessions),
        "train_sessions": len(cut.train),
        "test_sessions": test.sessions,
        "test_episodes": test.episodes,
        "vectors": len(data),
        "kind": swept.best["knobs"]["kind"],
        "trust": swept.validation["trust"],
        "sweep_cpu_s": took,
        "promoted": verdict.promoted,
        "look": verdict.look,
        "alpha": verdict.alpha,
        "checks": checks,
        "refusal": "" if verdict.promoted else verdict.refusal(),
    }


def told_w(root: Path, market: Path, config: SimulationConfig) -> Result:
    """What a logistic regression gains over the baseline that is told what the flow knows (w).

    On the newest snapshot's test sessions; it and the baseline have learnt from all before.
    """
    settings = settings_of(root)
    run_date = dt.date.fromisoformat(max(p.name for p in _snapshots(root).iterdir()))
    data, cut = load(root, MODEL, run_date), load_split(root, MODEL, run_date)
    seen, test = data.of(cut.train + cut.validation), data.of(cut.test)
    touches = np.genfromtxt(market / "truth.csv", delimiter=",", names=True, dtype=None)
    fitted = make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=500),
    )
    weight = seen.weight / seen.weight.mean()
    fitted.fit(_told(seen, touches, config), seen.label, logisticregression__sample_weight=weight)
    rows = Rows.of(test)
    own = floored(fitted.predict_proba(_told(test, touches, config)))
    checks = gate(
        own, {"the baseline": Baseline.fit(seen).probabilities(test)}, rows, settings.ml.gate, 0.025
    )
    return {c.name: c.facts for c in checks}["better than the baseline"]


def _snapshots(root: Path) -> Path:
    return root / "ml-artifacts/datasets" / MODEL


def _told(data: Dataset, touches: Any, config: SimulationConfig) -> Any:
    """Distance, bars, volatility and direction, bent, and w: +1 towards the level, 0 unknown."""
    d, b, v = (data.column(name) for name in FEATURES)
    s = data.direction.astype(np.float64)
    order = np.argsort(touches["time"])
    times = touches["time"][order]
    up = np.where(touches["direction"][order] == "from_below", 1, -1) * touches["w"][order]
    last = np.searchsorted(times, data.vector_time, side="right") - 1
    since = (data.vector_time - times[last]) / 1e9
    known = (last >= 0) & (since <= config.timeout_bars * 5 + 5)
    w = np.where(known, up[last], 0) * s
    bent = [d, b, v, s, d**2, d * b, b**2, d * b**2, d**2 * b, d**3]
    return np.column_stack([*bent, w, w * d, w * b, w * d**2])


@dataclass(frozen=True)
class Contest:
    """A model of the first `sessions` sessions with rows of a market before the gate."""

    name: str
    market: Market
    sessions: int | None  #: None: all there are
    dealt: int | None = None  #: seed with which outcomes are shuffled first

    def result(self, home: Path) -> Result:
        """What came of it; a contest that broke off goes on where it was."""
        folder = lake_of(home, self.market)

        def prepare(root: Path) -> None:
            if self.dealt is not None:
                deal_anew(root, self.dealt)

        root = linked(folder / "data", home / "work" / self.name, prepare)
        result = contest(root, self.sessions)
        if self.market.strength and self.dealt is None:
            m = self.market
            config = learning_market(m.strength, m.sessions, m.seed)
            distances = (config.touch_ticks, config.barrier_ticks, config.timeout_bars)
            result["bayes"] = information(m.strength, *distances).gain
            result["told_w"] = told_w(root, folder / "market", config)
        shutil.rmtree(root)
        told = {"strength": self.market.strength, "seed": self.market.seed, "dealt": self.dealt}
        return {**told, **result}


def contests() -> Iterator[Contest]:
    """All there are; those that tell most first."""
    for sessions in LENGTHS:
        yield Contest(f"signal-{MIDDLE:g}-{sessions}", Market(MIDDLE, SEED, LONG), sessions)
    for strength in (WEAK, STRONG):
        yield Contest(f"signal-{strength:g}-{FEW}", Market(strength, SEED, SHORT), FEW)
        yield Contest(f"signal-{strength:g}-{LENGTHS[0]}", Market(strength, SEED, LONG), LENGTHS[0])
    for seed in SHUFFLES:
        yield Contest(f"shuffled-{seed}", Market(STRONG, SEED, SHORT), FEW, seed)
    for seed in OFF_SEEDS:
        yield Contest(f"off-{seed}", Market(0.0, seed, OFF), LEAST)


def run(home: Path, parts: Sequence[str]) -> dict[str, Result]:
    """Contests named so, or beginning so, in this order, if not there yet; all results by name."""
    kept = home / "results"
    kept.mkdir(parents=True, exist_ok=True)
    chosen = [one for part in parts for one in contests() if one.name.startswith(part)]
    for one in chosen:
        name = one.name
        path = kept / f"{name}.json"
        if path.exists():
            continue
        begun = time.perf_counter()
        result = one.result(home) | {"seconds": time.perf_counter() - begun}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result, indent=1) + "\n")
        part.rename(path)
        print(f"{name}: {result['seconds']:.0f} s, promoted: {result['promoted']}", flush=True)
        print(f"  {_gains(result)}", flush=True)
        if result["promoted"] and not name.startswith("signal"):
            raise SystemExit(f"{name}: THE GATE PASSED A MARKET WITHOUT A SIGNAL. See {path}")
    return {path.stem: json.loads(path.read_text()) for path in sorted(kept.glob("*.json"))}


def _gains(result: Result) -> str:
    found = {n: c for n, c in result["checks"].items() if n.startswith("better than")}
    return (
        result["refusal"]
        if not found
        else "; ".join(
            f"{n}: {c['gain']:+.4f}, above {c['lower']:+.4f}, p {c['p']:.3g}"
            for n, c in found.items()
        )
    )


def main() -> None:
    """Prove, print, and write."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", nargs="?", type=Path, default=Path("learning-proof"))
    asked.add_argument("--only", default="signal,shuffled,off")
    asked.add_argument("--write", action="store_true")
    given = asked.parse_args()
    warm_up()
    results = run(given.folder.absolute(), given.only.split(","))
    text = tables(results, MIDDLE, (FEW, LENGTHS[0]))
    if given.write:
        before, _, _ = DOCS.read_text().partition(HEADING)
        DOCS.write_text(f"{before}{HEADING}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
