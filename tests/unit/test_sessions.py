"""Sessions: named by the day they end on, in New York's time whatever UTC does."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from spymaster.errors import SessionError
from spymaster.market import calendars
from spymaster.market.clock import NS, instant
from spymaster.market.sessions import (
    Session,
    Window,
    previous_session,
    session,
    session_date_of,
    session_dates,
    sessions_touched,
)
from spymaster.settings import Settings

ES, TSLA = Settings().of("ES"), Settings().of("TSLA")
EVENING = Settings.load(
    underlier={
        "ES": {
            "windows": {
                "bars": "17:00-19:00",
                "premarket": "17:00-18:10",
                "opening_range": "18:10-18:20",
                "focus": "17:00-19:00",
                "trigger": "18:20-19:00",
                "regular": "17:00-19:00",
            }
        }
    }
).of("ES")
UTC, NEW_YORK = dt.UTC, ZoneInfo("America/New_York")


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def ny(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * NS


def es(text: str) -> Session:
    return session(ES, "ES", day(text))


def tsla(text: str) -> Session:
    return session(TSLA, "TSLA", day(text))


def in_new_york(first: str, last: str) -> Window:
    return Window(ny(first), ny(last))


def test_an_ordinary_session_of_es_runs_from_five_to_five() -> None:
    s = es("2024-01-10")
    assert (s.start, s.end) == (ny("2024-01-09 17:00"), ny("2024-01-10 17:00"))
    assert s.bars == in_new_york("2024-01-10 08:30", "2024-01-10 16:00")
    assert s.premarket == in_new_york("2024-01-10 05:00", "2024-01-10 09:30")
    assert s.opening_range == in_new_york("2024-01-10 09:30", "2024-01-10 09:45")
    assert s.focus == in_new_york("2024-01-10 08:30", "2024-01-10 12:30")
    assert s.trigger == in_new_york("2024-01-10 09:30", "2024-01-10 12:30")
    assert s.regular == in_new_york("2024-01-10 09:30", "2024-01-10 16:00")
    assert s.trading == (in_new_york("2024-01-09 18:00", "2024-01-10 17:00"),)
    assert not s.short


def test_an_ordinary_session_of_tsla_runs_from_eight_to_eight() -> None:
    s = tsla("2024-01-10")
    assert (s.start, s.end) == (ny("2024-01-09 20:00"), ny("2024-01-10 20:00"))
    assert s.trading == (in_new_york("2024-01-10 09:30", "2024-01-10 16:00"),)
    assert s.premarket == in_new_york("2024-01-10 05:00", "2024-01-10 09:30")
    assert not s.short


def test_the_boundary_belongs_to_the_next_session() -> None:
    end = ny("2024-01-10 17:00")
    assert session_date_of(ES, end - 1) == day("2024-01-10")
    assert session_date_of(ES, end) == day("2024-01-11")
    assert session_date_of(TSLA, ny("2024-01-10 20:00") - 1) == day("2024-01-10")
    assert session_date_of(TSLA, ny("2024-01-10 20:00")) == day("2024-01-11")


def test_friday_evening_belongs_to_monday() -> None:
    assert session_date_of(ES, ny("2024-01-05 17:00")) == day("2024-01-08")
    assert session_date_of(ES, ny("2024-01-06 12:00")) == day("2024-01-08")
    assert session_date_of(ES, ny("2024-01-07 18:00")) == day("2024-01-08")


def test_the_christmas_weekend_is_part_of_the_session_after_it() -> None:
    s = session(EVENING, "ES", day("2023-12-26"))
    assert (s.start, s.end) == (ny("2023-12-22 17:00"), ny("2023-12-26 17:00"))
    assert session_date_of(ES, ny("2023-12-22 17:00")) == day("2023-12-26")
    assert session_date_of(ES, ny("2023-12-25 12:00")) == day("2023-12-26")


def test_the_evening_of_the_sample_resolves_to_the_last_two_hours_of_christmas() -> None:
    s = session(EVENING, "ES", day("2023-12-26"))
    evening = Window(utc("2023-12-25 22:00"), utc("2023-12-26 00:00"))
    assert s.bars == s.focus == s.regular == s.hull == evening
    assert s.premarket == Window(evening.start, utc("2023-12-25 23:10"))
    assert s.opening_range == Window(utc("2023-12-25 23:10"), utc("2023-12-25 23:20"))
    assert s.trigger == Window(utc("2023-12-25 23:20"), evening.end)
    assert s.trading[0].start == utc("2023-12-25 23:00")
    assert s.input_start == utc("2023-12-25 00:00")


def test_a_window_that_ends_at_utc_midnight_needs_the_next_days_file() -> None:
    s = session(EVENING, "ES", day("2023-12-26"))
    assert s.utc_days(250_000_000) == [day("2023-12-25"), day("2023-12-26")]
    assert es("2024-01-10").utc_days() == [day("2024-01-10")]


def test_the_cash_open_moves_by_an_hour_of_utc_with_the_clocks() -> None:
    assert es("2024-03-08").regular.start == utc("2024-03-08 14:30")
    assert es("2024-03-11").regular.start == utc("2024-03-11 13:30")
    assert es("2024-11-01").regular.start == utc("2024-11-01 13:30")
    assert es("2024-11-04").regular.start == utc("2024-11-04 14:30")


def test_a_session_over_a_clock_change_is_an_hour_shorter_or_longer() -> None:
    hours = 3600 * NS
    spring, autumn = es("2024-03-11"), es("2024-11-04")
    assert spring.end - spring.start == 71 * hours
    assert autumn.end - autumn.start == 73 * hours
    assert session(EVENING, "ES", day("2024-03-11")).bars.start == utc("2024-03-10 21:00")
    assert session(EVENING, "ES", day("2024-11-04")).bars.start == utc("2024-11-03 22:00")


@pytest.mark.parametrize("date", ["2024-11-29", "2024-07-03"])
def test_an_early_close_shortens_windows_and_moves_no_boundary(date: str) -> None:
    for s, boundary in ((es(date), "17:00"), (tsla(date), "20:00")):
        assert s.short
        assert s.end == ny(f"{date} {boundary}")
        assert s.bars == Window(ny(f"{date} 08:30"), ny(f"{date} 13:00"))
        assert s.regular.end == ny(f"{date} 13:00")
        assert s.focus.end == ny(f"{date} 12:30")
        assert s.trading[-1].end == ny(f"{date} 13:00")


def test_thanksgiving_is_a_short_session_of_es_and_none_of_tsla() -> None:
    thursday, friday = es("2024-11-28"), es("2024-11-29")
    assert thursday.short
    assert thursday.regular.end == ny("2024-11-28 13:00")
    assert friday.start == thursday.end == ny("2024-11-28 17:00")
    assert session_date_of(ES, ny("2024-11-28 12:00")) == day("2024-11-28")
    assert session_date_of(TSLA, ny("2024-11-28 12:00")) == day("2024-11-29")


def test_windows_after_an_early_close_are_empty_at_the_close() -> None:
    good_friday = es("2024-03-29")  # closed at 9:15 New York
    close = ny("2024-03-29 09:15")
    assert good_friday.premarket == Window(ny("2024-03-29 05:00"), close)
    for window in (good_friday.opening_range, good_friday.trigger, good_friday.regular):
        assert window == Window(close, close)
        assert window.empty
    assert good_friday.hull == Window(ny("2024-03-29 05:00"), close)


def test_an_evening_before_a_short_session_keeps_its_windows() -> None:
    s = session(EVENING, "ES", day("2024-11-29"))
    assert s.short
    assert s.bars == in_new_york("2024-11-28 17:00", "2024-11-28 19:00")


def test_a_late_open_shortens_what_begins_after_the_regular_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = calendars.trading_day("NASDAQ", day("2024-01-10"))
    assert plain is not None
    late = calendars.TradingDay(
        plain.date, ny("2024-01-10 10:30"), plain.close, plain.regular_open, plain.close, ()
    )
    monkeypatch.setattr(calendars, "trading_day", lambda *_: late)
    s = tsla("2024-01-10")
    assert s.short
    assert s.premarket == in_new_york("2024-01-10 05:00", "2024-01-10 09:30")
    assert s.bars.start == ny("2024-01-10 08:30")
    assert s.trigger == in_new_york("2024-01-10 10:30", "2024-01-10 12:30")
    assert s.opening_range.empty


def test_cme_had_a_break_at_a_quarter_past_four_until_june_2021() -> None:
    assert es("2021-06-25").trading == (
        in_new_york("2021-06-24 18:00", "2021-06-25 16:15"),
        in_new_york("2021-06-25 16:30", "2021-06-25 17:00"),
    )
    assert es("2021-06-28").trading == (in_new_york("2021-06-27 18:00", "2021-06-28 17:00"),)
    assert not es("2021-06-25").short


def test_the_years_end_joins_two_years_of_the_calendar() -> None:
    s = es("2024-01-02")
    assert (s.start, s.end) == (ny("2023-12-29 17:00"), ny("2024-01-02 17:00"))
    assert previous_session(ES, day("2024-01-02")) == day("2023-12-29")
    assert session_date_of(ES, utc("2023-12-31 23:59:59")) == day("2024-01-02")
    assert session_date_of(TSLA, ny("2024-12-31 20:00")) == day("2025-01-02")


@pytest.mark.parametrize("u", [ES, TSLA])
def test_the_vectorised_rule_is_the_rule(u: object) -> None:
    settings = ES if u is ES else TSLA
    around = [
        instant(day("2023-12-20") + dt.timedelta(days=n), clock) + step
        for n in range(400)
        for clock, step in ((61_200, -1), (61_200, 0), (72_000, -1), (72_000, 0), (34_200, 7))
    ]
    ts = np.array(around, np.int64)
    dates = session_dates(settings, ts)
    assert dates.dtype == np.dtype("datetime64[D]")
    assert dates.tolist() == [session_date_of(settings, t) for t in around]
    assert session_dates(settings, ts[:0]).shape == (0,)


@pytest.mark.parametrize(("u", "name"), [(ES, "ES"), (TSLA, "TSLA")])
def test_sessions_tile_time_without_gap_or_overlap(u: object, name: str) -> None:
    settings = ES if u is ES else TSLA
    date, last = day("2024-12-31"), None
    for _ in range(270):
        s = session(settings, name, date)
        assert last is None or s.end == last
        assert session_date_of(settings, s.start) == s.session_date == date
        assert session_date_of(settings, s.end - 1) == date
        assert s.start < s.hull.start <= s.hull.end <= s.end
        assert all(s.start <= w.start < w.end <= s.end for w in s.trading)
        last, date = s.start, previous_session(settings, date)
    assert date < day("2024-01-01")


def test_short_sessions_of_a_year_are_the_exchanges_half_days() -> None:
    short = {d.date.isoformat() for d in calendars.trading_days("NASDAQ", 2024) if d.early_close}
    assert short == {"2024-07-03", "2024-11-29", "2024-12-24"}


def test_a_date_without_trading_names_the_sessions_beside_it() -> None:
    with pytest.raises(SessionError, match=r"ES 2023-12-25: .* 2023-12-22 and 2023-12-26"):
        es("2023-12-25")


def test_a_calendar_that_does_not_exist_is_refused_with_a_near_name() -> None:
    with pytest.raises(SessionError, match=r"NASDAK.*NASDAQ"):
        session(TSLA.model_copy(update={"calendar": "NASDAK"}), "TSLA", day("2024-01-10"))


def test_a_broken_timestamp_is_refused() -> None:
    for ts in (-1, 0, 2**63 - 1):
        with pytest.raises(SessionError, match="broken timestamp"):
            session_date_of(ES, ts)
        with pytest.raises(SessionError, match="broken timestamp"):
            session_dates(ES, np.array([utc("2024-01-02"), ts], np.int64))


def test_a_days_file_touches_the_session_whose_windows_lie_in_it() -> None:
    touched = sessions_touched(ES, "ES", utc("2024-01-10"), utc("2024-01-11"))
    assert [s.session_date for s in touched] == [day("2024-01-10")]
    saturday = sessions_touched(ES, "ES", utc("2024-01-13"), utc("2024-01-14"))
    assert saturday == []
    week = sessions_touched(TSLA, "TSLA", utc("2024-01-08"), utc("2024-01-15"))
    assert [s.session_date.day for s in week] == [8, 9, 10, 11, 12]


def test_the_file_after_an_evening_touches_it_too() -> None:
    christmas = sessions_touched(EVENING, "ES", utc("2023-12-25"), utc("2023-12-26"))
    assert [s.session_date for s in christmas] == [day("2023-12-26")]
    after = sessions_touched(EVENING, "ES", utc("2023-12-26"), utc("2023-12-27"))
    assert [s.session_date for s in after] == [day("2023-12-26"), day("2023-12-27")]
    assert sessions_touched(EVENING, "ES", utc("2023-12-24"), utc("2023-12-25")) == []
    assert sessions_touched(EVENING, "ES", utc("2023-12-26"), utc("2023-12-26")) == []
