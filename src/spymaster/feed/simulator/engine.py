"""The simulated exchange at work: session after session, one file per UTC day."""

from __future__ import annotations

import csv
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from spymaster.feed.simulator.config import SimulationConfig
from spymaster.feed.simulator.day_file import DayFile
from spymaster.feed.simulator.definitions import day_start_ns
from spymaster.feed.simulator.exchange import Exchange
from spymaster.feed.simulator.sessions import NS, Session, sessions

log = logging.getLogger(__name__)

#: Records per slice of time, so that memory stays small whatever a session's size.
_SLICE = 150_000
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


def simulate(config: SimulationConfig, out: Path, progress: Progress | None = None) -> Simulation:
    """Trades the configured sessions and writes them to `out` as Databento would ship them.

    Per UTC day `es-glbx-mdp3-{yyyymmdd}.mbo.dbn.zst` and `….definition.dbn.zst`, the same as
    `es-opt-…` with options, or `tsla-xnas-itch-…`; and for tests
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
    exchange, files, records = Exchange(config), [], 0
    for k, (day, pieces) in enumerate(sorted(days.items())):
        if progress is not None:
            progress(k / len(days), f"{day} of {config.sessions} sessions")
        paths, rows = _write_day(exchange, day, pieces, out)
        files += paths
        records += rows
        log.info("simulate %s: %d records", day, rows)
    truth = _write_truth(exchange, out / "truth.csv")
    if progress is not None:
        progress(1.0, f"{records:,} records")
    return Simulation(files, truth, records)


def _write_day(
    exchange: Exchange, day: date, pieces: list[_Piece], out: Path
) -> tuple[list[Path], int]:
    stem = exchange.config.venue.stem
    days = [piece.session.day for piece in pieces]
    with (
        DayFile(exchange, day, days, out, stem, exchange.instruments) as main,
        DayFile(exchange, day, days, out, "es-opt-glbx-mdp3", exchange.options) as options,
    ):
        main.write(exchange.snapshots(day, main.instruments))
        options.write(exchange.option_snapshots(day))
        for piece in pieces:
            session = piece.session
            if piece.first == 0:
                main.merge(exchange.open_session(session), None)
            for first, last in piece.slices():
                until = session.start_ns + last * NS
                played, quoted = exchange.play(session, first, last)
                main.merge(played, until)
                options.merge(quoted, until)
            if piece.last == len(session.seconds):
                main.merge(exchange.close_session(session), None)
    return main.paths + options.paths, main.rows + options.rows


def _write_truth(exchange: Exchange, path: Path) -> Path:
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["session_date", "symbol", "level_price", "time", "direction", "z", "w"])
        writer.writerows(exchange.truth)
    os.replace(part, path)
    return path
