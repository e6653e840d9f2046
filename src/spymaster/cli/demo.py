"""The demo: a simulated market through the whole way, told in a few lines and a picture."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from spymaster.cli.console import engine, out, summary, tell
from spymaster.cli.live_demo import live_replay
from spymaster.cli.market import simulate_market
from spymaster.errors import LakeError, ModelError
from spymaster.lake import Lake
from spymaster.picture import draw_episode
from spymaster.settings import Settings

_SESSIONS, _EVENTS, _SEED = 4, 150_000, 7
_MARK = "summary.json"
_SHOWN = (
    "distance_ticks",
    "imbalance_1",
    "ofi",
    "trade_imbalance",
    "pulled_ahead",
    "queue_age_ahead",
    "ofi_mean_12",
    "distance_slope_12",
    "bars_since_trigger",
)


def run_demo(folder: Path) -> None:
    """Simulate, land, compute, show; `folder` is made anew and ends with `summary.json`."""
    _empty(folder)
    settings = Settings.load(root=str(folder / "spymaster-data"))
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    tell(f"1. a simulated market of ES futures: {_SESSIONS} sessions, order by order, in DBN files")
    made = simulate_market(
        folder / "market",
        settings,
        "ES",
        sessions=_SESSIONS,
        events_per_session=_EVENTS,
        seed=_SEED,
    )
    seconds["simulate"] = time.perf_counter() - started
    tell(f"   {made.records:,} records in {len(made.files)} files")
    tell("2. spymaster hist run: landing, bronze, silver, gold")
    with engine(settings) as run:
        report = run.run(made.files)
    summary(report, ("bronze", "silver", "gold"))
    seconds.update(report.seconds)
    lake = Lake(settings.root)
    _layers(lake)
    episodes = lake.scan("silver.level_approach_2m").to_pylist()
    _vectors(lake)
    picture = _picture(lake, episodes, folder)
    counts = {name: lake.open(name).count() for name in lake.existing()}
    facts = {
        "layers": counts,
        "seconds": {k: round(v, 3) for k, v in seconds.items()},
        "events": made.records,
        "episodes": dict(Counter(e["outcome"] or "censored" for e in episodes)),
        "directions": dict(Counter(e["direction"] for e in episodes)),
        "sessions": {o.session_date: o.missing or "complete" for o in report.sessions},
        "picture": str(picture),
        "root": str(settings.root),
    }
    seconds["live"] = time.perf_counter()
    facts["parity"] = live_replay(folder, made.files)
    seconds["live"] = round(time.perf_counter() - seconds["live"], 3)
    facts["model"] = _learnt(folder)
    facts["seconds"] = {k: round(v, 3) for k, v in seconds.items()}
    (folder / _MARK).write_text(json.dumps(facts, indent=1) + "\n")
    tell(f"11. tables: {lake.root}/lake   picture: {picture}   figures: {folder / _MARK}")
    tell(f"   look further: spymaster show silver.bar_5s --root {lake.root}")


def _learnt(folder: Path) -> dict[str, Any]:
    """The part that needs the extra [ml]."""
    try:
        from spymaster.cli.learning_demo import learn
    except ModuleNotFoundError as error:
        raise ModelError(
            f"the demo's second half needs {error.name}: install spymaster with its extra [ml]."
        ) from None
    return learn(folder)


def _empty(folder: Path) -> None:
    """Only a folder that an earlier demo made, or an empty one, is made anew."""
    if folder.exists():
        ours = folder.is_dir() and ((folder / _MARK).exists() or (folder / "market").is_dir())
        if not ours and not (folder.is_dir() and not any(folder.iterdir())):
            raise LakeError(
                f"{folder}: is there and is no earlier demo. Name another folder: "
                "spymaster demo FOLDER"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _layers(lake: Lake) -> None:
    tell("3. rows of each layer")
    for name in lake.existing():
        out.print(f"   {name:<26} {lake.open(name).count():>12,}")


def _vectors(lake: Lake) -> None:
    spec = lake.scan("gold.vector_spec", ["position", "name"]).sort_by("position")
    place = {name: i for i, name in enumerate(spec["name"].to_pylist())}
    rows = lake.scan("gold.setup_vectors", ["feature_vector", "label", "direction"]).to_pylist()
    tell(f"4. a few of {len(rows):,} vectors, {len(place)} numbers each, by name")
    picked = [rows[i * (len(rows) - 1) // 4] for i in range(5)] if rows else []
    for name in _SHOWN:
        values = "".join(f"{_number(r['feature_vector'][place[name]]):>12}" for r in picked)
        out.print(f"   {name:<22}{values}")
    out.print(f"   {'label':<22}" + "".join(f"{r['label'] or '-':>12}" for r in picked))


def _number(value: float) -> str:
    return f"{value:.3f}" if value == value else "missing"


def _picture(lake: Lake, episodes: list[dict[str, Any]], folder: Path) -> Path | None:
    told = [e for e in episodes if e["outcome"] is not None and e["n_vectors"] > 20]
    chosen = (told or episodes)[:1]
    if not chosen:
        return None
    e = chosen[0]
    path = draw_episode(lake, e["episode_id"], folder / "episode.png")
    tell(
        f"5. one episode: {'/'.join(e['level_types'])} {e['level_price'] / 1e9:,.2f} "
        f"{e['direction'].lower()}, {e['outcome']}, {e['n_vectors']} vectors -> {path}"
    )
    return path
