"""The day's touch and barrier: from the ranges of the sessions before, in whole ticks."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster.market.scale import Scale, range_scale


@pytest.mark.parametrize(
    ("median", "barrier", "touch"),
    [
        (47.0, 24, 4),  # 23.5 rounds up, a sixth is 4
        (46.99, 23, 4),  # 23.495 rounds down, 3.83 up
        (49.0, 25, 4),  # 24.5 rounds up, though 24 is even
        (48.99, 24, 4),
        (53.0, 27, 5),  # 26.5 up; a sixth is 4.5, up
        (52.5, 26, 4),  # 26.25 down; 4.33 down
        (41.5, 21, 4),  # 20.75 up; 3.5 up
        (30.0, 15, 3),  # 2.5 up, and not to the even 2
        (300.0, 150, 25),
        (16.0, 8, 2),  # 1.33 is below the least touch
        (15.0, 8, 2),  # 7.5 up
        (1.0, 8, 2),  # below the least barrier
        (0.0, 8, 2),
    ],
)
def test_half_of_the_range_and_a_sixth_of_that_round_half_up(
    median: float, barrier: int, touch: int
) -> None:
    assert range_scale([median] * 3) == Scale(touch, barrier)
    assert range_scale([0.0, median, median + 500.0]) == Scale(touch, barrier)


@pytest.mark.parametrize("ranges", [[], [50.0], [50.0, 60.0]])
def test_fewer_than_three_sessions_have_no_scale(ranges: list[float]) -> None:
    assert range_scale(ranges) is None


def test_only_the_last_five_sessions_count() -> None:
    assert range_scale([1000.0] * 9 + [40.0, 41.0, 42.0, 43.0, 44.0]) == Scale(4, 21)
    assert range_scale([1000.0, 40.0, 41.0, 42.0, 43.0]) == Scale(4, 21)


def test_of_four_sessions_the_middle_two_count() -> None:
    assert range_scale([10.0, 40.0, 54.0, 900.0]) == Scale(4, 24)  # 47: 23.5 up
    assert range_scale([10.0, 40.0, 53.9, 900.0]) == Scale(4, 23)


@given(st.lists(st.integers(0, 200_000), min_size=3, max_size=8))
def test_any_ranges_give_the_scale_of_their_fractions(hundredths: list[int]) -> None:
    last = sorted(hundredths[-5:])
    n = len(last)
    middle = Fraction(last[(n - 1) // 2] + last[n // 2], 200)
    barrier = max(8, (middle / 2 + Fraction(1, 2)).__floor__())
    touch = max(2, (Fraction(barrier, 6) + Fraction(1, 2)).__floor__())
    assert range_scale([x / 100 for x in hundredths]) == Scale(touch, barrier)
    assert touch < barrier
