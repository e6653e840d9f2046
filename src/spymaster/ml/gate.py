"""The gate: what test sessions must say before a challenger becomes champion.

Arrays in, checks out. Whoever calls it has a look at the test sessions, which belongs into the
ledger first (`looks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.calibration import calibration_error, chance
from spymaster.ml.check import Check
from spymaster.ml.dataset import Dataset
from spymaster.ml.gain import gain
from spymaster.ml.metrics import episode_losses, judge, per_episode
from spymaster.ml.outcomes import floored
from spymaster.settings import GateSettings

#: What is compared, as the ledger calls it.
METRIC = "log-loss per episode, nats"
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Vectors of test sessions and what came of them: n rows, in order of time."""

    label: NDArray[np.int8]
    weight: NDArray[np.float64]
    episode: NDArray[np.int64]
    session: NDArray[np.generic]

    @classmethod
    def of(cls, data: Dataset) -> Rows:
        return cls(data.label, data.weight, data.episode, data.session)

    @property
    def sessions(self) -> int:
        return len(np.unique(self.session))

    @property
    def episodes(self) -> int:
        return len(np.unique(self.episode))


def enough(rows: Rows, how: GateSettings) -> Check:
    """Are there sessions and episodes enough to look at? Counts only; no look is taken."""
    facts = {"sessions": rows.sessions, "episodes": rows.episodes}
    return Check(
        "enough",
        rows.sessions >= how.min_sessions and rows.episodes >= how.min_episodes,
        f"{rows.sessions} test sessions with {rows.episodes} episodes; at least "
        f"{how.min_sessions} with {how.min_episodes} are needed",
        facts,
    )


def gate(
    own: Probabilities,
    others: Mapping[str, Probabilities],
    rows: Rows,
    how: GateSettings,
    alpha: float | None = None,
) -> tuple[Check, ...]:
    """Judge a challenger's [n, 3] probabilities beside those of each other, such as the champion.

    It must be better than every one of them, each at the whole `alpha` (the settings' if None):
    who must pass all of several tests is not helped by their number (Berger 1982). Then it must be
    calibrated. The same arrays and settings give the same bits.

    Too few sessions or episodes: that check alone, and nothing is computed. Raises ModelError for
    arrays that do not fit.
    """
    if not (counted := enough(rows, how)).passed:
        return (counted,)
    judge(own, rows.label, rows.weight, rows.episode)  # raises for what does not fit
    used = how.alpha if alpha is None else alpha
    loss, session = _episodes(own, rows)
    against = [
        _better(name, loss, _episodes(other, rows)[0], session, how, used)
        for name, other in others.items()
    ]
    return (counted, *against, calibrated(own, rows, how))


def calibrated(own: Probabilities, rows: Rows, how: GateSettings) -> Check:
    """Calibration error, each episode counting once: within the bound, or what chance makes."""
    p = floored(own)
    weight = per_episode(rows.weight, rows.episode)
    error = calibration_error(p, rows.label, weight)
    by_chance = chance(p, weight, rows.episode, seed=how.seed)
    allowed = max(how.calibration_error, by_chance)
    why = "by settings" if allowed == how.calibration_error else "true ones reach it in 1 of 20"
    return Check(
        "calibration",
        error <= allowed,
        f"error {error:.4f}; allowed {allowed:.4f} ({why}){_off(error - allowed)}",
        {"error": error, "bound": how.calibration_error, "chance": by_chance},
    )


def _better(
    name: str,
    own: NDArray[np.float64],
    other: NDArray[np.float64],
    session: NDArray[np.generic],
    how: GateSettings,
    alpha: float,
) -> Check:
    found = gain(
        own, other, session, alpha=alpha, margin=how.margin_nats, draws=how.draws, seed=how.seed
    )
    told = (
        f"log-loss {own.mean():.4f} against {other.mean():.4f} nats, gain {found.gain:+.4f}, with "
        f"chance {1 - alpha:.4g} above {found.lower:+.4f}; must be above {how.margin_nats:+.4f} "
        f"(p {found.p:.2g}, allowed {alpha:.2g}){_off(how.margin_nats - found.lower)}"
    )
    facts = {**found.to_json(), "own": float(own.mean()), "other": float(other.mean())}
    return Check(f"better than {name}", found.passed, told, facts)


def _off(by: float) -> str:
    return f": {by:.4f} short" if by > 0 else ""


def _episodes(
    probabilities: Probabilities, rows: Rows
) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    """Each episode's loss, and the session it lies in."""
    codes, loss = episode_losses(probabilities, rows.label, rows.weight, rows.episode)
    _, first = np.unique(rows.episode, return_index=True)
    session = rows.session[first]
    if not (session[np.searchsorted(codes, rows.episode)] == rows.session).all():
        raise ModelError("an episode lies in two sessions. Pass each vector its own session's.")
    return loss, session
