"""What order flow is worth at best: the plan's law worked out, as losses in nats.

An episode of the plan is a walk between two barriers, with a drift whose direction z is a fair
coin. Who sees the price knows z the better the farther the walk has come; who reads the flow
knows w, and w is z with a probability that the signal's strength sets. What w adds to the price
is the Bayes gain: no model of this market can gain more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.simulator.path import DRIFT, SPREAD

Array = NDArray[np.float64]

_BAR_S = 5
#: The trigger lies somewhere in its bar: on average so long before the bar's close.
_TO_CLOSE_S = 3
#: Cells of the grid in one second's spread.
_CELLS = 4
_BREAK, _REJECT, _CHOP = range(3)


@dataclass(frozen=True)
class Information:
    """The log-loss, in nats, of who knows all that can be known from so much.

    Means over episodes of the mean over an episode's vectors, as a training view weighs them.
    `outcomes` are the shares of (BREAK, REJECT, CHOP) when z is +1 and when it is -1.
    """

    outcomes: tuple[tuple[float, float, float], tuple[float, float, float]]
    prior: float  #: who knows how often each outcome comes
    baseline: float  #: who sees distance and time since the trigger as well
    informed: float  #: who reads w as well

    @property
    def gain(self) -> float:
        """The Bayes gain over the baseline."""
        return self.baseline - self.informed


def information(
    strength: float, touch_ticks: float, barrier_ticks: float, timeout_bars: int
) -> Information:
    """What the price and the flow tell of an episode's outcome, by the law of the plan.

    For episodes at the level that the plan sought, and a flow that shows w without noise: what a
    model reaches lies below. `strength` 0 is a market without a signal.

    >>> told = information(0.0, 4, 24, 36)
    >>> told.gain, told.prior > told.baseline
    (0.0, True)
    """
    seconds = timeout_bars * _BAR_S
    steps, start = _steps(seconds, touch_ticks / barrier_ticks)
    ahead = _outcomes_ahead(steps, seconds, timeout_bars)
    shares = [chances[start] for chances, _ in ahead[0]]
    prior = (shares[0] + shares[1]) / 2
    right = (1.0 + strength) / 2
    standing = [np.zeros(len(steps[0])) for _ in steps]
    for f in standing:
        f[start] = 1.0
    losses, weight = np.zeros(3), 0.0
    for second in range(seconds + _TO_CLOSE_S):
        if second in ahead and second:
            mass, loss = _losses(standing, ahead[second], prior, right)
            losses += loss
            weight += mass
        standing = [f @ step[:, 1:-1] for f, step in zip(standing, steps, strict=True)]
    losses /= weight
    given = [tuple(float(x) for x in share) for share in shares]
    return Information((given[0], given[1]), *(float(x) for x in losses))  # type: ignore[arg-type]


def _steps(seconds: int, touch: float) -> tuple[list[Array], int]:
    """One second's chances for z = +1 and -1, [cell, cell or past a barrier]; and the first cell.

    Cells lie between the barriers, distances in barriers: the walk begins at -touch.
    """
    drift, spread = DRIFT / seconds, SPREAD / math.sqrt(seconds)
    n = 2 * math.ceil(_CELLS / spread)
    at = np.linspace(-1.0, 1.0, n + 1)
    edges = (at[1:] + at[:-1]) / 2
    steps = []
    for z in (1, -1):
        below = _normal_cdf((edges[None, :] - at[1:-1, None] - z * drift) / spread)
        steps.append(np.diff(below, axis=1, prepend=0.0, append=1.0))
    return steps, int(np.argmin(np.abs(at[1:-1] + touch)))


def _normal_cdf(x: Array) -> Array:
    flat = [0.5 * math.erfc(-v / math.sqrt(2.0)) for v in x.ravel().tolist()]
    return np.array(flat).reshape(x.shape)


def _outcomes_ahead(
    steps: list[Array], seconds: int, timeout_bars: int
) -> dict[int, list[tuple[Array, Array]]]:
    """Standing at a bar's close (or at 0): the outcomes' chances, [cell, 3], for each z.

    Beside them the same, each worth 1 / vectors of the episode that ends so.
    """
    n = len(steps[0])
    chances, worth = ([np.zeros((n, 3)) for _ in steps] for _ in range(2))
    for i in range(len(steps)):
        chances[i][:, _CHOP] = 1.0
        worth[i][:, _CHOP] = 1.0 / timeout_bars
    found = {}
    for second in range(seconds + _TO_CLOSE_S - 1, -1, -1):
        vectors = math.ceil(max(0, second + 1 - _TO_CLOSE_S) / _BAR_S)
        each = 1.0 / vectors if vectors else 0.0
        for i, step in enumerate(steps):
            chances[i] = _before(step, chances[i], 1.0)
            worth[i] = _before(step, worth[i], each)
        if second == 0 or (second - _TO_CLOSE_S) % _BAR_S == 0 and second >= _TO_CLOSE_S:
            found[second] = list(zip(chances, worth, strict=True))
    return found


def _before(step: Array, then: Array, each: float) -> Array:
    """What was worth `then` a second later, and `each` once decided, is worth now."""
    now = np.asarray(step[:, 1:-1] @ then)
    now[:, _BREAK] += step[:, -1] * each
    now[:, _REJECT] += step[:, 0] * each
    return now


def _losses(
    standing: list[Array], ahead: list[tuple[Array, Array]], prior: Array, right: float
) -> tuple[float, Array]:
    """Weight and losses (prior, baseline, informed) of the vectors at one bar's close."""
    chances = [c for c, _ in ahead]
    seen = _mixed(standing, chances, 0.5)
    mass, losses = 0.0, np.zeros(3)
    for w, weight_of_first in enumerate((right, 1.0 - right)):
        told = _mixed(standing, chances, weight_of_first)
        for z, (_, worth) in enumerate(ahead):
            share = 0.5 * (right if z == w else 1.0 - right)
            at_stake = share * standing[z][:, None] * worth
            mass += float(at_stake.sum())
            losses -= [float((at_stake * _log(p)).sum()) for p in (prior, seen, told)]
    return mass, losses


def _mixed(standing: list[Array], chances: list[Array], first: float) -> Array:
    """The outcomes' chances for who knows where the walk stands, and z = +1 with chance `first`."""
    up, down = first * standing[0], (1.0 - first) * standing[1]
    total = up + down
    belief = np.divide(up, total, out=np.full_like(up, 0.5), where=total > 0)[:, None]
    return np.asarray(belief * chances[0] + (1.0 - belief) * chances[1])


def _log(p: Array) -> Array:
    return np.log(np.maximum(p, 1e-12))
