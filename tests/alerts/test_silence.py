"""When a feed is silent, and when there is nothing to be heard."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from spymaster.alerts.reading import Reading
from spymaster.alerts.rule import Rule
from spymaster.alerts.silence import Silence
from spymaster.settings import RuleSettings, Settings

SECOND = 1_000_000_000
RULE = Rule("stale", RuleSettings(what="stale_s", value=30, cool_down_s=60, severity="critical"))


def new_york(text: str) -> int:
    """A winter's clock time in New York, ns UTC."""
    moment = dt.datetime.fromisoformat(f"{text}-05:00")
    return int(moment.timestamp()) * SECOND


def bar(end: int, date: str, told_at: int = 0) -> Reading:
    """A bar that was published a second after its close, or at another time."""
    return Reading(
        "ES.FUT.202403", "ES.FUT.202403", "ES", "FUT", date, end - 5 * SECOND, end, str(end), True,
        {"ofi": 1.0}, told_at or end + SECOND,
    )  # fmt: skip


def silence(began: int) -> Silence:
    return Silence([RULE], Settings(), began)


def told(s: Silence, now: int) -> list[tuple[str, str, int]]:
    found = s.alerts(now)
    for row in found:
        s.given(row)
    return [(r["subject"], r["session_date"], round(r["value"])) for r in found]


def test_a_live_feed_that_stops_in_the_session_is_told_again_and_again() -> None:
    now = new_york("2024-01-09T10:00:00")
    s = silence(now)
    s.hear(bar(now, "2024-01-09"), now + SECOND)
    assert told(s, now + 31 * SECOND) == []
    assert told(s, now + 32 * SECOND) == [("ES", "2024-01-09", 31)]
    assert told(s, now + 33 * SECOND) == []
    assert told(s, now + 92 * SECOND) == [("ES", "2024-01-09", 91)]
    s.hear(bar(now + 95 * SECOND, "2024-01-09"), now + 96 * SECOND)
    assert told(s, now + 200 * SECOND) == [("ES", "2024-01-09", 104)]


def test_a_live_feed_is_not_due_at_night_and_due_again_in_the_morning() -> None:
    last = new_york("2024-01-09T16:00:00")
    s = silence(last)
    s.hear(bar(last, "2024-01-09"), last + SECOND)
    for hour in range(1, 16):
        assert told(s, last + hour * 3600 * SECOND) == []
    opens = new_york("2024-01-10T08:30:00")
    assert told(s, opens + 30 * SECOND) == []
    assert told(s, opens + 31 * SECOND) == [("ES", "2024-01-10", 31)]


def test_a_weekend_is_no_silence() -> None:
    last = new_york("2024-01-12T16:00:00")
    s = silence(last)
    s.hear(bar(last, "2024-01-12"), last + SECOND)
    assert told(s, new_york("2024-01-13T11:00:00")) == []
    assert told(s, new_york("2024-01-14T11:00:00")) == []


@pytest.mark.parametrize(("clock", "is_due"), [("11:00:00", True), ("16:00:00", False)])
def test_a_replay_is_silent_only_in_the_middle_of_its_session(clock: str, is_due: bool) -> None:
    now = new_york("2026-03-03T21:00:00")
    s = silence(now)
    s.hear(bar(new_york(f"2024-01-09T{clock}"), "2024-01-09", now), now)
    assert told(s, now + 40 * SECOND) == ([("ES", "2024-01-09", 40)] if is_due else [])


def test_a_replay_that_ends_is_told_once_also_after_a_restart() -> None:
    now, end = new_york("2026-03-03T21:00:00"), new_york("2024-01-09T11:00:00")
    s = silence(now)
    s.hear(bar(end, "2024-01-09", now), now)
    assert told(s, now + 40 * SECOND) == [("ES", "2024-01-09", 40)]
    for minutes in range(2, 60):
        assert told(s, now + minutes * 60 * SECOND) == []
    later = now + 7200 * SECOND
    second = silence(later)
    second.restore(json.loads(json.dumps(s.to_json())))
    assert told(second, later + 400 * SECOND) == []
    later += 500 * SECOND
    second.hear(bar(end + 5 * SECOND, "2024-01-09", later), later)
    assert told(second, later + 31 * SECOND) == [("ES", "2024-01-09", 31)]


def test_whether_a_feed_is_live_does_not_depend_on_when_it_is_heard() -> None:
    """A day later the log is repeated: the feed is as live as it was, and a bar is due."""
    came = new_york("2024-01-09T10:00:00")
    now = came + 86_400 * SECOND
    s = silence(now)
    s.hear(bar(came, "2024-01-09"), now)
    assert told(s, now + 31 * SECOND) == [("ES", "2024-01-10", 31)]
    assert told(s, now + 92 * SECOND) == [("ES", "2024-01-10", 92)]


def test_time_in_which_nobody_listened_is_no_silence() -> None:
    now = new_york("2024-01-09T10:00:00")
    first = silence(now)
    first.hear(bar(now, "2024-01-09"), now)
    assert told(first, now + 31 * SECOND) == [("ES", "2024-01-09", 31)]
    later = now + 100 * SECOND
    second = silence(later)
    second.restore(json.loads(json.dumps(first.to_json())))
    assert told(second, later + 30 * SECOND) == []
    assert told(second, later + 31 * SECOND) == [("ES", "2024-01-09", 31)]


def test_nothing_is_due_of_a_feed_that_was_never_heard_or_is_not_ours() -> None:
    now = new_york("2024-01-09T10:00:00")
    s = silence(now)
    assert told(s, now + 3600 * SECOND) == []
    other = Silence([Rule("s", RuleSettings(what="stale_s", underlier="TSLA"))], Settings(), now)
    other.hear(bar(now, "2024-01-09"), now)
    assert told(other, now + 3600 * SECOND) == []
