"""The last bars as vectors look back on them: a ring of 29 quantities over 360 bars.

Unoriented; prices in steps and ticks. An invalid bar is a bar without values.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.compiled import compiled
from spymaster.kernel.features import MEDIAN_BARS, MEDIAN_MIN_BARS, WINDOWS
from spymaster.kernel.layout import I64
from spymaster.kernel.window import enough, median

F64 = NDArray[np.float64]

LONGEST = max(WINDOWS)

# The ring: a row per quantity, oldest bar first. `MID2` is bid + ask in steps.
(
    MID2, SPREAD, MICRO, IMB1, IMB5, OFI, TRADE_IMB, VOLUME, EVENTS,
    ADD_B, ADD_A, PULL_B, PULL_A, DEPTH_B, DEPTH_A, AGE_B, AGE_A, MOVE,
    ADDS, PULLS, TRADES, BEST_SZ, BEST_CT, DEPTH10, DEPTH4, DEPTH20,
    TW_SZ, TW_DEPTH, ORDER,
) = range(29)  # fmt: skip
N_RING = 29
FIRST_MEDIAN = ADDS

# Parameters
P_STEP, P_TICK, P_FOCUS0, P_BARRIER = range(4)


class VectorState(NamedTuple):
    p: I64
    n: I64  # [1] bars in the ring
    ring: F64  # [N_RING, MEDIAN_BARS]
    levels: I64  # [n, 3] as LEVEL


@compiled
def mean_depth(row: Any) -> float:
    both = (row.tw_bid_depth_10 + row.tw_ask_depth_10) / 2.0
    return both if both > 0.0 else np.nan


@compiled
def half_steps(px: float, step: int) -> float:
    """A mid in half-steps, exact again: a whole number."""
    return np.rint(px * 2e9 / step)


@compiled
def micro_lead(row: Any) -> float:
    """Microprice less mid, in spreads: the same number with the other sign in the mirror."""
    return row.imbalance_1 / 2.0


@compiled
def ratio(part: float, whole: float) -> float:
    return part / whole if whole != 0.0 else np.nan


@compiled
def remember(b: VectorState, row: Any) -> None:
    """Push a bar into the ring; an invalid bar is a bar without values."""
    ring, step, tick = b.ring, b.p[P_STEP], float(b.p[P_TICK])
    n = b.n[0]
    before = ring[MID2, n - 1] if n else np.nan
    if n == MEDIAN_BARS:
        ring[:, :-1] = ring[:, 1:]
        n -= 1
    b.n[0] = n + 1
    c = ring[:, n]
    if not row.valid:
        c[:] = np.nan
        return
    c[MID2] = half_steps(row.mid, step)
    c[SPREAD] = np.rint(row.spread * 1e9 / step) / tick
    c[MICRO] = c[SPREAD] * micro_lead(row)
    c[IMB1] = row.imbalance_1
    c[IMB5] = row.imbalance_5
    c[OFI] = row.ofi / mean_depth(row)
    c[TRADE_IMB] = ratio(row.buy_volume - row.sell_volume, row.buy_volume + row.sell_volume)
    c[VOLUME] = row.volume
    c[EVENTS] = row.n_events
    c[ADD_B], c[ADD_A] = row.bid_added_sz, row.ask_added_sz
    c[PULL_B], c[PULL_A] = row.bid_cancelled_sz, row.ask_cancelled_sz
    c[DEPTH_B], c[DEPTH_A] = row.tw_bid_depth_10, row.tw_ask_depth_10
    c[AGE_B], c[AGE_A] = row.bid_queue_age_s, row.ask_queue_age_s
    c[MOVE] = (c[MID2] - before) / (2.0 * tick)
    c[ADDS] = row.bid_added_sz + row.ask_added_sz
    c[PULLS] = row.bid_cancelled_sz + row.ask_cancelled_sz
    c[TRADES] = row.n_trades
    c[BEST_SZ] = (row.bid_sz + row.ask_sz) / 2.0
    c[BEST_CT] = (row.bid_ct + row.ask_ct) / 2.0
    c[DEPTH10] = (row.bid_depth_10 + row.ask_depth_10) / 2.0
    c[DEPTH4] = (row.bid_depth_4t + row.ask_depth_4t) / 2.0
    c[DEPTH20] = (row.bid_depth_20t + row.ask_depth_20t) / 2.0
    c[TW_SZ] = (row.tw_bid_sz + row.tw_ask_sz) / 2.0
    c[TW_DEPTH] = (row.tw_bid_depth_10 + row.tw_ask_depth_10) / 2.0
    c[ORDER] = (row.bid_mean_order_sz + row.ask_mean_order_sz) / 2.0


@compiled
def medians(b: VectorState, out: F64, scratch: F64) -> None:
    n = b.n[0]
    out[:] = np.nan
    out[VOLUME] = median(b.ring[VOLUME], n, MEDIAN_MIN_BARS, scratch)
    out[EVENTS] = median(b.ring[EVENTS], n, MEDIAN_MIN_BARS, scratch)
    for q in range(FIRST_MEDIAN, N_RING):
        out[q] = median(b.ring[q], n, MEDIAN_MIN_BARS, scratch)


@compiled
def volatility_72(b: VectorState) -> float:
    """Root mean square of the change of mid over 72 bars, in ticks."""
    n = b.n[0]
    total = 0.0
    count = 0
    for i in range(max(0, n - LONGEST), n):
        move = b.ring[MOVE, i]
        if not np.isnan(move):
            total += move * move
            count += 1
    return np.sqrt(total / count) if count >= enough(LONGEST) else np.nan
