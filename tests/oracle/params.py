"""What the oracle is told about a contract and its session."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Params:
    """One contract on one session: its units, its windows, its trading hours.

    ``kind`` is FUT, OPT or STK; ``price_step`` 1e-9 currency per step, ``tick_steps`` steps per
    tick; ``origin`` ns; ``windows`` name -> half-open (start, end) ns for the six of
    ``silver.WINDOWS``; ``trading`` half-open (start, end) ns between the calendar's open and close.
    """

    kind: str
    price_step: int
    tick_steps: int
    origin: int
    windows: dict[str, tuple[int, int]]
    trading: list[tuple[int, int]] = field(default_factory=list)
    warm: bool = True

    def in_trading(self, t: int) -> bool:
        return any(start <= t < end for start, end in self.trading)

    def microseconds(self, t: int) -> int:
        return (t - self.origin) // 1000


@dataclass(frozen=True)
class ApproachParams:
    """How near is a touch, how far an outcome (ticks), how long both sides of it last (bars)."""

    touch_ticks: int = 4
    barrier_ticks: int = 24
    approach_bars: int = 24
    timeout_bars: int = 144
    max_episodes: int = 10


@dataclass(frozen=True)
class Watched:
    """How near the levels (steps) the book is of interest, and what was known of them before."""

    touch: int
    previous: PreviousSession | None = None
    session_start: int | None = None


@dataclass(frozen=True)
class PreviousSession:
    """Regular hours of the session before, in price steps; all None if it had no trade."""

    high: int | None
    low: int | None
    last: int | None
