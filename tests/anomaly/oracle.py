"""KQL's rules once more, slow and obvious: exact fractions, None for null."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor

Numbers = Sequence[Fraction | None]
N = 2.772605605507915


def known(values: Numbers) -> list[Fraction]:
    return [v for v in values if v is not None]


def median(values: Sequence[Fraction]) -> Fraction:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def percentile(values: Sequence[Fraction], percent: int) -> Fraction:
    ordered = sorted(values)
    at = Fraction(percent, 100) * (len(ordered) - 1)
    k = floor(at)
    above = ordered[min(k + 1, len(ordered) - 1)]
    return ordered[k] + (above - ordered[k]) * (at - k)


def seasonal(values: Numbers, learned: int, period: int) -> list[Fraction | None]:
    if period == 0:
        return [Fraction(0)] * len(values)
    found = []
    for i in range(len(values)):
        same_phase = known([values[k] for k in range(learned) if k % period == i % period])
        found.append(median(same_phase) if same_phase else None)
    return found


def trend(values: Numbers, learned: int, kind: str) -> list[Fraction | None]:
    if kind == "none":
        return [Fraction(0)] * len(values)
    points = [(i, v) for i, v in enumerate(values[:learned]) if v is not None]
    if not points:
        return [None] * len(values)
    n = len(points)
    mean_i = Fraction(sum(i for i, _ in points), n)
    mean_v = sum(v for _, v in points) / Fraction(n)
    slope = Fraction(0)
    if kind == "linefit" and n > 1:
        slope = sum((i - mean_i) * (v - mean_v) for i, v in points) / sum(
            (i - mean_i) ** 2 for i, _ in points
        )
    return [mean_v + slope * (i - mean_i) for i in range(len(values))]


def minus(a: Numbers, b: Numbers) -> list[Fraction | None]:
    return [None if x is None or y is None else x - y for x, y in zip(a, b, strict=True)]


def decompose(
    values: Numbers, period: int, kind: str, test_points: int
) -> tuple[list[Fraction | None], ...]:
    learned = len(values) - test_points
    season = seasonal(values, learned, period)
    line = trend(minus(values, season), learned, kind)
    baseline = [
        None if s is None or t is None else s + t for s, t in zip(season, line, strict=True)
    ]
    return baseline, season, line, minus(values, baseline)


def outliers(values: Numbers, kind: str) -> list[float]:
    there = known(values)
    if not there:
        return [0.0] * len(values)
    low, high, factor = (10, 90, N) if kind == "ctukey" else (25, 75, 1.0)
    lower, upper = percentile(there, low), percentile(there, high)
    scores = []
    for v in values:
        beyond = Fraction(0)
        if v is not None and lower != upper:
            beyond = max(v - upper, Fraction(0)) + min(v - lower, Fraction(0))
            beyond /= upper - lower
        scores.append(factor * float(beyond))
    return scores


def flags(scores: Sequence[float], threshold: float) -> list[int]:
    return [int(s > threshold) - int(s < -threshold) for s in scores]
