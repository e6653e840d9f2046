"""Bar by bar and all at once: the same bits over the same window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.anomaly import StreamingAnomalies, series_decompose_anomalies

#: Few different numbers, so that equal ones meet, and floats of any kind; NaN is null.
NUMBER = st.one_of(
    st.integers(-3, 3).map(float), st.just(np.nan), st.floats(-1e9, 1e9), st.just(-0.0)
)


def same_bits(seen: StreamingAnomalies, bars: np.ndarray, n: int, how: dict[str, object]) -> None:
    """Each bar's answer is the last of the batch form's over the window it closes."""
    for k, bar in enumerate(bars):
        newest = seen.add(bar)
        window = np.ascontiguousarray(bars[max(0, k + 1 - n) : k + 1].T)
        assert seen.window.tobytes() == window.tobytes()
        if window.shape[1] <= int(str(how["test_points"])):
            assert not newest.ad_flag.any()
            assert np.isnan(newest.baseline).all()
            continue
        batch = series_decompose_anomalies(window, **how)  # type: ignore[arg-type]
        for mine, theirs in zip(newest, batch, strict=True):
            assert mine.tobytes() == theirs[:, -1].tobytes(), (k, how)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_bar_has_the_bits_of_the_batch_form(data: st.DataObject) -> None:
    m, n = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 12))
    rows = st.lists(NUMBER, min_size=m, max_size=m)
    bars = np.array(data.draw(st.lists(rows, min_size=1, max_size=40)))
    how = {
        "threshold": data.draw(st.sampled_from([0.5, 1.5, 3.0])),
        "seasonality": data.draw(st.integers(0, 6)),
        "trend": data.draw(st.sampled_from(["avg", "linefit", "none"])),
        "test_points": data.draw(st.integers(0, n - 1)),
        "ad_method": data.draw(st.sampled_from(["ctukey", "tukey"])),
    }
    same_bits(StreamingAnomalies(m, n, **how), bars, n, how)  # type: ignore[arg-type]


@pytest.mark.parametrize("trend", ["avg", "linefit", "none"])
@pytest.mark.parametrize("seasonality", [0, 60])
def test_a_morning_of_bars_has_the_bits_of_the_batch_form(trend: str, seasonality: int) -> None:
    drawn = np.random.default_rng(17)
    bars = drawn.standard_t(2, size=(900, 4)).cumsum(axis=0).round(2)
    bars[drawn.random(bars.shape) < 0.05] = np.nan
    how: dict[str, object] = {"seasonality": seasonality, "trend": trend, "test_points": 1}
    n = 360
    same_bits(StreamingAnomalies(4, n, **how), bars, n, how)  # type: ignore[arg-type]


def test_a_stream_taken_up_from_its_window_goes_on_the_same() -> None:
    bars = np.random.default_rng(2).normal(size=(100, 3))
    whole, first = StreamingAnomalies(3, 30), StreamingAnomalies(3, 30)
    for bar in bars[:60]:
        whole.add(bar)
        first.add(bar)
    second = StreamingAnomalies(3, 30)
    for bar in first.window.T:
        second.add(bar)
    for bar in bars[60:]:
        for a, b in zip(whole.add(bar), second.add(bar), strict=True):
            assert a.tobytes() == b.tobytes()
