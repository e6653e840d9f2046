"""The rules once more, slow and obvious: each bar looks back over all bars before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spymaster.alerts.reading import Reading
from spymaster.anomaly import series_decompose_anomalies
from spymaster.contracts.event import BAR_NS
from spymaster.settings import RuleSettings

WAYS = {"both": (1, -1), "up": (1,), "down": (-1,)}


def session_before(readings: Sequence[Reading], k: int) -> list[Reading]:
    """The readings up to `k` that belong to its session without another between."""
    first = k
    while first > 0 and readings[first - 1].session_date == readings[k].session_date:
        first -= 1
    return list(readings[first : k + 1])


def holds(rule: RuleSettings, readings: Sequence[Reading], k: int) -> bool:
    """Does the condition hold at reading `k`?"""
    value = readings[k].figures[rule.what]
    if rule.condition != "anomaly":
        if value is None:
            return False
        return value > rule.value if rule.condition == "above" else value < rule.value
    seen = session_before(readings, k)
    grid: list[float] = []
    for i, r in enumerate(seen):
        if i:
            grid += [np.nan] * ((r.start - seen[i - 1].end) // BAR_NS)
        figure = r.figures[rule.what]
        grid.append(np.nan if figure is None else figure)
    window = grid[-rule.window :]
    if len(window) < rule.least:
        return False
    found = series_decompose_anomalies(window, rule.threshold, rule.seasonality, rule.trend)
    far = value is not None and abs(value - float(found.baseline[-1])) >= rule.value
    return far and int(found.ad_flag[-1]) in WAYS[rule.direction]


def alerts(rule: RuleSettings, readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """When a rule gives an alert, and since when its condition has held then."""
    given: list[dict[str, Any]] = []
    held = [holds(rule, readings, k) for k in range(len(readings))]
    for k, r in enumerate(readings):
        seen = session_before(readings, k)
        first = k
        while (
            first > k + 1 - len(seen)
            and held[first - 1]
            and readings[first].start == readings[first - 1].end
        ):
            first -= 1
        run = k - first + 1
        if not held[k] or run < rule.bars or r.end - readings[first].start < rule.holds_s * 1e9:
            continue
        if given and r.end - given[-1]["at"] < rule.cool_down_s * 1e9:
            continue
        given.append({"at": r.end, "began_at": readings[first].start, "times": run})
    return given
