"""One rule before one subject: has its condition held long enough, and the rule been silent?"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from spymaster.alerts.reading import Reading
from spymaster.alerts.rule import Rule, Seen
from spymaster.anomaly import StreamingAnomalies
from spymaster.contracts.event import BAR_NS

_WAYS = {"both": (1, -1), "up": (1,), "down": (-1,)}


class Watch:
    """Sees the readings of a subject in their order, on the feed's time.

    The condition must hold for `bars` readings in a row, without a bar missing between, and for
    `holds_s`. It then gives an alert, and as long as it goes on another after each `cool_down_s`.
    A session begins with nothing seen, but for the cool-down.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._given: int | None = None
        self._begin("")

    def _begin(self, session_date: str) -> None:
        s = self._rule.settings
        self._session, self._run, self._began, self._end = session_date, 0, 0, 0
        self._errors: list[int] = []
        self._anomalies: StreamingAnomalies | None = None
        if s.condition == "anomaly":
            self._anomalies = StreamingAnomalies(1, s.window, s.threshold, s.seasonality, s.trend)

    def see(self, r: Reading) -> Seen | None:
        """Take the next reading; what was seen, where that is worth an alert."""
        if r.session_date != self._session:
            self._begin(r.session_date)
        s = self._rule.settings
        missing = (r.start - self._end) // BAR_NS if r.is_bar and self._end else 0
        self._end = r.end
        value = self._value(r)
        holds, score, baseline = self._holds(value, missing)
        if not holds:
            self._run = 0
            return None
        if self._run == 0 or missing > 0:
            self._run, self._began = 0, r.start
        self._run += 1
        if self._run < s.bars or r.end - self._began < s.holds_s * 1e9:
            return None
        if self._given is not None:
            # Of one time there is one alert, however many messages are of it.
            if r.end <= self._given or r.end - self._given < s.cool_down_s * 1e9:
                return None
        self._given = r.end
        return Seen(self._began, value, score, baseline, self._run)

    def _value(self, r: Reading) -> float | None:
        if "score_errors" not in r.figures:
            return r.figures[self._rule.settings.what]
        since = r.end - self._rule.settings.window * BAR_NS
        self._errors = [t for t in self._errors if t > since] + [r.end]
        return float(len(self._errors))

    def _holds(self, value: float | None, missing: int) -> tuple[bool, float | None, float | None]:
        """Does the condition hold; score and baseline of an anomaly."""
        s = self._rule.settings
        if self._anomalies is None:
            if value is None:
                return False, None, None
            return (value > s.value if s.condition == "above" else value < s.value), None, None
        for _ in range(min(missing, s.window)):  # a bar that never came is a null
            self._anomalies.add([np.nan])
        newest = self._anomalies.add([np.nan if value is None else value])
        enough = self._anomalies.bars >= s.least
        flagged = int(newest.ad_flag[0]) in _WAYS[s.direction]
        score, baseline = float(newest.ad_score[0]), float(newest.baseline[0])
        far = value is not None and abs(value - baseline) >= s.value
        return enough and flagged and far, score, baseline

    def know(self, at: int) -> None:
        """An alert was given at a time, ns UTC, or later ones."""
        self._given = max(at, self._given or at)

    def to_json(self) -> dict[str, Any]:
        """The whole state."""
        window = None
        if self._anomalies is not None:
            window = base64.b64encode(self._anomalies.window.tobytes()).decode()
        return {
            "session": self._session,
            "run": self._run,
            "began": self._began,
            "end": self._end,
            "given": self._given,
            "errors": self._errors,
            "window": window,
        }

    @classmethod
    def restored(cls, rule: Rule, told: Mapping[str, Any]) -> Watch:
        """Go on where `to_json` left off."""
        watch = cls(rule)
        watch._begin(told["session"])
        watch._run, watch._began, watch._end = told["run"], told["began"], told["end"]
        watch._given, watch._errors = told["given"], list(told["errors"])
        if watch._anomalies is not None:
            for value in np.frombuffer(base64.b64decode(told["window"])):
                watch._anomalies.add([value])
        return watch
