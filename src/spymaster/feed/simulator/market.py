"""One contract's market as a handful of arrays: orders, queues, clock, what is written next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.dbn_records import MBO_RECORD
from spymaster.feed.simulator.draws import Words
from spymaster.feed.simulator.venue import Venue

#: Prices are whole ticks from 0, so that a price is its own place on the ladder.
LADDER = 1 << 16
ORDERS = 1 << 16
OUT = 1 << 18
#: The most records that one action may write.
ROOM = 1 << 14

BID, ASK, NOBODY = 0, 1, 2

ORDER = np.dtype(
    [
        ("id", "<i8"),
        ("px", "<i4"),
        ("size", "<i4"),
        ("hidden", "<i4"),
        ("prev", "<i4"),
        ("next", "<i4"),
        ("side", "<i4"),
    ]
)

STATE = np.dtype(
    [
        ("now", "<i8"),
        ("second", "<i8"),
        ("entered", "<i8"),
        ("status", "<i8"),
        ("phase", "<i8"),
        ("bid", "<i8"),
        ("ask", "<i8"),
        ("free", "<i8"),
        ("live", "<i8"),
        ("id_next", "<i8"),
        ("id_step", "<i8"),
        ("instrument_id", "<i8"),
        ("convention", "<i8"),
        ("publisher", "<i8"),
        ("tick_px", "<i8"),
        ("event", "<i8"),
        ("packet", "<i8"),
        ("packet_event", "<i8"),
        ("packet_delta", "<i8"),
        ("recv", "<i8"),
        ("recv_limit", "<i8"),
        ("n", "<i8"),
        ("event_from", "<i8"),
        ("bad_until", "<i8"),
        ("leads", "<i8"),
        ("basis", "<f8"),
        ("fair", "<f8"),
        ("depth", "<f8"),
        ("tilt", "<f8"),
        ("per_action", "<f8"),
        ("late_share", "<f8"),
        ("bad_rate", "<f8"),
        ("jump", "<f8"),
        ("unit", "<f8"),
        ("deep", "<f8"),
        ("lost_share", "<f8"),
    ]
)

#: What a touch of a level was about, written when it happens.
TOUCH = np.dtype([("time", "<i8"), ("level", "<i8"), ("s", "<i8"), ("z", "<i8"), ("w", "<i8")])


class Market(NamedTuple):
    """One contract: `head`, `tail`, `held`, `qty` are [side, tick]; orders are linked in time."""

    state: NDArray[np.void]
    rng: Words
    orders: NDArray[np.void]
    head: NDArray[np.int32]
    tail: NDArray[np.int32]
    held: NDArray[np.int32]
    qty: NDArray[np.int64]
    fills: NDArray[np.int64]
    extremes: NDArray[np.int64]
    prior: NDArray[np.int64]
    out: NDArray[np.void]


def new_market(venue: Venue, seed: int, instrument_id: int, first_id: int, id_step: int) -> Market:
    """An empty market.

    `extremes` is [premarket, opening range, regular][high, low, last]; `prior` the regular hours
    of the session before; -1 is unknown.
    """
    state = np.zeros(1, STATE)
    state["instrument_id"], state["id_next"], state["id_step"] = instrument_id, first_id, id_step
    state["ask"] = LADDER - 1
    state["convention"], state["publisher"] = venue.convention, venue.publisher
    state["tick_px"], state["unit"] = venue.tick_px, venue.unit
    state["per_action"] = 1.6
    orders = np.zeros(ORDERS, ORDER)
    orders["next"] = np.arange(1, ORDERS + 1)
    return Market(
        state=state,
        rng=np.array([seed], np.uint64),
        orders=orders,
        head=np.full((2, LADDER), -1, np.int32),
        tail=np.full((2, LADDER), -1, np.int32),
        held=np.zeros((2, LADDER), np.int32),
        qty=np.zeros((2, LADDER), np.int64),
        fills=np.zeros((ROOM // 4, 3), np.int64),
        extremes=np.full((3, 3), -1, np.int64),
        prior=np.full(3, -1, np.int64),
        out=np.zeros(OUT, MBO_RECORD),
    )
