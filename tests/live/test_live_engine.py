"""Law 3 on one machine: what a stream makes is what history makes of the same records."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from spymaster.bus import open_bus
from spymaster.contracts.stream import SUFFIX
from spymaster.engines.lease import lease_file
from spymaster.engines.stream.live import LiveEngine
from spymaster.errors import LakeError
from spymaster.feed.topic import Gap, encode
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.e2e.scenes import (
    NS,
    SHORT,
    configured,
    evening,
    market,
    mirrored,
    records,
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


MIDDLE = 1_704_810_900 * 10**9  #: 2024-01-09 14:35 UTC: five minutes into the trigger window


def late(root: Path, files: list[Path], land: bool) -> int:
    """A stream whose topic begins in the middle of the second session; records read."""
    with open_bus(short(root)) as bus:
        post(bus, short(root), files, 300, land=land, since=MIDDLE)
        return LiveEngine(short(root), bus, quiet_s=0.3, intent_records=1_000).run().records


def test_stream_that_begins_late_goes_on_from_landed_files(
    made: Callable[[str], tuple[list[Path], Path]], tmp_path: Path
) -> None:
    files, history = made("three mornings")
    run(short(tmp_path / "root"), files, session_date=date(2024, 1, 8))  # the day before
    read = late(tmp_path / "root", files, land=True)
    assert 3_000 < read < 9_000
    assert len(whole_sessions(tmp_path / "root")) == 2
    for where in whole_sessions(tmp_path / "root"):
        for name in TABLES:
            twin = (name, name + SUFFIX)
            found = diff(Lake(history), Lake(tmp_path / "root"), twin, where=where)
            assert found.equal, f"{where}: {found}"
    first = rows(tmp_path / "root", "silver.bar_5s_stream", "bar_start")
    assert min(r["bar_start"] for r in first) < MIDDLE


def test_stream_that_cannot_know_its_session_is_not_warm_and_makes_no_vectors(
    made: Callable[[str], tuple[list[Path], Path]], tmp_path: Path
) -> None:
    files, history = made("three mornings")
    root = tmp_path / "root"
    late(root, files, land=False)
    assert [s["session_date"] for s in whole_sessions(root)] == ["2024-01-10"]
    bars = rows(root, "silver.bar_5s_stream", "session_date", "warm", "valid")
    by_date = {
        str(d): [b for b in bars if b["session_date"] == d]
        for d in {b["session_date"] for b in bars}
    }
    assert sorted(by_date) == ["2024-01-09", "2024-01-10"]
    assert not any(b["warm"] or b["valid"] for b in by_date["2024-01-09"])
    assert all(b["warm"] for b in by_date["2024-01-10"])
    vectors = rows(root, "gold.setup_vectors_stream", "session_date")
    assert {str(v["session_date"]) for v in vectors} == {"2024-01-10"}
    told = {str(r["session_date"]): r for r in rows(root, "silver.session_summary_stream")}
    assert not told["2024-01-09"]["complete"]
    assert "the stream began at 2024-01-09 14:35" in told["2024-01-09"]["missing"]
    # Its levels are not those of the day before: that day is not known.
    assert rows(history, "gold.setup_vectors", "session_date", session_date=date(2024, 1, 10))
    levels = rows(root, "silver.session_levels_stream", session_date=date(2024, 1, 10))
    assert not {r["level_type"] for r in levels} & {"PD_HIGH", "PD_LOW", "PD_CLOSE"}


def test_second_stream_on_a_root_is_refused_and_one_that_was_replaced_writes_no_more(
    made: Callable[[str], tuple[list[Path], Path]], tmp_path: Path
) -> None:
    files, _ = made("three mornings")
    settings = short(tmp_path / "root")
    with open_bus(settings) as bus:
        post(bus, settings, files, 200)
        engine = LiveEngine(settings, bus, quiet_s=0.3, intent_records=500, commit_s=0.2)
        work, seen = engine._work.work, []

        def interrupted(*given: object) -> None:
            work(*given)  # type: ignore[arg-type]
            seen.append(1)
            if len(seen) != 4:
                return
            with open_bus(settings) as other_bus:
                second = LiveEngine(settings, other_bus, quiet_s=0.3)
                with pytest.raises(
                    LakeError, match="another stream engine is at work on this root"
                ):
                    second.run()
                # A paused machine comes back: its lock is gone, and another has taken the lease.
                (tmp_path / "root" / lease_file("live")).unlink()
                second.run()

        engine._work.work = interrupted  # type: ignore[method-assign]
        with pytest.raises(LakeError, match="this process held fence 1, and process"):
            engine.run()
    calm = tmp_path / "calm"
    with open_bus(short(calm)) as bus:
        post(bus, short(calm), files, 200)
        LiveEngine(short(calm), bus, quiet_s=0.3).run()
    for name in TABLES:
        found = diff(Lake(calm), Lake(tmp_path / "root"), name + SUFFIX)
        assert found.equal, str(found)


def test_a_gap_before_a_sessions_first_record_counts_however_the_intents_are_cut(
    made: Callable[[str], tuple[list[Path], Path]], tmp_path: Path
) -> None:
    """Its message may be read alone, and before anything that opens the session."""
    files, _ = made("three mornings")
    days = [p for p in files if "definition" not in p.name]
    first = int(records(days[-1])["ts_recv"][0])
    last = dt.datetime.fromtimestamp(first / NS, dt.UTC).date()
    gap = Gap("GLBX.MDP3", first - NS, first, "the line was down")
    roots = []
    for name, at_once in (("whole", 100_000), ("single", 1)):
        roots.append(tmp_path / name)
        settings = partitioned(short(roots[-1]), 2)
        with open_bus(settings) as bus:
            post(bus, settings, [p for p in files if p not in days[-1:]], 500, land=False)
            with bus.producer("test") as producer:
                value, headers = encode(gap)
                for partition in range(2):
                    producer.publish("mbo_raw", value, partition=partition, headers=headers)
            post(bus, settings, days[-1:], 500, land=False)
            LiveEngine(settings, bus, quiet_s=0.3, intent_records=at_once).run()
    for name in TABLES:
        found = diff(Lake(roots[0]), Lake(roots[1]), name + SUFFIX)
        assert found.equal, str(found)
    told = rows(roots[0], "silver.session_summary_stream", session_date=last)
    assert told
    assert all("the line was down" in r["missing"] and not r["complete"] for r in told)
    bars = rows(roots[1], "silver.bar_5s_stream", "warm", session_date=last)
    assert bars
    assert not any(b["warm"] for b in bars)
