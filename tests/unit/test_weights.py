"""Training weights against a recomputation that counts with a loop."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.kernel.weights import training_weights

#: Episodes as (first bar, number of bars).
SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), min_size=1, max_size=12)


@given(SPANS, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_weight_is_one_over_vectors_of_the_episode_times_episodes_at_the_bar(
    spans: list[tuple[int, int]], rng: object
) -> None:
    pairs = [(e, bar) for e, (first, n) in enumerate(spans) for bar in range(first, first + n)]
    rng.shuffle(pairs)  # type: ignore[attr-defined]
    wanted = [
        Fraction(1, sum(x == e for x, _ in pairs) * sum(y == bar for _, y in pairs))
        for e, bar in pairs
    ]
    # Numbers of episodes and times need not begin at 0 nor be dense.
    episodes = np.array([17 - 3 * e for e, _ in pairs])
    times = np.array([1_700_000_000_000_000_000 + bar * 5_000_000_000 for _, bar in pairs])
    found = training_weights(episodes, times)
    assert found.dtype == np.float64
    assert found.tolist() == [float(w) for w in wanted]


def test_an_episode_alone_weighs_one_however_long_it_is() -> None:
    for n in (1, 3, 144):
        found = training_weights(np.zeros(n, np.int64), np.arange(n))
        assert found.sum() == pytest.approx(1.0)


def test_two_episodes_at_the_same_bars_weigh_as_much_as_one() -> None:
    episodes, times = np.repeat([0, 1], 10), np.tile(np.arange(10), 2)
    assert training_weights(episodes, times).sum() == pytest.approx(1.0)


def test_no_vectors_no_weights() -> None:
    assert training_weights(np.zeros(0, np.int64), np.zeros(0, np.int64)).shape == (0,)
