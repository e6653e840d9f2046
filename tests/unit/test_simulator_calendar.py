"""Sessions keep New York's clock through summer time, half days and holidays; many are quick."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from spymaster.feed.simulator import SimulationConfig, simulate
from spymaster.feed.simulator.sessions import OPENING_RANGE, REGULAR, TRIGGER, Session, sessions
from spymaster.market.sessions import session as market_session
from spymaster.settings import Settings
from tests.e2e.scenes import configured, run
from tests.e2e.scenes import rows as lake_rows
from tests.markets import HOUR, NS, days, live

NEW_YORK = ZoneInfo("America/New_York")


def clock(session: Session, second: int) -> str:
    at = dt.datetime.fromtimestamp(session.start_ns // NS + second, NEW_YORK)
    return f"{at:%m-%d %H:%M:%S}"


def window(session: Session, bit: int) -> tuple[str, str]:
    inside = np.flatnonzero(session.seconds["phase"] & bit)
    return clock(session, int(inside[0])), clock(session, int(inside[-1]) + 1)


@pytest.mark.parametrize("underlier", ["ES", "TSLA"])
@pytest.mark.parametrize("change", [dt.date(2024, 3, 8), dt.date(2024, 11, 1)])
def test_windows_keep_new_york_time_across_a_change_of_clocks(
    underlier: str, change: dt.date
) -> None:
    config = SimulationConfig(underlier=underlier, first_session=change, sessions=3)
    made = sessions(config)
    offsets = set()
    for s in made:
        day = f"{s.day:%m-%d}"
        assert window(s, TRIGGER) == (f"{day} 09:30:00", f"{day} 12:30:00")
        assert window(s, OPENING_RANGE) == (f"{day} 09:30:00", f"{day} 09:45:00")
        theirs = market_session(Settings().of(underlier), underlier, s.day)
        first = int(np.flatnonzero(s.seconds["phase"] & TRIGGER)[0])
        assert s.start_ns + first * NS == theirs.trigger.start
        assert s.short == theirs.short is False
        offsets.add(theirs.trigger.start // NS % 86_400)
    assert len(offsets) == 2, "in UTC the windows moved by an hour"
    assert [s.day.weekday() for s in made] == [4, 0, 1], "no session on the weekend"
    if underlier == "TSLA":
        assert {clock(s, 0)[6:] for s in made} == {"04:00:00"}
        assert {clock(s, len(s.seconds))[6:] for s in made} == {"20:00:00"}
    else:
        assert {clock(s, 0)[6:] for s in made} == {"17:45:00"}
        assert {clock(s, len(s.seconds))[6:] for s in made} == {"17:00:00"}


@pytest.mark.parametrize(
    ("underlier", "end"), [("ES", "11-29 13:00:00"), ("TSLA", "11-29 17:00:00")]
)
def test_the_day_after_thanksgiving_is_short(underlier: str, end: str) -> None:
    made = sessions(
        SimulationConfig(underlier=underlier, first_session=dt.date(2024, 11, 27), sessions=3)
    )
    short = next(s for s in made if s.day == dt.date(2024, 11, 29))
    assert short.short
    assert clock(short, len(short.seconds)) == end
    theirs = market_session(Settings().of(underlier), underlier, short.day)
    assert theirs.short
    assert [s.short for s in made if s.day == dt.date(2024, 11, 27)] == [False]
    listed = [s.day for s in made]
    assert (dt.date(2024, 11, 28) in listed) == (underlier == "ES"), "futures trade half a day"
    if underlier == "ES":
        assert window(short, REGULAR)[1] == "11-29 13:00:00"


def test_a_half_session_gives_no_levels_to_the_next(tmp_path: Path) -> None:
    config = SimulationConfig(
        first_session=dt.date(2024, 11, 29),
        sessions=2,
        events_per_session=20_000,
        contracts=1,
        windows=HOUR,
    )
    made = simulate(config, tmp_path / "market")
    last = live(days(made)[1])
    half = last[last["ts_event"] // NS < dt.datetime(2024, 11, 29, 22, tzinfo=dt.UTC).timestamp()]
    at = dt.datetime.fromtimestamp(int(half["ts_event"][-1]) / NS, NEW_YORK)
    assert at.strftime("%m-%d %H") in ("11-29 12", "11-29 13")
    root = tmp_path / "root"
    run(configured(root, HOUR), made.files)
    summaries = {
        str(r["session_date"]): r["short_session"]
        for r in lake_rows(root, "silver.session_summary")
    }
    assert summaries.items() >= {"2024-11-29": True, "2024-12-02": False}.items()
    levels = {
        (str(r["session_date"]), r["level_type"]) for r in lake_rows(root, "silver.session_levels")
    }
    assert ("2024-12-02", "PM_HIGH") in levels
    assert ("2024-12-02", "PD_HIGH") not in levels


def test_thirty_short_sessions_are_quick_and_each_has_touches(tmp_path: Path) -> None:
    config = SimulationConfig(
        sessions=30, events_per_session=12_000, contracts=1, windows=HOUR, barrier_ticks=12
    )
    made = simulate(config, tmp_path)
    with made.truth.open() as file:
        dates = {line.split(",")[0] for line in file} - {"session_date"}
    print(made.records, "records,", len(dates), "sessions with touches")
    assert len(dates) >= 27
    assert 30 * 10_000 < made.records < 30 * 30_000
