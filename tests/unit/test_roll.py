"""The front month is chosen from what was known before the session."""

import datetime as dt

from spymaster.market.identify import Instrument, from_symbol
from spymaster.market.roll import select_front
from spymaster.market.sessions import session
from spymaster.settings import Settings

UNDERLIERS = Settings().underlier
H4, M4, U4 = "ES.FUT.202403", "ES.FUT.202406", "ES.FUT.202409"


def future(symbol: str) -> Instrument:
    start = dt.date(2024, 1, 2)
    found, _ = from_symbol("GLBX.MDP3", symbol, 1, start, dt.date(2024, 12, 1), UNDERLIERS)
    assert found is not None
    return found


ES = [future("ESU4"), future("ESH4"), future("ESM4")]


def front(
    day: dt.date, volumes: dict[str, int] | None, candidates: list[Instrument] = ES
) -> str | None:
    focus_end = session(UNDERLIERS["ES"], "ES", day).focus.end
    return select_front(candidates, focus_end, day, volumes)


def test_the_most_traded_future_of_the_previous_session_is_the_front() -> None:
    assert front(dt.date(2024, 3, 12), {H4: 900_000, M4: 1_100_000}) == M4
    assert front(dt.date(2024, 3, 8), {H4: 900_000, M4: 100_000}) == H4


def test_equal_volumes_go_to_the_nearest_expiry() -> None:
    assert front(dt.date(2024, 3, 12), {M4: 5, U4: 5}) == M4


def test_a_future_that_expires_before_the_focus_ends_is_out_whatever_it_traded() -> None:
    assert front(dt.date(2024, 3, 15), {H4: 900_000, M4: 10}) == M4


def test_a_future_may_be_the_front_on_the_day_before_its_last() -> None:
    assert front(dt.date(2024, 3, 14), {H4: 900_000, M4: 10}) == H4


def test_without_volumes_the_nearest_expiry_at_least_8_days_away_is_the_front() -> None:
    assert front(dt.date(2024, 3, 7), None) == H4
    assert front(dt.date(2024, 3, 8), None) == M4
    assert front(dt.date(2024, 3, 8), {}) == M4


def test_volumes_of_other_contracts_are_no_volumes() -> None:
    assert front(dt.date(2024, 3, 7), {"ES.FUT.202312": 10, U4: 0}) == H4


def test_options_spreads_and_unknown_expiries_are_no_candidates() -> None:
    spread, _ = from_symbol(
        "GLBX.MDP3", "ESH4-ESM4", 1, dt.date(2024, 1, 2), dt.date(2024, 1, 3), UNDERLIERS
    )
    assert spread is not None
    assert front(dt.date(2024, 3, 7), None, [spread]) is None


def test_no_candidate_far_enough_is_no_front() -> None:
    assert front(dt.date(2024, 3, 13), None, [future("ESH4")]) is None
