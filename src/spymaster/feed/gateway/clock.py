"""What time it is on the feed: paced by the wall clock, or by whoever reads fastest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spymaster.feed.gateway.batch import Batch, Longs


@dataclass(frozen=True)
class Now:
    """Where the feed stood when a session began: what is past lies before either of these.

    position: a record's number in the feed; key: ns UTC. time: the clock's own, ns UTC.
    """

    position: int
    key: int
    time: int

    def past(self, batch: Batch) -> int:
        """How many of a batch's records are past."""
        by_time = int(np.searchsorted(batch.keys, self.key, "left"))
        return max(by_time, min(max(self.position - batch.first, 0), len(batch)))


class Clock(Protocol):
    """The feed's time."""

    def start(self) -> Now:
        """A session begins; the first one starts the clock."""

    def time(self) -> int:
        """Now, ns UTC."""

    def due(self, keys: Longs) -> int:
        """How many records, by their keys, are due now."""

    def wait_ns(self, key: int) -> int:
        """Wall time until a key is due, ns."""

    def lag_ns(self, key: int) -> int:
        """Wall time since a key was due, ns."""

    def played(self, position: int, key: int) -> None:
        """Records up to a position, the last of them due at `key`, have been sent."""


class PacedClock:
    """The feed's time runs `speed` times as fast as the wall's (ns), from `begin` on."""

    def __init__(self, begin: int, speed: float, skip: bool, wall: Callable[[], int]) -> None:
        self._begin, self._speed, self._wall = begin, speed, wall
        self._first_key = begin if skip else 0
        self._started: int | None = None
        self._lock = threading.Lock()

    def start(self) -> Now:
        with self._lock:
            if self._started is None:
                self._started = self._wall()
                return Now(0, self._first_key, self._begin)
        now = self.time()
        return Now(0, now + 1, now)

    def time(self) -> int:
        if self._started is None:
            return self._begin
        return self._begin + int((self._wall() - self._started) * self._speed)

    def due(self, keys: Longs) -> int:
        return int(np.searchsorted(keys, self.time(), "right"))

    def wait_ns(self, key: int) -> int:
        return max(0, int((key - self.time()) / self._speed) + 1)

    def lag_ns(self, key: int) -> int:
        return max(0, int((self.time() - key) / self._speed))

    def played(self, position: int, key: int) -> None:
        pass


class FreeClock:
    """The feed's time is that of the furthest record sent to anybody; nobody waits."""

    def __init__(self, begin: int, skip: bool) -> None:
        self._position, self._time = 0, begin
        self._first_key = begin if skip else 0
        self._lock = threading.Lock()

    def start(self) -> Now:
        with self._lock:
            return Now(self._position, self._first_key, self._time)

    def time(self) -> int:
        return self._time

    def due(self, keys: Longs) -> int:
        return len(keys)

    def wait_ns(self, key: int) -> int:
        return 0

    def lag_ns(self, key: int) -> int:
        return 0

    def played(self, position: int, key: int) -> None:
        with self._lock:
            if position > self._position:
                self._position, self._time = position, max(self._time, key)
