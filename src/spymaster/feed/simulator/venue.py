"""What differs between exchanges: dataset, hours, prices, and how a fill or a change is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from spymaster.errors import ContractError

CME, NASDAQ = 0, 1


@dataclass(frozen=True)
class Venue:
    """One underlier at its exchange.

    `convention` is CME (T, F, then C or M of one event; a snapshot opens each UTC day) or NASDAQ
    (no M, partial C, F_LAST on each of T, F and C; R at the session's start, no snapshots).
    `unit` is how many ticks mean what one tick means for ES; `boundary_s` the New York second of
    the day at which sessions change. `tick_px` is in 1e-9.
    """

    underlier: str
    convention: int
    dataset: str
    publisher: int
    calendar: str
    stem: str
    tick_px: int
    unit: float
    boundary_s: int
    start_price: float
    lowest_price: float
    highest_price: float
    touch_ticks: int
    barrier_ticks: int


VENUES: Mapping[str, Venue] = MappingProxyType(
    {
        "ES": Venue(
            underlier="ES",
            convention=CME,
            dataset="GLBX.MDP3",
            publisher=1,
            calendar="CME_Equity",
            stem="es-glbx-mdp3",
            tick_px=250_000_000,
            unit=1.0,
            boundary_s=17 * 3600,
            start_price=4800.0,
            lowest_price=1000.0,
            highest_price=12000.0,
            touch_ticks=4,
            barrier_ticks=24,
        ),
        "TSLA": Venue(
            underlier="TSLA",
            convention=NASDAQ,
            dataset="XNAS.ITCH",
            publisher=2,
            calendar="NASDAQ",
            stem="tsla-xnas-itch",
            tick_px=10_000_000,
            unit=6.0,
            boundary_s=20 * 3600,
            start_price=240.0,
            lowest_price=100.0,
            highest_price=500.0,
            touch_ticks=20,
            barrier_ticks=150,
        ),
    }
)


def venue_of(underlier: str) -> Venue:
    """The venue of an underlier that can be simulated.

    >>> venue_of("TSLA").dataset
    'XNAS.ITCH'
    """
    if underlier not in VENUES:
        raise ContractError(
            f"simulate: underlier is {underlier!r}; allowed: {', '.join(VENUES)}."
            " Choose one of them with --underlier."
        )
    return VENUES[underlier]
