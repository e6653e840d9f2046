"""The market's dice: one small generator whose whole state is a word in an array.

SplitMix64 (Steele, Lea & Flood 2014): a run can stop and go on anywhere, and a seed means the
same numbers under every version of numpy and Numba.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.simulator.hot import hot

Words = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@hot
def uniform(rng: Words) -> float:
    """A number in [0, 1)."""
    rng[0] += _STEP
    z = rng[0]
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    z = z ^ (z >> _S31)
    return float(np.float64(z >> _S11) * (1.0 / 9007199254740992.0))


@hot
def below(rng: Words, n: int) -> int:
    """A whole number in [0, n)."""
    return int(uniform(rng) * n)


@hot
def exponential(rng: Words, mean: float) -> float:
    """A waiting time with this mean."""
    return -mean * math.log(1.0 - uniform(rng))


@hot
def normal(rng: Words) -> float:
    """A draw from the bell curve (Box & Muller 1958)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(rng)))
    return radius * math.cos(6.283185307179586 * uniform(rng))
