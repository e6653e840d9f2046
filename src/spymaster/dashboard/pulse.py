"""Is the feed alive, is the model answering? What the processes say, and what the topics bring."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from spymaster.contracts.event import BAR_NS

#: A cadence is known from so many arrivals; a bar may be late by half of it, and by this much
#: more than any of them was.
_ARRIVALS, _LATE, _LATER_S = 12, 1.5, 0.25
_AT_ONCE_NS = 50 * 10**6


@dataclass(frozen=True)
class Pulse:
    """How it is. `feed`: no bus, empty, live, stale or ended; `silent_s`: since a bar came.

    `endpoint`: "" while every model answers, or why one does not.
    """

    feed: str
    reason: str = ""
    silent_s: float | None = None
    endpoint: str = ""
    processes: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    def told(self) -> dict[str, Any]:
        """As the page gets it."""
        return asdict(self)

    @property
    def alike(self) -> tuple[Any, ...]:
        """What makes two of them worth telling apart: not the seconds that pass."""
        return (self.feed, self.reason, self.endpoint)


class Cadence:
    """How often bars come: the median of the last gaps between them, in seconds."""

    def __init__(self) -> None:
        self._at: deque[int] = deque(maxlen=_ARRIVALS)

    def heard(self, at: int) -> None:
        """A bar was published at a time, ns UTC; several at once count once."""
        if not self._at or at - self._at[-1] > _AT_ONCE_NS:
            self._at.append(at)

    @property
    def last(self) -> int:
        """When the last one was; 0 before the first."""
        return self._at[-1] if self._at else 0

    @property
    def late_s(self) -> float:
        """After how long a silence the next bar is late; 0 while nobody can tell."""
        gaps = [(b - a) / 1e9 for a, b in pairwise(self._at)]
        if not gaps:
            return 0.0
        usual = min(BAR_NS / 1e9, statistics.median(gaps))
        return min(max(usual, *gaps) + _LATER_S, _LATE * usual)


class Motion:
    """When something that only grows last did, by this machine's clock."""

    def __init__(self) -> None:
        self._seen: object = None
        self.last = 0  #: ns UTC; 0 until it was seen to grow

    def see(self, now_stands: object, at: int) -> None:
        """Where it stands at a time, ns UTC."""
        if self._seen is not None and now_stands != self._seen:
            self.last = at
        self._seen = now_stands


def pulse(
    statuses: Sequence[Mapping[str, Any]],
    bus: tuple[str, str],
    arrived: int,
    late_s: float,
    stale_s: float,
    now: int,
    records: int = 0,
) -> Pulse:
    """Judge. `bus`: the source's state and reason; `arrived`, `records`, `now`: ns UTC, the
    first by the clock of who published the last bar (0: none), the others by this machine's.

    Where an ingestor runs on this root its word counts: it hears the feed's heartbeats. Else a
    feed is stale when no record came on the bus since `records` (0: none ever did), or when its
    next bar is late, after `late_s`.
    """
    shown = tuple(_shown(s) for s in statuses)
    endpoint = "; ".join(
        f"{s['process']}: {s['last_error']}"
        for s in statuses
        if str(s["process"]).startswith("score") and s["runs"] and s.get("last_error")
    )
    state, reason = bus
    silent = max(0, now - arrived) / 1e9 if arrived else None
    if state == "no bus":
        return Pulse("no bus", reason, silent, endpoint, shown)
    ingestors = [s for s in statuses if "dataset" in s]
    if ingestors:
        return _by_ingestors(ingestors, silent, stale_s, endpoint, shown)
    if silent is None:
        return Pulse("empty", "no bar has come yet", None, endpoint, shown)
    if silent > max(stale_s, late_s):
        return Pulse("stale", "no bar comes", silent, endpoint, shown)
    if records and now - records > stale_s * 1e9:
        return Pulse("stale", "no record comes", (now - records) / 1e9, endpoint, shown)
    return Pulse("live", "", silent, endpoint, shown)


def _by_ingestors(
    ingestors: Sequence[Mapping[str, Any]],
    silent: float | None,
    stale_s: float,
    endpoint: str,
    shown: tuple[Mapping[str, Any], ...],
) -> Pulse:
    if all(s.get("state") == "stopped" for s in ingestors):
        return Pulse("ended", "the ingestor has ended", silent, endpoint, shown)
    for s in ingestors:
        name, age = s["dataset"], float(s["age_s"])
        quiet = s.get("silent_s")
        if s.get("state") == "failed":
            return Pulse("stale", f"{name}: the ingestor failed: {s.get('last_error')}", silent,
                         endpoint, shown)  # fmt: skip
        if s.get("state") == "stopped":
            continue
        if not s["runs"] or age > stale_s:
            return Pulse("stale", f"{name}: the ingestor has not been heard of", max(age, 0.0),
                         endpoint, shown)  # fmt: skip
        if s.get("state") != "live" or (quiet is not None and quiet + age > stale_s):
            why = s.get("last_error") or s.get("state")
            told = f"{name}: {'nothing comes' if s.get('state') == 'live' else why}"
            return Pulse("stale", told, (quiet or 0.0) + age, endpoint, shown)
    for s in (s for s in shown if s["process"] == "live" and s["state"] != "stopped"):
        if s["state"] == "failed" or not s["runs"] or s["age_s"] > stale_s:
            return Pulse("stale", "the stream engine has not been heard of", s["age_s"], endpoint,
                         shown)  # fmt: skip
    if silent is None:
        return Pulse("empty", "no bar has come yet", None, endpoint, shown)
    return Pulse("live", "", silent, endpoint, shown)


_KEPT = (
    "process", "state", "runs", "age_s", "records", "records_per_s", "lag_s", "silent_s",
    "behind_messages", "vectors", "scored", "given_up", "model_version", "breaker", "gaps",
    "reconnects", "last_error", "detail",
)  # fmt: skip


def _shown(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: status[name] for name in _KEPT if name in status}
