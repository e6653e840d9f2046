"""Law 3 on one machine: what a stream makes is what history makes of the same records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from spymaster.bus import open_bus
from spymaster.engines.stream.live import LiveEngine
from spymaster.settings import Settings
from tests.e2e.scenes import (
    SHORT,
    configured,
    evening,
    market,
    mirrored,
    rows,
    run,
    short,
    two,
    two_venues,
)
from tests.live.posting import post
from tests.live.streamed import AT_THE_END, TABLES, compare, partitioned, whole_sessions
from tests.real_data import es_mbo


@dataclass(frozen=True)
class Scene:
    """A market, and the settings that it is looked at with."""

    files: Callable[[Path], Iterable[Path]]
    settings: Callable[[Path], Settings]
    sessions: int  #: that are whole
    unended: str = ""  #: a session that the feed does not reach the end of


def by_range(root: Path) -> Settings:
    knobs = {"scale": "range", "approach_bars": 8, "timeout_bars": 60}
    return configured(root, SHORT, {**knobs, "touch_ticks": 3, "barrier_ticks": 14})


def stock(root: Path) -> Settings:
    knobs = {"scale": "fixed", "approach_bars": 8, "timeout_bars": 60}
    tsla = Settings().underlier["TSLA"].model_dump()
    tsla |= {"windows": SHORT, "approach": {**knobs, "touch_ticks": 6, "barrier_ticks": 30}}
    return Settings.model_validate({"root": str(root), "underlier": {"TSLA": tsla}})


SCENES = {
    "three mornings": Scene(lambda out: market(out, 3, 3_000, SHORT), short, 3),
    "scale of the days before": Scene(lambda out: market(out, 5, 4_000, SHORT), by_range, 5),
    "nights that overlap, two venues": Scene(two_venues, two, 2),
    "a stock of NASDAQ": Scene(
        lambda out: market(out, 2, 4_000, SHORT, underlier="TSLA"), stock, 2
    ),
    "futures and options": Scene(
        lambda out: market(out, 2, 2_000, SHORT, options=40, option_events_per_session=3_000),
        short,
        2,
    ),
    "real evening": Scene(lambda out: [es_mbo()], evening, 0, "2023-12-26"),
    "real evening in the mirror": Scene(
        lambda out: [mirrored(es_mbo(), out / es_mbo().name)], evening, 0, "2023-12-26"
    ),
}
#: partitions of the topic, records a message, records an intent, seconds between commits
HOW = {
    "three mornings": [(1, 500, 100_000, 10.0), (3, 7, 1, 0.05)],
    "scale of the days before": [(1, 100_000, 100_000, 0.2)],
    "a stock of NASDAQ": [(2, 500, 2_000, 0.5)],
    "nights that overlap, two venues": [(1, 100_000, 100_000, 10.0), (4, 50, 200, 0.1)],
    "futures and options": [(3, 1_000, 5_000, 0.5)],
    "real evening": [(2, 1_000, 100_000, 1.0)],
    "real evening in the mirror": [(1, 333, 1, 1.0)],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[list[Path], Path]]:
    """A scene's files, and the root of its history."""
    known: dict[str, tuple[list[Path], Path]] = {}

    def make(name: str) -> tuple[list[Path], Path]:
        if name not in known:
            scene, folder = SCENES[name], tmp_path_factory.mktemp("scene")
            files = sorted(scene.files(folder))
            run(scene.settings(folder / "history"), files)
            known[name] = files, folder / "history"
        return known[name]

    return make


@pytest.mark.parametrize(("name", "how"), [(name, how) for name in SCENES for how in HOW[name]])
def test_streamed_sessions_are_those_of_history(
    name: str,
    how: tuple[int, int, int, float],
    made: Callable[[str], tuple[list[Path], Path]],
    tmp_path: Path,
) -> None:
    partitions, batch, intent, commit_s = how
    files, history = made(name)
    root = tmp_path / "root"
    settings = partitioned(SCENES[name].settings(root), partitions)
    with open_bus(settings) as bus:
        sent = post(bus, settings, files, batch)
        engine = LiveEngine(settings, bus, quiet_s=0.3, commit_s=commit_s, intent_records=intent)
        counters = engine.run()
    assert counters.records == sent > 4_000
    assert len(whole_sessions(root)) == SCENES[name].sessions
    compared = compare(root, history, SCENES[name].unended)
    print(dict(compared))
    left_out = AT_THE_END if SCENES[name].unended else ()
    assert all(compared.get(t) for t in TABLES if t not in left_out), compared
    outcomes = Counter(r["outcome"] for r in rows(root, "silver.level_approach_2m_stream"))
    directions = Counter(r["direction"] for r in rows(root, "silver.level_approach_2m_stream"))
    print(f"{name}: {dict(outcomes)} {dict(directions)}")
    assert outcomes
