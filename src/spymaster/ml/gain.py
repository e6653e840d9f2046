"""How much better one set of probabilities is than another, and how sure sessions make us of it.

The gain is the mean over episodes of the other's log-loss less one's own (`metrics.episode_losses`:
each episode counts once). Episodes of one session share its weather, and often its minutes, so
sessions are what is drawn: whole, with all of their episodes, both models on the same ones.

With ten sessions a bootstrap's percentiles, also corrected ones (BCa), are too narrow: of models
that are no better they pass 5 to 6 % where 2.5 % are allowed, 2 to 3 % where 0.4 % are (simulated,
ten sessions of 6 to 15 episodes, losses with a tail). So each draw is divided by its own standard
error (the studentised bootstrap, Efron & Tibshirani 1993, 12.5; for clusters Cameron, Gelbach &
Miller 2008), which passes 3 % and 0.5 %; and p is never below that of Student's t, which is the
stricter one when the tail lies on the other side. Sessions are taken to be independent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.extra import needed

Floats = NDArray[np.float64]
_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Gain:
    """Nats per episode, and what sessions say of it."""

    gain: float  #: positive: better than the other
    lower: float  #: with chance 1 - alpha the true gain is above it
    p: float  #: of a gain like this or greater, if the true one were `margin`
    alpha: float
    margin: float
    error: float  #: standard error of the gain
    sessions: int
    episodes: int

    @property
    def passed(self) -> bool:
        """The true gain is above the margin, at the significance allowed."""
        return self.p <= self.alpha

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def gain(
    own: Floats,
    other: Floats,
    session: NDArray[np.generic],
    *,
    alpha: float,
    margin: float = 0.0,
    draws: int = 20_000,
    seed: int = 0,
) -> Gain:
    """Judge episodes' losses, one's own and the other's, by `draws` draws of their sessions.

    The same arrays and seed give the same bits. Sessions that do not differ at all show nothing:
    p is 1. Raises ModelError for fewer than two sessions.

    >>> day = np.repeat(np.arange(10), 2)
    >>> other = np.linspace(0.9, 1.1, 20)
    >>> told = gain(other - 0.1 - 0.01 * (day % 3), other, day, alpha=0.05)
    >>> round(told.gain, 3), told.passed, told.lower > 0
    (0.109, True, True)
    >>> gain(other, other, day, alpha=0.05).p
    1.0
    """
    days, at = np.unique(session, return_inverse=True)
    if len(days) < 2:
        raise ModelError(
            f"{len(days)} sessions to draw from; at least 2 are needed, and many more to be sure. "
            "Take a snapshot with later sessions."
        )
    total = np.bincount(at, other - own).astype(np.float64)
    count = np.bincount(at).astype(np.float64)
    mean, error = _ratio(total, count)
    found = float(mean)
    if float(error) <= 1e-12 * max(1.0, float(np.abs(other).max())):
        return Gain(found, -np.inf, 1.0, alpha, margin, 0.0, len(days), len(own))
    t = float((found - margin) / error)
    drawn = _studentised(total, count, draws, seed)
    special = needed("scipy.special")
    freedom = len(days) - 1
    # The statistic that chance reaches with probability alpha, the found one among the draws.
    rank = int(np.floor(alpha * (draws + 1)))
    reach = float(np.sort(drawn)[draws - rank]) if rank else np.inf
    reach = max(reach, float(special.stdtrit(freedom, 1 - alpha)))
    return Gain(
        gain=found,
        lower=found - reach * float(error),
        p=max((1 + int((drawn >= t).sum())) / (draws + 1), float(special.stdtr(freedom, -t))),
        alpha=alpha,
        margin=margin,
        error=float(error),
        sessions=len(days),
        episodes=len(own),
    )


def _studentised(total: Floats, count: Floats, draws: int, seed: int) -> Floats:
    """(gain of the draw - gain found) / error of the draw, one per draw."""
    random = np.random.default_rng(seed)
    found, _ = _ratio(total, count)
    out = []
    for done in range(0, draws, _AT_ONCE):
        drawn = random.integers(len(total), size=(min(_AT_ONCE, draws - done), len(total)))
        mean, error = _ratio(total[drawn], count[drawn])
        # A draw of one session alone has no error: it reaches as far as it may.
        with np.errstate(divide="ignore", invalid="ignore"):
            out.append(np.where(error > 0, (mean - found) / error, np.inf))
    return np.concatenate(out)


def _ratio(total: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Sum of totals by sum of counts along the last axis, and its error (Cochran 1977, 6.4)."""
    n = total.shape[-1]
    episodes = count.sum(axis=-1)
    mean = total.sum(axis=-1) / episodes
    rest = total - mean[..., None] * count
    return mean, np.sqrt(n / (n - 1) * (rest**2).sum(axis=-1)) / episodes
