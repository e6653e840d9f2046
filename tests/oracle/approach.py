"""Episodes: price comes to a level after two minutes on one side, and breaks, rejects or chops."""

from __future__ import annotations

from dataclasses import dataclass

from spymaster.contracts.event import BAR_NS
from spymaster.contracts.silver import LEVEL_TYPES
from tests.oracle.params import ApproachParams

Row = dict[str, object]
Trade = tuple[int, int, int, str, int]


def oracle_episodes(
    bars: list[Row],
    trades: list[Trade],
    levels: list[Row],
    approach: ApproachParams,
    windows: dict[str, tuple[int, int]],
    tick_steps: int,
    *,
    closed_until: int | None = None,
) -> list[Row]:
    """Episodes of all levels in order of trigger, as far as closed bars cover them.

    ``closed_until`` is the end of the last closed bar; by default that of ``bars``.
    """
    if closed_until is None:
        closed_until = max((b["bar_end"] for b in bars), default=0)
    found: list[Row] = []
    for price in sorted({level["level_price"] for level in levels}):
        known = {x["level_type"]: x["known_at"] for x in levels if x["level_price"] == price}
        day = _day(price, bars, trades, windows, closed_until)
        found += _Scan(day, price, known, approach, windows["trigger"], tick_steps).episodes()
    return sorted(found, key=lambda e: (e["trigger_bar"], e["level_price"]))


@dataclass(frozen=True)
class _Bar:
    start: int
    closed: bool
    valid: bool
    trades: list[Trade]


def _day(
    price: int,
    bars: list[Row],
    trades: list[Trade],
    windows: dict[str, tuple[int, int]],
    closed_until: int,
) -> list[_Bar]:
    """Every bar from the bars window's start to focus end, in order; a missing one is not valid."""
    valid = {b["bar_start"]: b["valid"] for b in bars}
    by_bar: dict[int, list[Trade]] = {}
    for trade in trades:
        by_bar.setdefault(trade[4], []).append(trade)
    return [
        _Bar(start, start + BAR_NS <= closed_until, valid.get(start, False), by_bar.get(start, []))
        for start in range(windows["bars"][0], windows["focus"][1], BAR_NS)
    ]


class _Scan:
    """One level price over one day; indices count bars of the day."""

    def __init__(
        self,
        day: list[_Bar],
        price: int,
        known: dict[str, int],
        approach: ApproachParams,
        trigger: tuple[int, int],
        tick_steps: int,
    ) -> None:
        self.day, self.price, self.known, self.rules = day, price, known, approach
        self.trigger, self.tick_steps = trigger, tick_steps
        self.touch = approach.touch_ticks * tick_steps
        self.barrier = approach.barrier_ticks * tick_steps
        self.sides = self._sides()

    def episodes(self) -> list[Row]:
        found: list[Row] = []
        i = earliest = 0
        while i < len(self.day) and len(found) < self.rules.max_episodes:
            hit = self._trigger(i, earliest)
            if hit is None:
                i += 1
                continue
            episode, rho = self._episode(i, *hit)
            if not all(bar.closed for bar in self.day[: rho + 1]):
                break
            found.append(episode)
            i = earliest = rho + 1
        return found

    def _sides(self) -> list[int]:
        """+1 below the level, -1 above it, 0 neither."""
        sides, side = [], 0
        for bar in self.day:
            distances = [self.price - trade[1] for trade in bar.trades]
            if not bar.valid:
                side = 0
            elif distances:
                below = all(d > self.touch for d in distances)
                above = all(-d > self.touch for d in distances)
                side = 1 if below else -1 if above else 0
            sides.append(side)
        return sides

    def _trigger(self, tau: int, earliest: int) -> tuple[int, int] | None:
        """Side and place in the bar of the trade that triggers an episode in bar tau."""
        bar, n = self.day[tau], self.rules.approach_bars
        if not bar.valid or bar.start < min(self.known.values()):
            return None
        if not self.trigger[0] <= bar.start < self.trigger[1] or tau - n < earliest:
            return None
        for s in (1, -1):
            if all(side == s for side in self.sides[tau - n : tau]):
                for place, trade in enumerate(bar.trades):
                    if s * (trade[1] - self.price) >= -self.touch:
                        return s, place
        return None

    def _episode(self, tau: int, s: int, place: int) -> tuple[Row, int]:
        outcome, rho, end, moves = self._outcome(tau, s, place)
        bar, trigger = self.day[tau], self.day[tau].trades[place]
        types = [x for x in LEVEL_TYPES if self.known.get(x, bar.start + 1) <= bar.start]
        row: Row = {
            "level_price": self.price,
            "level_types": types,
            "direction": "FROM_BELOW" if s > 0 else "FROM_ABOVE",
            "trigger_bar": bar.start,
            "trigger_time": trigger[0],
            "trigger_price": trigger[1],
            "outcome": outcome,
            "outcome_bar": self.day[rho].start,
            "outcome_time": end,
            "time_to_outcome_ns": None if end is None else end - trigger[0],
            "favourable_ticks": max(moves) / self.tick_steps,
            "adverse_ticks": max(-m for m in moves) / self.tick_steps,
            "n_vectors": rho - tau,
            "known_at": self.day[rho].start + BAR_NS,
        }
        return row, rho

    def _outcome(
        self, tau: int, s: int, place: int
    ) -> tuple[str | None, int, int | None, list[int]]:
        """Outcome, rho, its time, and s (p - L) of every trade from the trigger on that counts."""
        moves: list[int] = []
        for k in range(tau, len(self.day)):
            bar = self.day[k]
            if not bar.valid:
                return None, k, None, moves
            for trade in bar.trades[place if k == tau else 0 :]:
                moves.append(s * (trade[1] - self.price))
                if moves[-1] >= self.barrier:
                    return "BREAK", k, trade[0], moves
                if moves[-1] <= -self.barrier:
                    return "REJECT", k, trade[0], moves
            if k == tau + self.rules.timeout_bars:
                return "CHOP", k, bar.start + BAR_NS, moves
        return None, len(self.day) - 1, None, moves
