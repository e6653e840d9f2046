"""The demo's second half: a market to learn from, a model that passed the gate, a day scored."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spymaster.bus import open_bus
from spymaster.cli.console import engine, summary, tell
from spymaster.cli.datasets import make_split, take_snapshot
from spymaster.cli.live_demo import certificates
from spymaster.cli.market import simulate_shown
from spymaster.cli.processes import Children, feed
from spymaster.cli.promoting import run_promote
from spymaster.cli.scoring import tell_scores
from spymaster.cli.sweeping import run_sweep
from spymaster.contracts.event import NS
from spymaster.contracts.scores import SCORE, SCORE_OUTCOME
from spymaster.engines.stream.live import LiveEngine
from spymaster.lake import Lake
from spymaster.market.sessions import session
from spymaster.ml.baseline import Prior
from spymaster.ml.dataset import load
from spymaster.ml.learning_market import MIDDLE, SETTINGS, learning_market, learning_settings
from spymaster.ml.metrics import judge
from spymaster.ml.outcomes import OUTCOMES, PROBABILITIES
from spymaster.ml.registry import CHAMPION, Registry
from spymaster.ml.split_file import load_split
from spymaster.scoring.lines import Running, lines_of
from spymaster.settings import Settings

MODEL = "ES_MODEL"
_TRIALS, _SEED = 12, 7


def learn(folder: Path) -> dict[str, Any]:
    """Simulate, compute, stream a day, learn, promote, stream the next day with its scores.

    What `demo/summary.json` says of the model.
    """
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def took(name: str) -> None:
        nonlocal started
        seconds[name] = round(time.perf_counter() - started, 3)
        started = time.perf_counter()

    settings = learning_settings(folder / "learning-data")
    tell("7. a market to learn from: short sessions with many episodes")
    made = simulate_shown(folder / "learning-market", learning_market(MIDDLE))
    days = by_day(made.files)
    known, certified, last = days[:-2], days[-2], days[-1]
    tell(f"   {made.records:,} records in {len(days)} sessions; the last two will come live")
    took("simulate")
    with engine(settings) as run:
        report = run.run([path for _, files in known for path in files], jobs=2)
    summary(report, ("bronze", "silver", "gold"))
    took("history")
    tell(f"8. {certified[0]} live, with its certificate")
    _stream(certified, settings)
    parity = certificates(settings)
    took("live")
    tell(f"9. spymaster ml snapshot, split, sweep, promote: {MODEL}")
    run_date = certified[0]
    take_snapshot(settings, MODEL, run_date, time.time_ns())
    make_split(settings, MODEL, run_date)
    took("snapshot")
    run_sweep(settings, MODEL, run_date, _TRIALS, _SEED, 2)
    took("sweep")
    run_promote(settings, MODEL, None, None)
    took("promote")
    tell(f"10. {last[0]} live, scored by the champion: spymaster serve, spymaster score")
    with Children(SETTINGS) as children:
        url = children.service(MODEL, Path(settings.root))
        started_at = time.perf_counter()
        with Running(settings, lines_of(settings, MODEL, None, url), commit_s=1.0) as scoring:
            scoring.start()
            _stream(last, settings)
            scoring.drain()
        tell_scores(scoring, time.perf_counter() - started_at)
    parity |= certificates(settings)
    took("scored")
    return {**_live_record(settings, run_date, last[0]), "parity": parity, "seconds": seconds}


def by_day(files: Sequence[Path]) -> list[tuple[dt.date, list[Path]]]:
    """The files of each UTC day, in order; their names hold the day."""
    days: dict[dt.date, list[Path]] = {}
    for path in files:
        found = re.search(r"-(\d{8})\.", path.name)
        assert found is not None
        days.setdefault(dt.date.fromisoformat(found[1]), []).append(path)
    return sorted(days.items())


def _stream(day: tuple[dt.date, list[Path]], settings: Settings) -> None:
    """A day's files through gateway, client, ingestor, bus and engine."""
    date, files = day
    begin = session(settings.of("ES"), "ES", date).hull.start - 60 * NS
    feed(files, Path(settings.root), SETTINGS, begin)
    with open_bus(settings) as bus:
        counters = LiveEngine(settings, bus, quiet_s=1.0).run()
    tell(f"   {counters.records:,} records streamed, sessions: {counters.sessions_ended}")


def _live_record(settings: Settings, run_date: dt.date, date: dt.date) -> dict[str, Any]:
    """What the champion said on its first day, beside what came, and beside the prior."""
    lake = Lake(settings.root)
    rows = lake.scan(SCORE_OUTCOME.name, filters={"session_date": date}).to_pylist()
    told = [r for r in rows if r["label"] is not None]
    data = load(settings.root, MODEL, run_date)
    cut = load_split(settings.root, MODEL, run_date)
    prior = Prior.fit(data.of(cut.train + cut.validation)).probabilities(data.rows(np.arange(1)))
    facts: dict[str, Any] = {
        "model_id": MODEL,
        "version": Registry(settings, MODEL).alias(CHAMPION),
        "scores": lake.count(SCORE.name, {"session_date": date}),
        "outcomes": len(told),
    }
    if told:
        label = np.array([OUTCOMES.index(r["label"]) for r in told], np.int8)
        names = sorted({r["episode_id"] for r in told})
        episode = np.array([names.index(r["episode_id"]) for r in told])
        said = np.array([[r[name] for name in PROBABILITIES] for r in told])
        one = np.ones(len(told))
        model = judge(said, label, one, episode).per_episode.log_loss
        chance = judge(np.repeat(prior, len(told), 0), label, one, episode).per_episode.log_loss
        facts |= {"episodes": len(names), "log_loss": model, "prior_log_loss": chance}
        tell(
            f"   {len(told):,} scores of {len(names)} episodes met their outcome: "
            f"{model:.3f} nats per episode, the prior {chance:.3f}"
        )
    return facts
