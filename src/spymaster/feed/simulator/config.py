"""What a simulated market looks like: dates, seed, size, windows, signal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from spymaster.errors import ContractError
from spymaster.feed.simulator.venue import CME, Venue, venue_of

#: New York clock times, half-open, as in `[underlier.ES.windows]`.
DEFAULT_WINDOWS: Mapping[str, str] = MappingProxyType(
    {
        "bars": "08:30-16:00",
        "premarket": "05:00-09:30",
        "opening_range": "09:30-09:45",
        "focus": "08:30-12:30",
        "trigger": "09:30-12:30",
        "regular": "09:30-16:00",
    }
)

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


@dataclass(frozen=True)
class SimulationConfig:
    """One simulated market: the same settings give the same bytes.

    `underlier` is "ES" (CME) or "TSLA" (NASDAQ, one stock); `start_price`, `touch_ticks` and
    `barrier_ticks` of 0 are its own. `events_per_session` is a target in records, all futures
    together, `option_events_per_session` in those of the options (0: as many). `resting_orders`
    stand in the front contract's book at the start (0: as many as such a market holds).

    With `signal`, order flow before and just after the touch of a level shows, with probability
    `strength`, where the price will go (else, and without `signal`, it shows the toss of another
    fair coin). A session of fewer than some 20,000 records has a thin book, and its order flow
    imbalance shows little; short `windows` make few records many.

    Oddities, in numbers that real feeds have: `gaps_per_session` jumps of the price past a level
    between two trades, `lost_last_share` of events without F_LAST, `bad_book_per_session` spells
    of a doubtful book with a market snapshot after them. `clear_at_start`: a NASDAQ day begins
    with R; else its orders are cancelled one by one when the day ends.

    Raises ContractError on a value that cannot be simulated.

    >>> SimulationConfig(sessions=0)
    Traceback (most recent call last):
    ...
    spymaster.errors.ContractError: simulate: sessions is 0; allowed: 1 to 2000.
    """

    first_session: date = date(2024, 1, 8)
    sessions: int = 5
    seed: int = 7
    events_per_session: int = 150_000
    contracts: int = 2
    signal: bool = True
    strength: float = 1.0
    windows: Mapping[str, str] = field(default_factory=dict)
    touch_ticks: int = 0
    barrier_ticks: int = 0
    approach_bars: int = 24
    timeout_bars: int = 144
    start_price: float = 0.0
    bad_book_per_session: float = 0.0
    underlier: str = "ES"
    options: int = 0
    option_events_per_session: int = 0
    resting_orders: int = 0
    gaps_per_session: float = 0.5
    lost_last_share: float = 1e-5
    clear_at_start: bool = True
    dbn_version: int = 3

    def __post_init__(self) -> None:
        venue = self.venue
        for name in ("start_price", "touch_ticks", "barrier_ticks"):
            if not getattr(self, name):
                object.__setattr__(self, name, getattr(venue, name))
        _within("sessions", self.sessions, 1, 2000)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("events_per_session", self.events_per_session, 2_000, 200_000_000)
        _within("contracts", self.contracts, 1, 3)
        _within("options", self.options, 0, 5_000 if venue.convention == CME else 0)
        _within("option_events_per_session", self.option_events_per_session, 0, 200_000_000)
        _within("resting_orders", self.resting_orders, 0, 40_000)
        _within("gaps_per_session", self.gaps_per_session, 0.0, 50.0)
        _within("lost_last_share", self.lost_last_share, 0.0, 0.1)
        _within("strength", self.strength, 0.0, 1.0)
        _within("touch_ticks", self.touch_ticks, 1, 100)
        _within("barrier_ticks", self.barrier_ticks, self.touch_ticks + 1, 400)
        _within("approach_bars", self.approach_bars, 1, 720)
        _within("timeout_bars", self.timeout_bars, 1, 2880)
        _within("start_price", self.start_price, venue.lowest_price, venue.highest_price)
        _within("bad_book_per_session", self.bad_book_per_session, 0.0, 20.0)
        _within("dbn_version", self.dbn_version, 1, 3)
        ticks = self.start_price * 1e9 / venue.tick_px
        if abs(ticks - round(ticks)) > 1e-6:
            raise ContractError(
                f"simulate: start_price is {self.start_price}; allowed: multiples of "
                f"{venue.tick_px / 1e9:g}."
            )
        unknown = sorted(set(self.windows) - set(DEFAULT_WINDOWS))
        if unknown:
            raise ContractError(
                f"simulate: unknown window {unknown[0]!r}; allowed: {', '.join(DEFAULT_WINDOWS)}."
            )
        full = {**DEFAULT_WINDOWS, **self.windows}
        for name, text in full.items():
            _clock_pair(name, text)
        object.__setattr__(self, "windows", MappingProxyType(full))

    @property
    def venue(self) -> Venue:
        """The exchange of the underlier."""
        return venue_of(self.underlier)

    def window_seconds(self, name: str) -> tuple[int, int]:
        """A window's start and end, in seconds since midnight in New York."""
        return _clock_pair(name, self.windows[name])


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ContractError(f"simulate: {name} is {value}; allowed: {low} to {high}.")


def _clock_pair(name: str, text: str) -> tuple[int, int]:
    parts = [_CLOCK.fullmatch(part) for part in text.split("-")]
    if len(parts) != 2 or parts[0] is None or parts[1] is None or text[:5] == text[6:]:
        raise ContractError(
            f"simulate: window {name} is {text!r}; allowed: two New York clock times such as "
            "'09:30-12:30'."
        )
    seconds = [
        int(p.group(1)) * 3600 + int(p.group(2)) * 60 + int(p.group(3) or 0) for p in parts if p
    ]
    return seconds[0], seconds[1]
