"""Moments and medians of a window against numpy's, with bars missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.kernel.window import enough, median, moments

VALUE = st.one_of(st.integers(-1000, 1000), st.floats(-1e6, 1e6, width=32)).map(float)
MAYBE = st.one_of(VALUE, VALUE, VALUE, VALUE, st.just(math.nan))


def moments_of(y: np.ndarray, first: int = 0, count: int | None = None) -> tuple[float, ...]:
    out = np.full(5, 7.0)
    moments(y, first, len(y) if count is None else count, out, 1)
    assert out[[0, 4]].tolist() == [7.0, 7.0], "only three numbers are written"
    return tuple(out[1:4].tolist())


@given(st.lists(MAYBE, min_size=3, max_size=80))
@settings(max_examples=300, deadline=None)
def test_moments_are_those_of_the_fitted_line_and_parabola(values: list[float]) -> None:
    y = np.array(values)
    x = np.flatnonzero(~np.isnan(y))
    found = moments_of(y)
    if len(x) < max(3, math.ceil(0.75 * len(y))):
        assert all(map(math.isnan, found))
        return
    line = np.polynomial.Polynomial.fit(x, y[x], 1).convert(domain=(-1, 1))
    parabola = np.polynomial.Polynomial.fit(x, y[x], 2)
    size = 1e-9 * max(1.0, np.abs(y[x]).max())
    assert found[0] == pytest.approx(np.mean(y[x]), rel=1e-9, abs=size)
    assert found[1] == pytest.approx(line.deriv(1)(0.0), rel=1e-9, abs=size)
    assert found[2] == pytest.approx(parabola.deriv(2)(0.0), rel=1e-9, abs=size)


@given(VALUE, VALUE, VALUE)
@settings(max_examples=100, deadline=None)
def test_of_three_bars_the_curvature_is_the_second_difference(a: float, b: float, c: float) -> None:
    size = 1e-12 * max(1.0, abs(a), abs(b), abs(c))
    assert moments_of(np.array([a, b, c])) == pytest.approx(
        ((a + b + c) / 3, (c - a) / 2, a - 2 * b + c), rel=1e-12, abs=4 * size
    )


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-5, 5), st.integers(0, 71))
@settings(max_examples=100, deadline=None)
def test_a_true_parabola_keeps_its_curvature_with_a_bar_missing(
    a: float, b: float, c: float, gone: int
) -> None:
    x = np.arange(72.0)
    y = a + b * x + c * x * x
    y[gone] = math.nan
    assert moments_of(y)[2] == pytest.approx(2 * c, rel=1e-9, abs=1e-9)


def test_a_window_begins_where_it_is_told() -> None:
    y = np.array([math.nan, 99.0, 1.0, 4.0, 9.0, math.nan])
    assert moments_of(y, 2, 3) == pytest.approx((14 / 3, 4.0, 2.0))
    assert all(map(math.isnan, moments_of(y, 3, 3)))


def test_three_quarters_of_a_window_rounded_up_must_have_values() -> None:
    assert [enough(w) for w in (3, 12, 36, 72)] == [3, 9, 27, 54]
    assert all(enough(w) == max(3, math.ceil(w * 3 / 4)) for w in range(1, 400))
    for window in (3, 12, 36, 72):
        y = np.arange(float(window))
        y[: window - enough(window)] = math.nan
        assert moments_of(y)[1] == pytest.approx(1.0)
        y[-1] = math.nan
        assert all(map(math.isnan, moments_of(y)))


@given(st.lists(st.one_of(MAYBE.map(abs), st.just(0.0)), max_size=100), st.integers(1, 20))
@settings(max_examples=300, deadline=None)
def test_median_is_numpys_and_missing_when_few_or_zero(values: list[float], least: int) -> None:
    y = np.array(values, np.float64)
    before = y.copy()
    found = median(y, len(y), least, np.empty(100))
    known = y[~np.isnan(y)]
    if len(known) < least or np.median(known) == 0:
        assert math.isnan(found)
    else:
        assert found == np.median(known)
    assert np.array_equal(y, before, equal_nan=True), "the ring is only read"


def test_median_counts_only_the_bars_there_are() -> None:
    y = np.array([5.0, 1.0, 3.0, 100.0, 100.0])
    assert median(y, 3, 3, np.empty(5)) == 3.0
    assert median(y, 2, 2, np.empty(5)) == 3.0
    assert math.isnan(median(y, 3, 4, np.empty(5)))
