"""Figures that Microsoft, or the functions' author, have published."""

from __future__ import annotations

import numpy as np
import pytest

from spymaster import anomaly

# Stack Overflow, question 75264555 (2023), answered by the functions' author.
SCORED = [-3, 2.4, 15, 3.9, 5, 6, 4.5, 5.2, 3, 4, 5, 16, 7, 5, 5, 4]
SCORES = {
    0: -1.9040785483608571,
    1: -0.10021466044004519,
    2: 1.3361954725339347,
    11: 1.6702443406674186,
}
# MicrosoftDocs/dataexplorer-docs, data-explorer/kusto/query/series-*-function.md.
FITTED = [2, 5, 6, 8, 11, 15, 17, 18, 25, 26, 30, 30]
# fmt: off
TRAFFIC = [
    80, 139, 87, 110, 68, 54, 50, 51, 53, 133, 86, 141, 97, 156, 94, 149, 95, 140, 77, 61,
    50, 54, 47, 133, 72, 152, 94, 148, 105, 162, 101, 160, 87, 63, 53, 55, 54, 151, 103, 189,
    108, 183, 113, 175, 113, 178, 90, 71, 62, 62, 65, 165, 109, 181, 115, 182, 121, 178, 114, 170,
]
# fmt: on
SEASON_6 = [2, 5, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1]
SEASON_5 = [8, 12, 14, 12, 10, 10, 12, 14, 12, 10, 10, 12, 14, 12, 10, 10, 12, 14, 12, 10]
SHORT = [1, 3, 5, 2, 4, 6, 1, 3, 5, 2, 4, 6]


def cut_off(values: object, digits: int) -> list[float]:
    """The documentation cuts digits off, it does not round."""
    scaled = np.atleast_1d(np.asarray(values, float)) * 10**digits
    return [float(v) for v in np.trunc(scaled + np.sign(scaled) * 1e-6) / 10**digits]


def test_the_normalising_constant() -> None:
    assert anomaly.N == 2.772605605507915


def test_scores_of_outliers_to_the_last_digits() -> None:
    expected = [SCORES.get(i, 0.0) for i in range(len(SCORED))]
    found = anomaly.series_outliers(SCORED)
    assert np.abs(found - expected).max() <= 1e-12
    assert [i for i, v in enumerate(found) if v] == list(SCORES)


def test_the_season_of_a_given_period() -> None:
    found = anomaly.series_seasonal([1, 3, 5, 1, 3, 5, 2, 4, 6], 3)
    assert found.tolist() == [1.0, 3.0, 5.0] * 3
    assert anomaly.series_seasonal(SHORT, 3).tolist() == [1.5, 3.5, 5.5] * 4


def test_the_season_of_a_period_that_is_found() -> None:
    assert anomaly.series_seasonal(SEASON_6).tolist() == [1.0, 2, 3, 4, 3, 2] * 4 + [1.0]
    assert anomaly.series_seasonal(SEASON_5).tolist() == [10.0, 12, 14, 12, 10] * 4
    assert anomaly.series_seasonal(SHORT).tolist() == [0.0] * 12


def test_the_period_of_the_traffic() -> None:
    found = anomaly.series_periods_detect(TRAFFIC, 0, 50, 1)
    assert found.periods.tolist() == [14.0]
    assert found.scores[0] == pytest.approx(0.84, abs=0.06)  # an approximation; the order agrees


def test_statistics() -> None:
    found = anomaly.series_stats([23, 46, 23, 87, 4, 8, 3, 75, 2, 56, 13, 75, 32, 16, 29])
    assert found[:5] == (2, 8, 87, 3, 32.8)
    assert (f"{found.stdev:.13f}", f"{found.variance:.12f}") == (
        "28.5036338535483",
        "812.457142857143",
    )


def test_the_fitted_line() -> None:
    found = anomaly.series_fit_line(FITTED)
    assert cut_off(found[:5], 3) == [0.982, 2.730, 98.628, 1.686, -1.666]
    published = [1.064, 3.7945, 6.526, 9.256, 11.987, 14.718, 17.449, 20.180, 22.910, 25.641]
    published += [28.371, 31.102]
    line = cut_off(found.line_fit, 3)
    published[1] = 3.794  # its fourth digit, and only its, is printed: 3.7949 in full
    assert line[1:2] == published[1:2]
    # Two places are rounded up where the others are cut off.
    assert max(abs(a - b) for a, b in zip(line, published, strict=True)) < 0.00101
    assert found.line_fit == pytest.approx(published, abs=0.001)


def test_missing_values_are_put_on_the_line() -> None:
    nan = np.nan
    given = [nan, 111.0, nan, 36.0, 41.0, nan, nan, 16.0, 61.0, 33.0, nan, nan]
    filled = [111.0, 111.0, 73.5, 36.0, 41.0, 32.667, 24.333, 16.0, 61.0, 33.0, 33.0, 33.0]
    assert anomaly.series_fill_linear(given).round(3).tolist() == filled
    open_ended = anomaly.series_fill_linear(given, None, False).round(3)
    assert open_ended[1:10].tolist() == filled[1:10]
    assert np.isnan(open_ended[[0, 10, 11]]).all()


def test_missing_integers_are_cut_off() -> None:
    given = np.array([-1, 111, -1, 36, 41, -1, -1, 16, 61, 33, -1, -1])
    found = anomaly.series_fill_linear(given, -1)
    assert found.tolist() == [111, 111, 73, 36, 41, 32, 24, 16, 61, 33, 33, 33]
    assert found.dtype == given.dtype


def test_where_all_is_missing_a_constant_stands() -> None:
    nothing = [np.nan] * 4
    assert anomaly.series_fill_linear(nothing).tolist() == [0.0] * 4
    assert anomaly.series_fill_linear(nothing, None, True, 3.14159).tolist() == [3.14159] * 4
    assert np.isnan(anomaly.series_fill_linear(nothing, None, True, None)).all()
