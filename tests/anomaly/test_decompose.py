"""The functions against their slow and exact twin, and where there is little to go by."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster import anomaly
from spymaster.errors import ContractError
from tests.anomaly import oracle

#: Ticks, so that fractions stay short; None is null.
VALUES = st.one_of(st.none(), st.integers(-4_000, 4_000).map(lambda k: Fraction(k, 4)))
SERIES = st.lists(VALUES, min_size=1, max_size=40)
TRENDS = st.sampled_from(["avg", "linefit", "none"])
nan = np.nan


def floats(values: oracle.Numbers) -> np.ndarray:
    return np.array([nan if v is None else float(v) for v in values])


@settings(max_examples=300, deadline=None)
@given(SERIES, st.integers(0, 12), TRENDS, st.integers(0, 5), st.sampled_from(["ctukey", "tukey"]))
def test_as_the_slow_twin_says(
    values: list[Fraction | None], period: int, trend: str, test_points: int, method: str
) -> None:
    test_points = min(test_points, len(values) - 1)
    parts = oracle.decompose(values, period, trend, test_points)
    scores = np.array(oracle.outliers(parts[3], method))
    mine = anomaly.series_decompose(floats(values), period, trend, test_points)
    for found, expected in zip(mine, parts, strict=True):
        assert found == pytest.approx(floats(expected), rel=1e-9, abs=1e-9, nan_ok=True)
    told = anomaly.series_decompose_anomalies(
        floats(values), 1.5, period, trend, test_points, method
    )
    assert told.ad_score == pytest.approx(scores, rel=1e-6, abs=1e-9)
    assert told.baseline == pytest.approx(mine.baseline, nan_ok=True)
    clear = np.abs(np.abs(scores) - 1.5) > 1e-5
    assert told.ad_flag[clear].tolist() == np.array(oracle.flags(scores, 1.5))[clear].tolist()
    assert (told.ad_flag == np.sign(told.ad_score) * (np.abs(told.ad_score) > 1.5)).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60).flatmap(lambda n: st.lists(st.floats(-1e6, 1e6), min_size=n, max_size=n)))
def test_percentiles_are_numpys_to_the_bit(values: list[float]) -> None:
    from spymaster.anomaly.outliers import quantiles
    from spymaster.anomaly.percentile import median

    for low, high in ((0.1, 0.9), (0.25, 0.75), (0.02, 0.98)):
        found = quantiles(np.array(values), len(values), low, high)
        assert found == tuple(np.percentile(values, [100 * low, 100 * high]))
    assert median(np.array(values), len(values)) == np.median(values)


def test_many_series_at_once_are_as_one_at_a_time() -> None:
    x = np.random.default_rng(5).normal(size=(7, 200))
    x[2, 50:60] = nan
    for trend in ("avg", "linefit", "none"):
        whole = anomaly.series_decompose_anomalies(x, 1.5, 24, trend, 3)
        for row in range(7):
            one = anomaly.series_decompose_anomalies(x[row], 1.5, 24, trend, 3)
            for a, b in zip(whole, one, strict=True):
                assert a[row].tobytes() == b.tobytes()
    assert anomaly.series_outliers(x).shape == anomaly.series_seasonal(x, 7).shape == (7, 200)
    assert anomaly.series_fit_line(x).slope.shape == anomaly.series_stats(x).avg.shape == (7,)
    assert anomaly.series_periods_detect(x, 0, 100, 3).periods.shape == (7, 3)


def test_the_input_stays_as_it_was() -> None:
    x = np.array([1.0, 2.0, nan, 7.0, 7.0, 7.0])
    before = x.tobytes()
    anomaly.series_decompose_anomalies(x)
    anomaly.series_outliers(x, "ctukey", 7.0)
    anomaly.series_fill_linear(x)
    assert x.tobytes() == before


# Where there is little to go by


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("trend", ["avg", "linefit", "none"])
def test_a_few_points_have_a_baseline_and_no_anomaly(n: int, trend: str) -> None:
    x = np.arange(float(n)) ** 2
    found = anomaly.series_decompose_anomalies(x, 1.5, 0, trend)
    assert found.ad_flag.tolist() == [0] * n
    assert np.isfinite(found.baseline).all()
    assert np.isfinite(found.ad_score).all()


@pytest.mark.parametrize("trend", ["avg", "linefit"])
def test_nothing_but_nulls_has_no_baseline_and_no_anomaly(trend: str) -> None:
    found = anomaly.series_decompose_anomalies([nan] * 9, 1.5, 3, trend)
    assert found.ad_flag.tolist() == found.ad_score.tolist() == [0] * 9
    assert np.isnan(found.baseline).all()


@pytest.mark.parametrize("trend", ["avg", "linefit", "none"])
@pytest.mark.parametrize("value", [0.1, 4800.25, -1e-9, 1e12])
@pytest.mark.parametrize("seasonality", [-1, 0, 7])
def test_a_constant_has_no_anomaly_whatever_rounding_says(
    value: float, trend: str, seasonality: int
) -> None:
    found = anomaly.series_decompose_anomalies([value] * 1_000, 1.5, seasonality, trend)
    assert not found.ad_score.any()
    assert not found.ad_flag.any()


def test_a_straight_line_has_no_anomaly_beside_a_fitted_one() -> None:
    found = anomaly.series_decompose_anomalies(0.1 * np.arange(4_680) + 4_800, 1.5, 0, "linefit")
    assert not found.ad_score.any()


def test_one_point_beside_a_constant_is_left_unscored_since_the_percentiles_are_one() -> None:
    x = np.full(100, 5.0)
    x[50] = 50.0
    assert not anomaly.series_outliers(x).any()
    assert not anomaly.series_decompose_anomalies(x, seasonality=0).ad_score.any()


def test_a_period_longer_than_half_the_series_explains_what_was_seen_once() -> None:
    x = np.random.default_rng(1).normal(size=20)
    found = anomaly.series_decompose(x, 30, "none")
    assert found.seasonal.tolist() == x.tolist()
    assert not found.residual.any()
    assert not anomaly.series_decompose_anomalies(x, 1.5, 30).ad_flag.any()


def test_a_phase_that_was_never_learned_has_no_baseline() -> None:
    found = anomaly.series_decompose_anomalies([1.0, 2.0, 3.0, 1.0, 2.0, 90.0], 1.5, 3, "none", 4)
    assert np.isnan(found.baseline[[2, 5]]).all()
    assert found.ad_score[[2, 5]].tolist() == [0.0, 0.0]


def test_points_kept_for_the_test_do_not_move_the_baseline() -> None:
    x = np.tile([1.0, 5.0, 3.0, 4.0], 10)
    y = x.copy()
    y[-4:] = 1_000.0
    a, b = (anomaly.series_decompose(v, 4, "linefit", 4).baseline for v in (x, y))
    assert a.tobytes() == b.tobytes()


def test_nulls_have_no_score_and_do_not_move_others() -> None:
    x = np.array([3.0, 4.0, 5.0, 4.0, 3.0, 4.0, 5.0, 4.0, 30.0])
    with_gaps = np.insert(x, [2, 5], nan)
    a, b = anomaly.series_outliers(x), anomaly.series_outliers(with_gaps)
    assert b[~np.isnan(with_gaps)].tolist() == a.tolist()
    assert b[np.isnan(with_gaps)].tolist() == [0.0, 0.0]
    ignored = anomaly.series_outliers(np.insert(x, [2, 5], -999.0), ignore_val=-999.0)
    assert ignored.tolist() == b.tolist()


def test_a_score_of_one_and_a_half_means_the_same_between_any_percentiles() -> None:
    """Under a normal law; the service's own constant lies 2 % above the exact one."""
    x = np.random.default_rng(3).normal(size=(20, 20_000))
    shares = [
        (np.abs(anomaly.series_outliers(x, "ctukey", None, low, high)) > 1.5).mean()
        for low, high in ((25, 75), (5, 95), (20, 60), (2, 98))
    ]
    assert max(abs(s - 0.00698) for s in shares) < 0.0005
    assert 0.0060 < (np.abs(anomaly.series_outliers(x)) > 1.5).mean() < 0.0085


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: anomaly.series_decompose_anomalies([1, 2], 0), "threshold 0. Allowed: a number"),
        (lambda: anomaly.series_decompose_anomalies([1, 2], -1.5), "threshold -1.5"),
        (lambda: anomaly.series_decompose_anomalies([1, 2], nan), "threshold nan"),
        (lambda: anomaly.series_decompose_anomalies([1, 2], 1.5, -2), "seasonality -2. Allowed:"),
        (lambda: anomaly.series_decompose([1, 2], 2.5), "seasonality 2.5"),
        (lambda: anomaly.series_decompose([1, 2], 0, "line"), "Allowed: none, avg, linefit"),
        (lambda: anomaly.series_decompose([1, 2], 0, "avg", 2), "test_points 2 of 2 leaves"),
        (lambda: anomaly.series_decompose([1, 2], 0, "avg", -1), "Allowed: 0 to 1"),
        (lambda: anomaly.series_outliers([1, 2], "mad"), "method 'mad'. Allowed: ctukey, tukey"),
        (lambda: anomaly.series_outliers([1, 2], "ctukey", None, 1, 90), "from 2 to 98"),
        (lambda: anomaly.series_outliers([1, 2], "ctukey", None, 90, 10), "the lower one first"),
        (lambda: anomaly.series_outliers([1, np.inf]), "infinite at 1. Allowed: finite"),
        (lambda: anomaly.series_fit_line([[1, 2], [3, -np.inf]]), "series 1 is infinite at 1"),
        (lambda: anomaly.series_stats("abc"), "no array of numbers"),
        (lambda: anomaly.series_stats(np.zeros((2, 2, 2))), "has 3 dimensions"),
        (lambda: anomaly.series_seasonal([1, 2], 1.5), "period 1.5"),
        (lambda: anomaly.series_periods_detect([1, 2], 5, 2, 1), "the smaller one first"),
        (lambda: anomaly.series_periods_detect([1, 2], 0, 2, 0), "num_periods 0"),
        (lambda: anomaly.StreamingAnomalies(1, 0), "a window from 1 bar on"),
        (lambda: anomaly.StreamingAnomalies(1, 5, seasonality=-1), "Allowed: 0 (none) or a period"),
        (lambda: anomaly.StreamingAnomalies(1, 5, test_points=5), "Allowed: 0 to 4"),
        (lambda: anomaly.StreamingAnomalies(2, 5).add([1.0]), "no bar of 2 series"),
        (lambda: anomaly.StreamingAnomalies(1, 5).add([np.inf]), "finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_can(call: object, told: str) -> None:
    with pytest.raises(ContractError) as caught:
        call()  # type: ignore[operator]
    assert told in str(caught.value)


def test_statistics_of_numbers_that_are_none() -> None:
    assert np.isnan(anomaly.series_stats([1.0, np.inf]).avg)
    assert anomaly.series_stats([1.0, nan]).min_idx == -1
    found = anomaly.series_stats([nan, 4.0, np.inf, 2.0, 2.0], True)
    assert (found.min, found.min_idx, found.max, found.max_idx) == (2.0, 3, 4.0, 1)
    assert np.isnan(anomaly.series_stats([4.0]).variance)


def test_no_period_is_found_where_there_is_none() -> None:
    drawn = np.random.default_rng(8)
    noise = anomaly.series_periods_detect(drawn.normal(size=(100, 500)), 0, 500, 1)
    assert (noise.scores < 0.6).all()
    walks = anomaly.series_periods_detect(drawn.normal(size=(100, 500)).cumsum(axis=1), 0, 500, 1)
    print("walks that seem periodic:", int((walks.scores >= 0.6).sum()))
    assert (walks.scores >= 0.6).sum() <= 5
    for x in (np.full(100, 3.0), np.arange(100.0), np.full(100, nan), np.zeros(3)):
        assert anomaly.series_periods_detect(x, 0, 50, 2).periods.tolist() == [0.0, 0.0]


def test_a_period_is_found_under_noise() -> None:
    drawn = np.random.default_rng(9)
    for period in (5, 12, 37, 168):
        wave = np.tile(drawn.normal(size=period) * 3, 10)
        x = wave + drawn.normal(size=(20, len(wave)))
        found = anomaly.series_periods_detect(x, 0, len(wave), 1)
        assert (found.periods[:, 0] == period).mean() >= 0.9  # else a multiple of it
        assert (found.scores >= 0.6).all()
