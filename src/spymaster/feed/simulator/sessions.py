"""When the simulated exchange trades: sessions, windows, and how busy each second is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas_market_calendars
from numpy.typing import NDArray

from spymaster.errors import SessionError
from spymaster.feed.simulator.config import SimulationConfig
from spymaster.feed.simulator.contract import clock_ns
from spymaster.feed.simulator.venue import NASDAQ

NS = 1_000_000_000
DAY_S = 86_400
#: Orders are taken this long before the open, and may cross.
PREOPEN_S = 900

CLOSED, PREOPEN, OPEN = 0, 1, 2
#: Bits of `SECOND["phase"]`: the windows a second lies in, and what is known in it.
PREMARKET, OPENING_RANGE, REGULAR, TRIGGER, PREMARKET_KNOWN, OPENING_KNOWN = 1, 2, 4, 8, 16, 32
#: A cross is in this second.
CROSS = 64

SECOND = np.dtype([("rate", "<f4"), ("vol", "<f4"), ("phase", "u1"), ("status", "u1")])

#: Share of a session's records that arrive outside the configured windows.
SPARSE_SHARE = 0.04
#: Ticks per square root of a second, inside and outside the windows.
BUSY_VOL, SPARSE_VOL = 0.6, 0.04


@dataclass(frozen=True)
class Session:
    """One trading session: `seconds` holds how it goes, from `start_ns` (the pre-open) on."""

    day: date
    start_ns: int
    seconds: NDArray[np.void]
    short: bool

    @property
    def end_ns(self) -> int:
        return self.start_ns + len(self.seconds) * NS

    @property
    def utc_days(self) -> list[date]:
        first = datetime.fromtimestamp(self.start_ns // NS, UTC).date()
        last = datetime.fromtimestamp((self.end_ns - NS) // NS, UTC).date()
        return [first + timedelta(days=k) for k in range((last - first).days + 1)]


def sessions(config: SimulationConfig) -> list[Session]:
    """The sessions to simulate, holidays and early closes as the exchange had them.

    CME: from the evening's open, after a pre-open, to the close; NASDAQ: with its extended hours.
    """
    stock = config.venue.convention == NASDAQ
    calendar = pandas_market_calendars.get_calendar(config.venue.calendar)
    last = config.first_session + timedelta(days=config.sessions * 2 + 20)
    hours = {"start": "pre", "end": "post"} if stock else {}
    table = calendar.schedule(str(config.first_session), str(last), **hours)[: config.sessions]
    if len(table) < config.sessions:
        raise SessionError(
            f"simulate: {config.venue.calendar} has only {len(table)} sessions from "
            f"{config.first_session} on; "
            f"{config.sessions} were asked for. Choose an earlier first session or fewer."
        )
    return [
        _session(
            config,
            ordinal,
            row.Index.date(),
            _ns(row.pre if stock else row.market_open),
            _ns(row.post if stock else row.market_close),
            (_ns(row.market_open), _ns(row.market_close)) if stock else (),
        )
        for ordinal, row in enumerate(table.itertuples())
    ]


def _ns(at: Any) -> int:
    return int(at.timestamp()) * NS


def _session(
    config: SimulationConfig,
    ordinal: int,
    day: date,
    opens_ns: int,
    closes_ns: int,
    crosses_ns: tuple[int, ...],
) -> Session:
    boundary_s = config.venue.boundary_s
    preopen_s = 0 if crosses_ns else PREOPEN_S
    start_ns = opens_ns - preopen_s * NS
    length = (closes_ns - start_ns) // NS
    seconds = np.zeros(length, SECOND)
    seconds["status"] = OPEN
    seconds["status"][:preopen_s] = PREOPEN
    for cross_ns in crosses_ns:
        seconds["phase"][(cross_ns - start_ns) // NS] |= CROSS
    spans = {
        name: _span(config.window_seconds(name), boundary_s, day, start_ns, length)
        for name in config.windows
    }
    for name, bit in (
        ("premarket", PREMARKET),
        ("opening_range", OPENING_RANGE),
        ("regular", REGULAR),
        ("trigger", TRIGGER),
    ):
        seconds["phase"][slice(*spans[name])] |= bit
    seconds["phase"][spans["premarket"][1] :] |= PREMARKET_KNOWN
    seconds["phase"][spans["opening_range"][1] :] |= OPENING_KNOWN

    busy = slice(
        max(0, min(a for a, _ in spans.values()) - 120),
        min(length, max(b for _, b in spans.values()) + 60),
    )
    weight = np.zeros(length)
    weight[busy] = 1.0
    weight[slice(*spans["premarket"])] = 0.6
    weight[slice(*spans["focus"])] = np.maximum(weight[slice(*spans["focus"])], 1.0)
    weight[slice(*spans["trigger"])] = 3.0
    weight[slice(*spans["opening_range"])] = 4.0
    quiet = np.ones(length, bool)
    quiet[busy] = False
    seconds["vol"] = np.where(quiet, SPARSE_VOL, BUSY_VOL)
    share = SPARSE_SHARE if quiet.any() and not quiet.all() else float(quiet.all())
    rng = np.random.Generator(np.random.PCG64([config.seed, ordinal, 1]))
    _silence(rng, weight, busy)
    sparse = quiet.astype(float)
    _silence(rng, sparse, slice(0, length))
    total = weight[busy].sum()
    rate = np.zeros(length)
    if total > 0:
        rate += (1 - share) * config.events_per_session * weight / total
    if sparse.sum() > 0:
        rate += share * config.events_per_session * sparse / sparse.sum()
    seconds["rate"] = rate
    return Session(day, start_ns, seconds, closes_ns < clock_ns(day, boundary_s))


def _span(
    clock: tuple[int, int], boundary_s: int, day: date, start_ns: int, length: int
) -> tuple[int, int]:
    """A window as a range of a session's seconds: it begins before the session's boundary."""
    begin = clock[0] if clock[0] < boundary_s else clock[0] - DAY_S
    end = begin + (clock[1] - clock[0]) % DAY_S
    first, last = ((clock_ns(day, at) - start_ns) // NS for at in (begin, end))
    return min(max(first, 0), length), min(max(last, 0), length)


def _silence(rng: np.random.Generator, weight: NDArray[np.float64], where: slice) -> None:
    """Every market holds its breath now and then: about once an hour, half a minute and more."""
    span = range(*where.indices(len(weight)))
    for _ in range(math.ceil(len(span) / 3600)):
        begin = span.start + int(rng.random() * max(1, len(span)))
        weight[begin : begin + 15 + int(rng.exponential(25.0))] = 0.0
