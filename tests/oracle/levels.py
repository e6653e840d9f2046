"""The prices traders watch, and since when they could."""

from __future__ import annotations

from collections.abc import Iterable

from tests.oracle.params import PreviousSession


def oracle_levels(
    trades: Iterable[tuple],
    windows: dict[str, tuple[int, int]],
    previous: PreviousSession | None = None,
    session_start: int | None = None,
) -> list[dict[str, object]]:
    """Levels of a session in price steps, each with ``known_at`` (ns).

    Says nothing about whether the feed has come as far as ``known_at``: an episode cares.

    >>> windows = {"premarket": (0, 10), "opening_range": (10, 20)}
    >>> for level in oracle_levels([(3, 100, 1, "B", 0), (9, 98, 1, "A", 0)], windows):
    ...     print(*level.values())
    PM_HIGH 100 10
    PM_LOW 98 10
    """
    trades = list(trades)
    found = []
    for prefix, window in (("PM", "premarket"), ("OR", "opening_range")):
        start, end = windows[window]
        prices = [price for t, price, *_ in trades if start <= t < end]
        if prices:
            found += [(f"{prefix}_HIGH", max(prices), end), (f"{prefix}_LOW", min(prices), end)]
    if previous is not None:
        if session_start is None:
            raise ValueError("levels of the previous session need session_start")
        for level_type, price in (
            ("PD_HIGH", previous.high),
            ("PD_LOW", previous.low),
            ("PD_CLOSE", previous.last),
        ):
            if price is not None:
                found.append((level_type, price, session_start))
    names = ("level_type", "level_price", "known_at")
    return [dict(zip(names, level, strict=True)) for level in found]
