"""How long to wait before asking again: longer each time, and a breaker when it is of no use."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from spymaster.settings import ScoringSettings


class Patience:
    """Counts failures in a row.

    `wait_s` doubles from `retry_first_s` to `retry_longest_s`, drawn from its upper half. After
    `breaker_failures` the breaker is open: vectors are not sent, and every `breaker_s` the
    endpoint is asked whether it is ready; when it is, vectors go again (half open), and the first
    answer closes it.
    """

    def __init__(
        self, settings: ScoringSettings, chance: Callable[[], float] = random.random
    ) -> None:
        self.failures = 0
        self.since = 0.0  #: of the first failure in a row, monotonic s
        self._settings, self._chance = settings, chance

    @property
    def open(self) -> bool:
        """Whether vectors are kept back until the endpoint says that it is ready."""
        return self.failures >= self._settings.breaker_failures

    def failed(self) -> float:
        """One more failure; the seconds to wait now."""
        s = self._settings
        if not self.failures:
            self.since = time.monotonic()
        self.failures += 1
        if self.open:
            return s.breaker_s
        longest = min(s.retry_longest_s, s.retry_first_s * 2.0 ** (self.failures - 1))
        return longest * (0.5 + 0.5 * self._chance())

    def well(self) -> None:
        """It answered."""
        self.failures = 0
