"""Which deployment takes a request that names none: shares in percent, exact over a hundred."""

from __future__ import annotations

from collections.abc import Mapping


class Traffic:
    """Deals requests out by smooth weighted round robin, so that shares hold over short runs too.

    >>> deal = Traffic({"blue": 75, "green": 25})
    >>> [deal.next() for _ in range(8)]
    ['blue', 'blue', 'green', 'blue', 'blue', 'blue', 'green', 'blue']
    """

    def __init__(self, percent: Mapping[str, int]) -> None:
        self._percent = {name: share for name, share in percent.items() if share}
        self._owed = dict.fromkeys(self._percent, 0)
        self._only = next(iter(self._percent)) if len(self._percent) == 1 else None

    def next(self) -> str:
        """The name of the deployment whose turn it is."""
        if self._only is not None:
            return self._only
        for name, share in self._percent.items():
            self._owed[name] += share
        chosen = max(self._owed, key=lambda name: self._owed[name])
        self._owed[chosen] -= 100
        return chosen
