"""The simulated exchange at work: session after session, one file per UTC day."""

from __future__ import annotations

import csv
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import databento_dbn as dbn
import numpy as np
from numpy.typing import NDArray

from spymaster.feed.simulator.compiled import advance, snapshot, stock
from spymaster.feed.simulator.config import SimulationConfig
from spymaster.feed.simulator.contract import Contract, active
from spymaster.feed.simulator.dbn import DbnFile, day_start_ns, definition, metadata
from spymaster.feed.simulator.interleave import Interleaver
from spymaster.feed.simulator.market import TICK_PX, TOUCH, Market, new_market
from spymaster.feed.simulator.path import new_plan
from spymaster.feed.simulator.sessions import NS, SPARSE_VOL, Session, sessions

log = logging.getLogger(__name__)

#: A quieter contract's share of the records.
_QUIET_SHARE = 0.06
#: Records per slice of time, so that memory stays small whatever a session's size.
_SLICE = 150_000
_OVERNIGHT_TICKS = 10.0
#: Between the prices of one quarter's contract and the next.
_CARRY_TICKS = 220
_DAY_NS = 86_400 * NS

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Simulation:
    """What was written: DBN files (definitions beside each day), the side file, MBO records."""

    files: list[Path]
    truth: Path
    records: int


@dataclass(frozen=True)
class _Piece:
    """The part of a session that lies in one UTC day: its seconds from `first` to `last`."""

    session: Session
    first: int
    last: int

    def slices(self) -> Iterator[tuple[int, int]]:
        ends = np.cumsum(self.session.seconds["rate"][self.first : self.last], dtype=np.float64)
        cuts = np.flatnonzero(np.diff(np.floor(ends / _SLICE))) + 1
        edges = [self.first, *(self.first + int(c) for c in cuts), self.last]
        yield from itertools.pairwise(edges)


@dataclass
class _Exchange:
    config: SimulationConfig
    markets: dict[Contract, Market] = field(default_factory=dict)
    truth: list[tuple[str, str, str, int, str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan = new_plan(self.config)
        self.touches = np.zeros(1024, TOUCH)
        self.first: int | None = None

    def list_contract(self, contract: Contract) -> Market:
        """A contract begins to trade with the orders of those who waited for it."""
        if contract in self.markets:
            return self.markets[contract]
        if self.first is None:
            self.first = contract.ordinal
        words = np.random.SeedSequence([self.config.seed, contract.ordinal]).generate_state(2)
        seed = int(words[0]) << 32 | int(words[1])
        base = 6_412_700_000_000 + contract.ordinal % 8
        market = new_market(seed, contract.instrument_id, base, 8)
        state = market.state[0]
        state["basis"] = _CARRY_TICKS * (contract.ordinal - self.first)
        state["late_share"] = min(0.001, 40.0 / self.config.events_per_session)
        stock(market, round(float(self.plan[0]["fair"] + state["basis"])), 1)
        self.markets[contract] = market
        return market

    def open_session(self, session: Session) -> None:
        contracts = active(session.day, self.config.contracts)
        for contract in contracts:
            state = self.list_contract(contract).state[0]
            state["leads"] = contract == contracts[0]
            state["tilt"] = 0.0
            busy = max(1, int((session.seconds["vol"] > 2 * SPARSE_VOL).sum()))
            state["bad_rate"] = self.config.bad_book_per_session / busy
        night = np.random.Generator(np.random.PCG64([self.config.seed, session.day.toordinal()]))
        plan = self.plan[0]
        plan["fair"] += _OVERNIGHT_TICKS * night.standard_normal()
        plan["mode"], plan["tilt"], plan["mood"], plan["anchor"] = 0, 0.0, 0.0, plan["fair"]

    def close_session(self, session: Session) -> None:
        for market in self.markets.values():
            market.prior[:] = -1 if session.short else market.extremes[2]
            market.extremes[:] = -1

    def play(self, session: Session, first: int, last: int) -> list[NDArray[np.void]]:
        """The records of a slice of time, one array per contract."""
        contracts = active(session.day, self.config.contracts)
        path = np.zeros(last - first)
        start_ns = session.start_ns + first * NS
        played = []
        for k, contract in enumerate(contracts):
            market = self.markets[contract]
            state = market.state[0]
            share = 1.0 - _QUIET_SHARE * (len(contracts) - 1) if k == 0 else _QUIET_SHARE
            state["recv_limit"] = start_ns // _DAY_NS * _DAY_NS + _DAY_NS - 1
            parts, done = [], False
            while not done:
                done = advance(
                    market,
                    self.plan,
                    self.touches,
                    session.seconds[first:last],
                    path,
                    start_ns,
                    share,
                )
                parts.append(market.out[: int(state["n"])].copy())
                state["n"] = 0
            played.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        self._note_touches(session.day, contracts[0])
        return played

    def snapshots(self, day: date, contracts: list[Contract]) -> list[NDArray[np.void]]:
        """The standing orders at 00:00 UTC; every other day between an R and an F_LAST."""
        midnight = day_start_ns(day)
        taken = []
        for contract in contracts:
            market = self.list_contract(contract)
            before = max(int(market.state[0]["recv"]), midnight - 3600 * NS)
            ts_event = before - 1_234_567_891 if before < midnight else midnight - NS
            n = snapshot(market, midnight, ts_event, day.toordinal() % 2 == 0, 0)
            taken.append(market.out[:n].copy())
        return taken

    def _note_touches(self, day: date, contract: Contract) -> None:
        for touch in self.touches[: int(self.plan[0]["touches"])]:
            side = "from_below" if touch["s"] > 0 else "from_above"
            price = f"{int(touch['level']) * TICK_PX / 1e9:.2f}"
            time, z, w = int(touch["time"]), int(touch["z"]), int(touch["w"])
            self.truth.append((day.isoformat(), contract.symbol, price, time, side, z, w))
        self.plan[0]["touches"] = 0


def simulate(config: SimulationConfig, out: Path, progress: Progress | None = None) -> Simulation:
    """Trades the configured sessions and writes them to `out` as Databento would ship them.

    Per UTC day `es-glbx-mdp3-{yyyymmdd}.mbo.dbn.zst` and `….definition.dbn.zst`, and for tests
    `truth.csv` (what each touch of a level was about). Same configuration, same bytes.
    """
    out.mkdir(parents=True, exist_ok=True)
    days: dict[date, list[_Piece]] = {}
    for session in sessions(config):
        for day in session.utc_days:
            offset = (day_start_ns(day) - session.start_ns) // NS
            first = max(0, offset)
            last = min(len(session.seconds), offset + 86_400)
            days.setdefault(day, []).append(_Piece(session, first, last))
    exchange, files, records = _Exchange(config), [], 0
    for k, (day, pieces) in enumerate(sorted(days.items())):
        if progress is not None:
            progress(k / len(days), f"{day} of {config.sessions} sessions")
        path, rows = _write_day(exchange, day, pieces, out)
        files += [path, _write_definitions(config, day, pieces, out)]
        records += rows
        log.info("simulate %s: %d records", day, rows)
    truth = _write_truth(exchange, out / "truth.csv")
    if progress is not None:
        progress(1.0, f"{records:,} records")
    return Simulation(files, truth, records)


def _write_day(exchange: _Exchange, day: date, pieces: list[_Piece], out: Path) -> tuple[Path, int]:
    config = exchange.config
    contracts = _contracts(config, pieces)
    head = metadata(day, dbn.Schema.MBO, contracts, config.dbn_version)
    tape, rows = Interleaver(), 0
    with DbnFile(out / f"es-glbx-mdp3-{day:%Y%m%d}.mbo.dbn.zst", head) as file:
        for part in exchange.snapshots(day, contracts):
            file.write(part)
            rows += len(part)
        for piece in pieces:
            if piece.first == 0:
                exchange.open_session(piece.session)
            for first, last in piece.slices():
                played = exchange.play(piece.session, first, last)
                merged = tape.merge(played, piece.session.start_ns + last * NS)
                file.write(merged)
                rows += len(merged)
            if piece.last == len(piece.session.seconds):
                exchange.close_session(piece.session)
        rest = tape.merge([], None)
        file.write(rest)
    return file.path, rows + len(rest)


def _write_definitions(
    config: SimulationConfig, day: date, pieces: list[_Piece], out: Path
) -> Path:
    contracts = _contracts(config, pieces)
    head = metadata(day, dbn.Schema.DEFINITION, contracts, config.dbn_version)
    with DbnFile(out / f"es-glbx-mdp3-{day:%Y%m%d}.definition.dbn.zst", head) as file:
        for contract in contracts:
            file.write(definition(day, contract, config.dbn_version))
    return file.path


def _contracts(config: SimulationConfig, pieces: list[_Piece]) -> list[Contract]:
    lists = [active(piece.session.day, config.contracts) for piece in pieces]
    return list(dict.fromkeys(contract for some in lists for contract in some))


def _write_truth(exchange: _Exchange, path: Path) -> Path:
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["session_date", "symbol", "level_price", "time", "direction", "z", "w"])
        writer.writerows(exchange.truth)
    os.replace(part, path)
    return path
