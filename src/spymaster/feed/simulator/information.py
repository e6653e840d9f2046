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
    ahead = _worth_ahead(steps, seconds, timeout_bars)
    right = (1.0 + strength) / 2
    shares, losses, weight = np.zeros((2, 3)), np.zeros(3), 0.0
    standing = [np.zeros(len(step)) for step in steps]
    for f in standing:
        f[start] = 1.0
    at_stake = []
    for second in range(seconds + _TO_CLOSE_S):
        if second in ahead:
            at_stake.append(
                [f[:, None] * worth for f, worth in zip(standing, ahead[second], strict=True)]
            )
        for i, step in enumerate(steps):
            shares[i, _BREAK] += standing[i] @ step[:, -1]
            shares[i, _REJECT] += standing[i] @ step[:, 0]
            standing[i] = standing[i] @ step[:, 1:-1]
    shares[:, _CHOP] = [f.sum() for f in standing]
    prior = shares.mean(axis=0)
    for stake in at_stake:
        mass, loss = _losses(stake, prior, right)
        losses += loss
        weight += mass
    losses /= weight
    up, down = ((float(s[0]), float(s[1]), float(s[2])) for s in shares)
    return Information((up, down), *losses.tolist())


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


def _worth_ahead(steps: list[Array], seconds: int, timeout_bars: int) -> dict[int, list[Array]]:
    """At each bar's close: the outcomes' chances by where the walk stands, [cell, 3], for each z.

    Each outcome counts for 1 / vectors of an episode that ends so: that is a vector's weight.
    """
    worth = [np.zeros((len(step), 3)) for step in steps]
    for w in worth:
        w[:, _CHOP] = 1.0 / timeout_bars
    found = {}
    for second in range(seconds + _TO_CLOSE_S - 1, _TO_CLOSE_S - 1, -1):
        each = 1.0 / math.ceil((second + 1 - _TO_CLOSE_S) / _BAR_S)
        worth = [_before(step, w, each) for step, w in zip(steps, worth, strict=True)]
        if (second - _TO_CLOSE_S) % _BAR_S == 0:
            found[second] = worth
    return found


def _before(step: Array, then: Array, each: float) -> Array:
    """What is worth `then` a second later, and `each` once decided, is worth now."""
    now = np.asarray(step[:, 1:-1] @ then)
    now[:, _BREAK] += step[:, -1] * each
    now[:, _REJECT] += step[:, 0] * each
    return now


def _losses(stake: list[Array], prior: Array, right: float) -> tuple[float, Array]:
    """Weight and losses (prior, baseline, informed) of the vectors at one bar's close.

    `stake`: for each z the weight at each place with each outcome.
    """
    up, down = (0.5 * s for s in stake)
    seen = up + down
    told = (right * up + (1.0 - right) * down, (1.0 - right) * up + right * down)
    losses = [-float((seen @ np.log(prior)).sum()), _loss(seen), _loss(told[0]) + _loss(told[1])]
    return float(seen.sum()), np.array(losses)


def _loss(joint: Array) -> float:
    """The log-loss of who knows, at each place, how much weight each outcome has there."""
    total = joint.sum(axis=1, keepdims=True)
    share = np.divide(joint, total, out=np.ones_like(joint), where=joint > 0)
    return -float((joint * np.log(share)).sum())
