"""How good probabilities were, by what happened: per vector and per episode.

A model is asked at every bar of an episode, and its vectors share one outcome: 144 right answers
about one CHOP are one right answer. So there are two counts of everything:

*per vector* uses the weights as they come (the training view's: an episode's vectors share one
vote, less where episodes run beside each other). *per episode* rescales the weights within each
episode to sum to one: every episode has one vote, however long it took and whatever ran beside it;
log-loss then is the mean over episodes of each one's weighted mean, in nats per episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError
from spymaster.ml.calibration import Curve, calibration_error, curve
from spymaster.ml.outcomes import OUTCOMES, floored

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]


@dataclass(frozen=True)
class OfClass:
    """One outcome against the rest; None where `Judged.reasons` says why."""

    share: float  #: weighted share of rows with this outcome
    log_loss: float | None  #: mean -ln p of it, over the rows where it came
    brier: float | None
    auc: float | None
    calibration_error: float | None
    curve: Curve | None


@dataclass(frozen=True)
class Judged:
    """The metrics under one count of rows."""

    log_loss: float  #: nats
    brier: float  #: 0..2
    accuracy: float
    calibration_error: float  #: mean of the outcomes'
    classes: dict[str, OfClass]
    reasons: dict[str, str]  #: metric -> why it is null

    def flat(self) -> dict[str, float | None]:
        """Metric -> value, such as `auc_break`, as a table or MLflow takes them."""
        out: dict[str, float | None] = {
            n: getattr(self, n) for n in ("log_loss", "brier", "accuracy", "calibration_error")
        }
        for name, one in self.classes.items():
            for metric in ("share", "log_loss", "brier", "auc", "calibration_error"):
                out[f"{metric}_{name.lower()}"] = getattr(one, metric)
        return out


@dataclass(frozen=True)
class Metrics:
    """A judgement: the same probabilities by both counts."""

    vectors: int
    episodes: int
    per_vector: Judged
    per_episode: Judged

    def flat(self) -> dict[str, float | None]:
        """All metrics, `vector_...` and `episode_...`."""
        out: dict[str, float | None] = {}
        for name, judged in (("vector", self.per_vector), ("episode", self.per_episode)):
            out |= {f"{name}_{metric}": value for metric, value in judged.flat().items()}
        return out

    def to_json(self) -> dict[str, Any]:
        """Counts, metrics and reasons, as JSON values."""
        reasons = self.per_vector.reasons  # the same classes are absent in both
        return {
            "vectors": self.vectors,
            "episodes": self.episodes,
            "metrics": self.flat(),
            "null": dict(reasons),
        }


def judge(
    probabilities: Floats, label: Labels, weight: Floats, episode: NDArray[np.int64]
) -> Metrics:
    """Judge [n, 3] probabilities (floored first) by n labels, weights > 0 and episode codes.

    Raises ModelError for no rows, other lengths, bad weights, or an episode with two outcomes.

    >>> made = judge(np.full((3, 3), 1 / 3), np.array([0, 0, 2], np.int8),
    ...              np.array([0.5, 0.5, 1.0]), np.array([7, 7, 8]))
    >>> round(made.per_episode.log_loss, 6), round(made.per_vector.brier, 6)
    (1.098612, 0.666667)
    >>> made.per_vector.reasons["auc_reject"]
    'no row has the outcome REJECT'
    """
    p = floored(probabilities)
    _check(p, label, weight, episode)
    return Metrics(
        vectors=len(label),
        episodes=len(np.unique(episode)),
        per_vector=_judged(p, label, weight),
        per_episode=_judged(p, label, per_episode(weight, episode)),
    )


def per_episode(weight: Floats, episode: NDArray[np.int64]) -> Floats:
    """Weights that sum to one in each episode.

    >>> per_episode(np.array([1.0, 3.0, 0.2]), np.array([4, 4, 9])).tolist()
    [0.25, 0.75, 1.0]
    """
    _, at = np.unique(episode, return_inverse=True)
    return np.asarray(weight / np.bincount(at, weight)[at])


def losses(probabilities: Floats, label: Labels) -> Floats:
    """-ln of what the outcome was given, per row, in nats (Good 1952).

    >>> losses(np.array([[0.5, 0.25, 0.25]]), np.array([1], np.int8)).round(6).tolist()
    [1.386294]
    """
    p = floored(probabilities)
    return np.asarray(-np.log(p[np.arange(len(label)), label]))


def episode_losses(
    probabilities: Floats, label: Labels, weight: Floats, episode: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Floats]:
    """The episodes' codes, sorted, and each one's weighted mean log-loss: what a bootstrap draws.

    >>> codes, loss = episode_losses(np.array([[1.0, 1.0, 2.0], [1.0, 2.0, 1.0]]),
    ...     np.array([2, 2], np.int8), np.array([0.5, 0.5]), np.array([3, 3]))
    >>> codes.tolist(), loss.round(6).tolist()
    ([3], [1.039721])
    """
    codes, at = np.unique(episode, return_inverse=True)
    loss = losses(probabilities, label)
    return codes, np.asarray(np.bincount(at, weight * loss) / np.bincount(at, weight))


def brier(probabilities: Floats, label: Labels, weight: Floats) -> float:
    """Weighted mean of sum over outcomes of (p - came)^2, 0..2 (Brier 1950).

    >>> brier(np.array([[0.5, 0.5, 0.0]]), np.array([0], np.int8), np.ones(1))
    0.5
    """
    came = np.eye(len(OUTCOMES))[label]
    return float(np.average(((probabilities - came) ** 2).sum(axis=1), weights=weight))


def auc(score: Floats, hit: NDArray[np.bool_], weight: Floats) -> float | None:
    """Weighted chance that a hit scores above a miss, ties half (Hanley & McNeil 1982).

    None without a hit or without a miss.

    >>> auc(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]), np.ones(3))
    0.75
    """
    if hit.all() or not hit.any():
        return None
    values, at = np.unique(score, return_inverse=True)
    hits = np.bincount(at, weight * hit, len(values))
    misses = np.bincount(at, weight * ~hit, len(values))
    below = np.concatenate([[0.0], misses.cumsum()[:-1]])
    return float((hits * (below + misses / 2)).sum() / (hits.sum() * misses.sum()))


def _judged(p: Floats, label: Labels, weight: Floats) -> Judged:
    reasons: dict[str, str] = {}
    classes = {
        name: _of_class(p[:, c], label == c, weight, name, reasons)
        for c, name in enumerate(OUTCOMES)
    }
    return Judged(
        log_loss=float(np.average(losses(p, label), weights=weight)),
        brier=brier(p, label, weight),
        accuracy=float(np.average(p.argmax(axis=1) == label, weights=weight)),
        calibration_error=calibration_error(p, label, weight),
        classes=classes,
        reasons=reasons,
    )


def _of_class(
    p: Floats, hit: NDArray[np.bool_], weight: Floats, name: str, reasons: dict[str, str]
) -> OfClass:
    share = float(np.average(hit, weights=weight))
    if not hit.any():
        for metric in ("log_loss", "brier", "auc", "calibration_error"):
            reasons[f"{metric}_{name.lower()}"] = f"no row has the outcome {name}"
        return OfClass(share, None, None, None, None, None)
    if hit.all():
        reasons[f"auc_{name.lower()}"] = f"every row has the outcome {name}"
    made = curve(p, hit, weight)
    return OfClass(
        share=share,
        log_loss=float(np.average(-np.log(p[hit]), weights=weight[hit])),
        brier=float(np.average((p - hit) ** 2, weights=weight)),
        auc=auc(p, hit, weight),
        calibration_error=made.error,
        curve=made,
    )


def _check(p: Floats, label: Labels, weight: Floats, episode: NDArray[np.int64]) -> None:
    lengths = {len(p), len(label), len(weight), len(episode)}
    if lengths == {0}:
        raise ModelError("there are no rows to judge. Name sessions that hold some.")
    if len(lengths) > 1:
        raise ModelError(
            f"{len(p)} rows of probabilities, {len(label)} labels, {len(weight)} weights, "
            f"{len(episode)} episodes; allowed: one each per row."
        )
    if not (np.isfinite(weight) & (weight > 0)).all():
        raise ModelError("weights to judge by are not all finite and above zero. Leave rows out.")
    if not ((label >= 0) & (label < len(OUTCOMES))).all():
        raise ModelError(f"labels are not all codes of {', '.join(OUTCOMES)}: 0, 1 or 2.")
    pairs = np.unique(np.stack([episode, label.astype(np.int64)]), axis=1)
    if pairs.shape[1] != len(np.unique(episode)):
        raise ModelError("an episode has two outcomes. Pass each vector its own episode's label.")
