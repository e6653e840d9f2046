"""The simulated exchange: what is listed, the session's open and close, a slice of time at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.simulator.chain import Option, chain
from spymaster.feed.simulator.compiled import advance, begin_day, snapshot, stock, withdraw
from spymaster.feed.simulator.config import SimulationConfig
from spymaster.feed.simulator.contract import Listed, active
from spymaster.feed.simulator.definitions import DAY_NS, Defined, day_start_ns
from spymaster.feed.simulator.market import TOUCH, Market, new_market
from spymaster.feed.simulator.option_desk import OptionDesk
from spymaster.feed.simulator.path import new_plan
from spymaster.feed.simulator.sessions import NS, SPARSE_VOL, TRIGGER, Session
from spymaster.feed.simulator.venue import NASDAQ

#: A quieter contract's share of the records, and of the resting orders.
_QUIET_SHARE, _QUIET_BOOK = 0.06, 0.25
_OVERNIGHT_TICKS = 10.0
#: Between the prices of one quarter's contract and the next.
_CARRY_TICKS = 220

Rows = NDArray[Any]


@dataclass
class Exchange:
    """All markets of one simulation, from its first session to its last."""

    config: SimulationConfig
    markets: dict[Listed, Market] = field(default_factory=dict)
    truth: list[tuple[str, str, str, int, str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan = new_plan(self.config)
        self.touches = np.zeros(1024, TOUCH)
        self.first: int | None = None
        self.desk = OptionDesk(self.config.seed)

    def instruments(self, session: date) -> list[Listed]:
        """The futures or the stock of a session, the busiest first."""
        return active(self.config.venue, session, self.config.contracts)

    def options(self, session: date) -> list[Option]:
        """The options of a session."""
        if not self.config.options:
            return []
        return chain(session, self.config.options, self.config.start_price)

    def list_contract(self, contract: Listed) -> Market:
        """A contract begins to trade with the orders of those who waited for it."""
        if contract in self.markets:
            return self.markets[contract]
        config, venue = self.config, self.config.venue
        quiet = 1.0 if self.first is None else _QUIET_BOOK
        if self.first is None:
            self.first = contract.ordinal
        words = np.random.SeedSequence([config.seed, contract.ordinal]).generate_state(2)
        seed = int(words[0]) << 32 | int(words[1])
        base = 6_412_700_000_000 + contract.ordinal % 8
        market = new_market(venue, seed, contract.instrument_id, base, 8)
        state = market.state[0]
        state["basis"] = _CARRY_TICKS * (contract.ordinal - self.first)
        state["late_share"] = min(0.001, 40.0 / config.events_per_session)
        state["lost_share"], state["deep"] = config.lost_last_share, 1.5
        if venue.convention != NASDAQ:
            middle = round(float(self.plan[0]["fair"] + state["basis"]))
            stock(market, middle, 1, int(self._resting() * quiet))
        self.markets[contract] = market
        return market

    def _resting(self) -> int:
        busy = self.config.events_per_session // 20
        stock_market = self.config.venue.convention == NASDAQ
        return self.config.resting_orders or (
            min(4_000, 300 + busy) if stock_market else min(10_000, 1_700 + busy)
        )

    def open_session(self, session: Session) -> list[Rows]:
        """A night has passed. Returns what the feed says before the first trader acts."""
        contracts = self.instruments(session.day)
        seconds = session.seconds
        for contract in contracts:
            state = self.list_contract(contract).state[0]
            state["leads"] = contract == contracts[0]
            state["tilt"] = 0.0
            busy = max(1, int((seconds["vol"] > 2 * SPARSE_VOL).sum()))
            state["bad_rate"] = self.config.bad_book_per_session / busy
        night = np.random.Generator(np.random.PCG64([self.config.seed, session.day.toordinal()]))
        plan = self.plan[0]
        plan["fair"] += _OVERNIGHT_TICKS * plan["unit"] * night.standard_normal()
        plan["mode"], plan["tilt"], plan["mood"], plan["anchor"] = 0, 0.0, 0.0, plan["fair"]
        trigger = max(1, int((seconds["phase"] & TRIGGER > 0).sum()))
        plan["gap_rate"], plan["gap_due"] = self.config.gaps_per_session / trigger, 0
        self.desk.list_options(self.options(session.day))
        if self.config.venue.convention != NASDAQ:
            return []
        return [self._begin_day(self.markets[c], session) for c in contracts]

    def _begin_day(self, market: Market, session: Session) -> Rows:
        state = market.state[0]
        state["now"] = session.start_ns - NS
        state["recv_limit"] = session.start_ns - 1
        middle = round(float(self.plan[0]["fair"]))
        begin_day(market, middle, self._resting(), self.config.clear_at_start)
        return _taken(market)

    def close_session(self, session: Session) -> list[Rows]:
        """The day is over. Returns what the feed says after the last trader acted."""
        said = []
        for market in self.markets.values():
            market.prior[:] = -1 if session.short else market.extremes[2]
            market.extremes[:] = -1
            if self.config.venue.convention == NASDAQ:
                withdraw(market, not self.config.clear_at_start)
                said.append(_taken(market))
        return said

    def play(self, session: Session, first: int, last: int) -> tuple[list[Rows], list[Rows]]:
        """The records of a slice of time, one array per contract; and those of the options."""
        contracts = self.instruments(session.day)
        path = np.zeros(last - first)
        start_ns = session.start_ns + first * NS
        limit = start_ns // DAY_NS * DAY_NS + DAY_NS - 1
        seconds = session.seconds[first:last]
        played = []
        for k, contract in enumerate(contracts):
            market = self.markets[contract]
            state = market.state[0]
            share = 1.0 - _QUIET_SHARE * (len(contracts) - 1) if k == 0 else _QUIET_SHARE
            state["recv_limit"] = limit
            parts, done = [], False
            while not done:
                done = advance(market, self.plan, self.touches, seconds, path, start_ns, share)
                parts.append(_taken(market))
            played.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        self._note_touches(session.day, contracts[0])
        if not self.config.options:
            return played, []
        front = path + float(self.markets[contracts[0]].state[0]["basis"])
        points = front * self.config.venue.tick_px / 1e9
        wanted = self.config.option_events_per_session or self.config.events_per_session
        ratio = wanted / self.config.events_per_session
        return played, [self.desk.play(seconds, points, start_ns, ratio, limit)]

    def snapshots(self, day: date, contracts: Sequence[Defined]) -> list[Rows]:
        """The standing orders at 00:00 UTC; every other day between an R and an F_LAST.

        NASDAQ's feed has none: its day begins with R, and what stands at midnight UTC, within the
        extended hours, is known only to who read the day before.
        """
        if self.config.venue.convention == NASDAQ:
            return []
        midnight = day_start_ns(day)
        taken = []
        for contract in contracts:
            market = self.list_contract(contract)  # type: ignore[arg-type]
            before = max(int(market.state[0]["recv"]), midnight - 3600 * NS)
            ts_event = before - 1_234_567_891 if before < midnight else midnight - NS
            n = snapshot(market, midnight, ts_event, day.toordinal() % 2 == 0, 0)
            taken.append(market.out[:n].copy())
        return taken

    def option_snapshots(self, day: date) -> list[Rows]:
        """The standing orders of the options at 00:00 UTC."""
        return [self.desk.snapshot(day_start_ns(day))]

    def _note_touches(self, day: date, contract: Listed) -> None:
        for touch in self.touches[: int(self.plan[0]["touches"])]:
            side = "from_below" if touch["s"] > 0 else "from_above"
            price = f"{int(touch['level']) * self.config.venue.tick_px / 1e9:.2f}"
            time, z, w = int(touch["time"]), int(touch["z"]), int(touch["w"])
            self.truth.append((day.isoformat(), contract.symbol, price, time, side, z, w))
        self.plan[0]["touches"] = 0


def _taken(market: Market) -> Rows:
    rows = market.out[: int(market.state[0]["n"])].copy()
    market.state[0]["n"] = 0
    return rows
