"""A bar of 5 seconds: what traded, and the book at its close. Floats begin here.

Integers are divided once, in the order written (domain, section 4), so that every engine
and machine gets the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import BAR_NS, BOOK_LEVELS, SIDE_ASK, SIDE_BID
from spymaster.kernel import ladder
from spymaster.kernel.book import NEAR_TICKS, micros
from spymaster.kernel.compiled import hot, seldom
from spymaster.kernel.layout import (
    A_BACKWARDS,
    A_BUY,
    A_CLOSE,
    A_CROSSED,
    A_DRIFT,
    A_EVENTS,
    A_FLOW_CT,
    A_FLOW_SZ,
    A_HIGH,
    A_HIGH_T,
    A_LOST_LAST,
    A_LOW,
    A_LOW_T,
    A_MLOFI,
    A_NS_BOOK,
    A_OLD_SZ,
    A_OPEN,
    A_PX_SZ,
    A_SELL,
    A_TRADES,
    A_TW_DEPTH,
    A_TW_MID2,
    A_TW_SPREAD,
    A_TW_SZ,
    A_UNKNOWN,
    A_VOLUME,
    ADDED,
    ASK,
    BID,
    CANCELLED,
    EXECUTED,
    L_AGE,
    L_CT,
    L_KEY,
    L_KNOWN,
    L_SZ,
    NONE,
    P_STEP,
    P_TICK,
    P_WARM,
    REFILLED,
    S_BAR,
    S_DIRTY,
    S_GOOD,
    S_INIT_T,
    S_LARGEST_STEPS,
    S_LARGEST_SZ,
    S_N_BID,
    BookState,
)
from spymaster.kernel.level_book import WATCH_ON, close_levels, no_levels
from spymaster.kernel.sample import weigh


@hot
def trade(b: BookState, record: Any, t: int) -> None:
    """T: counts in price and volume whoever was the aggressor, in buys and sells if one was."""
    acc = b.acc
    price, sz = record.price, record.size
    if acc[A_TRADES] == 0:
        acc[A_OPEN] = price
    if acc[A_TRADES] == 0 or price > acc[A_HIGH]:
        acc[A_HIGH] = price
        acc[A_HIGH_T] = t
    if acc[A_TRADES] == 0 or price < acc[A_LOW]:
        acc[A_LOW] = price
        acc[A_LOW_T] = t
    acc[A_CLOSE] = price
    acc[A_TRADES] += 1
    acc[A_VOLUME] += sz
    acc[A_PX_SZ] += price * sz
    if record.side == SIDE_BID:
        acc[A_BUY] += sz
    elif record.side == SIDE_ASK:
        acc[A_SELL] += sz


@hot
def _trades(b: BookState, row: Any) -> None:
    acc, step = b.acc, b.p[P_STEP]
    if acc[A_TRADES] > 0:
        row.open = (acc[A_OPEN] * step) / 1e9
        row.high = (acc[A_HIGH] * step) / 1e9
        row.low = (acc[A_LOW] * step) / 1e9
        row.close = (acc[A_CLOSE] * step) / 1e9
        row.high_time = acc[A_HIGH_T]
        row.low_time = acc[A_LOW_T]
    else:
        row.open = np.nan
        row.high = np.nan
        row.low = np.nan
        row.close = np.nan
        row.high_time = NONE
        row.low_time = NONE
    row.volume = acc[A_VOLUME]
    row.buy_volume = acc[A_BUY]
    row.sell_volume = acc[A_SELL]
    row.n_trades = acc[A_TRADES]
    row.vwap = acc[A_PX_SZ] / acc[A_VOLUME] * step / 1e9 if acc[A_VOLUME] > 0 else np.nan
    row.notional = float(acc[A_PX_SZ]) * step / 1e9


@hot
def _imbalance(bid: int, ask: int) -> float:
    return (bid - ask) / (bid + ask)


@hot
def _within(b: BookState, side: int, mid2: int, ticks: int) -> int:
    """Size on a side within some ticks of mid."""
    total = 0
    sign = 1 if side == BID else -1
    reach = 2 * ticks * b.p[P_TICK]
    for i in range(b.s[S_N_BID + side] - 1, -1, -1):
        if abs(2 * sign * b.keys[side, i] - mid2) > reach:
            break
        total += b.levels[b.slots[side, i], L_SZ]
    return total


@hot
def _best(b: BookState, side: int, what: int) -> int:
    """A number of a side's best level; there is one."""
    return b.levels[b.slots[side, b.s[S_N_BID + side] - 1], what]


@hot
def _book_at_close(b: BookState, row: Any) -> bool:
    """Fill in the book; returns whether it is two-sided and uncrossed."""
    s, step = b.s, b.p[P_STEP]
    n_bid, n_ask = s[S_N_BID], s[S_N_BID + 1]
    row.bid_px = (_best(b, BID, L_KEY) * step) / 1e9 if n_bid else np.nan
    row.ask_px = (-_best(b, ASK, L_KEY) * step) / 1e9 if n_ask else np.nan
    row.bid_sz = _best(b, BID, L_SZ) if n_bid else 0
    row.ask_sz = _best(b, ASK, L_SZ) if n_ask else 0
    row.bid_ct = _best(b, BID, L_CT) if n_bid else 0
    row.ask_ct = _best(b, ASK, L_CT) if n_ask else 0
    bid_10 = ladder.size_of_best(b, BID, BOOK_LEVELS)
    ask_10 = ladder.size_of_best(b, ASK, BOOK_LEVELS)
    row.bid_depth_10 = bid_10
    row.ask_depth_10 = ask_10
    if n_bid and n_ask and _best(b, BID, L_KEY) < -_best(b, ASK, L_KEY):
        bid, ask = _best(b, BID, L_KEY), -_best(b, ASK, L_KEY)
        q_b, q_a = _best(b, BID, L_SZ), _best(b, ASK, L_SZ)
        row.mid = ((bid + ask) * step) / 2e9
        row.spread = ((ask - bid) * step) / 1e9
        row.microprice = (bid * q_a + ask * q_b) / (q_a + q_b) * step / 1e9
        row.imbalance_1 = _imbalance(q_b, q_a)
        row.imbalance_3 = _imbalance(ladder.size_of_best(b, BID, 3), ladder.size_of_best(b, ASK, 3))
        row.imbalance_5 = _imbalance(ladder.size_of_best(b, BID, 5), ladder.size_of_best(b, ASK, 5))
        row.imbalance_10 = _imbalance(bid_10, ask_10)
        row.bid_depth_4t = _within(b, BID, bid + ask, 4)
        row.ask_depth_4t = _within(b, ASK, bid + ask, 4)
        row.bid_depth_8t = _within(b, BID, bid + ask, 8)
        row.ask_depth_8t = _within(b, ASK, bid + ask, 8)
        row.bid_depth_20t = _within(b, BID, bid + ask, 20)
        row.ask_depth_20t = _within(b, ASK, bid + ask, 20)
        return True
    row.mid = np.nan
    row.spread = np.nan
    row.microprice = np.nan
    row.imbalance_1 = np.nan
    row.imbalance_3 = np.nan
    row.imbalance_5 = np.nan
    row.imbalance_10 = np.nan
    row.bid_depth_4t = NONE
    row.ask_depth_4t = NONE
    row.bid_depth_8t = NONE
    row.ask_depth_8t = NONE
    row.bid_depth_20t = NONE
    row.ask_depth_20t = NONE
    return False


@hot
def _time_weighted(b: BookState, row: Any) -> None:
    acc, step = b.acc, b.p[P_STEP]
    ns = acc[A_NS_BOOK]
    row.ns_book = ns
    row.tw_mid = acc[A_TW_MID2] / ns * step / 2e9 if ns else np.nan
    row.tw_spread = acc[A_TW_SPREAD] / ns * step / 1e9 if ns else np.nan
    row.tw_bid_sz = acc[A_TW_SZ + BID] / 5e9
    row.tw_ask_sz = acc[A_TW_SZ + ASK] / 5e9
    row.tw_bid_depth_10 = acc[A_TW_DEPTH + BID] / 5e9
    row.tw_ask_depth_10 = acc[A_TW_DEPTH + ASK] / 5e9


@hot
def _flow(b: BookState, row: Any) -> None:
    acc = b.acc
    row.ofi = acc[A_MLOFI]
    row.mlofi_1 = acc[A_MLOFI]
    row.mlofi_2 = acc[A_MLOFI + 1]
    row.mlofi_3 = acc[A_MLOFI + 2]
    row.mlofi_4 = acc[A_MLOFI + 3]
    row.mlofi_5 = acc[A_MLOFI + 4]
    row.bid_added_sz = acc[A_FLOW_SZ + 2 * ADDED + BID]
    row.ask_added_sz = acc[A_FLOW_SZ + 2 * ADDED + ASK]
    row.bid_added_ct = acc[A_FLOW_CT + 2 * ADDED + BID]
    row.ask_added_ct = acc[A_FLOW_CT + 2 * ADDED + ASK]
    row.bid_cancelled_sz = acc[A_FLOW_SZ + 2 * CANCELLED + BID]
    row.ask_cancelled_sz = acc[A_FLOW_SZ + 2 * CANCELLED + ASK]
    row.bid_cancelled_ct = acc[A_FLOW_CT + 2 * CANCELLED + BID]
    row.ask_cancelled_ct = acc[A_FLOW_CT + 2 * CANCELLED + ASK]
    row.bid_executed_sz = acc[A_FLOW_SZ + 2 * EXECUTED + BID]
    row.ask_executed_sz = acc[A_FLOW_SZ + 2 * EXECUTED + ASK]
    row.bid_executed_ct = acc[A_FLOW_CT + 2 * EXECUTED + BID]
    row.ask_executed_ct = acc[A_FLOW_CT + 2 * EXECUTED + ASK]
    row.bid_refilled_sz = acc[A_FLOW_SZ + 2 * REFILLED + BID]
    row.ask_refilled_sz = acc[A_FLOW_SZ + 2 * REFILLED + ASK]
    row.bid_refilled_ct = acc[A_FLOW_CT + 2 * REFILLED + BID]
    row.ask_refilled_ct = acc[A_FLOW_CT + 2 * REFILLED + ASK]


@hot
def _find_largest(b: BookState) -> None:
    """Largest order within 10 ticks of the best, per side; the nearest of equals."""
    s, reach = b.s, NEAR_TICKS * b.p[P_TICK]
    for side in range(2):
        largest = NONE
        distance = NONE
        n = s[S_N_BID + side]
        for i in range(n - 1, -1, -1):
            steps = b.keys[side, n - 1] - b.keys[side, i]
            if steps > reach:
                break
            most = ladder.largest(b, b.slots[side, i])
            if most > largest:
                largest = most
                distance = steps
        s[S_LARGEST_SZ + side] = largest
        s[S_LARGEST_STEPS + side] = distance
    s[S_DIRTY] = 0


@hot
def _queue_age(b: BookState, side: int, end_us: int) -> float:
    if b.s[S_N_BID + side] == 0:
        return np.nan
    sz = _best(b, side, L_SZ)
    return (sz * end_us - _best(b, side, L_AGE)) / (sz * 1_000_000)


@hot
def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


@hot
def _only_mbo(b: BookState, row: Any, bar_end: int) -> None:
    s, acc = b.s, b.acc
    if s[S_DIRTY]:
        _find_largest(b)
    end_us = micros(b.p, bar_end)
    n_bid, n_ask = s[S_N_BID], s[S_N_BID + 1]
    tick = b.p[P_TICK]
    row.bid_queue_age_s = _queue_age(b, BID, end_us)
    row.ask_queue_age_s = _queue_age(b, ASK, end_us)
    row.bid_age_known_share = _best(b, BID, L_KNOWN) / row.bid_sz if n_bid else np.nan
    row.ask_age_known_share = _best(b, ASK, L_KNOWN) / row.ask_sz if n_ask else np.nan
    row.bid_largest_sz = s[S_LARGEST_SZ + BID]
    row.ask_largest_sz = s[S_LARGEST_SZ + ASK]
    row.bid_largest_ticks = s[S_LARGEST_STEPS + BID] / tick if n_bid else np.nan
    row.ask_largest_ticks = s[S_LARGEST_STEPS + ASK] / tick if n_ask else np.nan
    row.bid_mean_order_sz = _share(row.bid_sz, row.bid_ct)
    row.ask_mean_order_sz = _share(row.ask_sz, row.ask_ct)
    row.bid_executed_old_share = _share(acc[A_OLD_SZ + BID], row.bid_executed_sz)
    row.ask_executed_old_share = _share(acc[A_OLD_SZ + ASK], row.ask_executed_sz)


@hot
def _state(b: BookState, row: Any, state: NDArray[np.float64], sizes: NDArray[np.int64]) -> None:
    """Ten levels per side: prices into `state`, sizes and counts into `sizes`."""
    for side in range(2):
        n = b.s[S_N_BID + side]
        sign = 1 if side == BID else -1
        for m in range(BOOK_LEVELS):
            i = n - 1 - m
            if i < 0:
                state[side, m] = np.nan
                sizes[side, 0, m] = 0
                sizes[side, 1, m] = 0
                continue
            level = b.levels[b.slots[side, i]]
            state[side, m] = (sign * level[L_KEY] * b.p[P_STEP]) / 1e9
            sizes[side, 0, m] = level[L_SZ]
            sizes[side, 1, m] = level[L_CT]


@seldom
def close_bar(
    b: BookState,
    row: Any,
    prices: NDArray[np.float64],
    sizes: NDArray[np.int64],
    levels: NDArray[np.int64],
) -> None:
    """Write the open bar to `row`, ten levels to `prices` and `sizes`, and open the next bar.

    What happened at watched prices goes to `levels`.
    """
    s, acc = b.s, b.acc
    start = s[S_BAR] * BAR_NS
    weigh(b, start + BAR_NS)
    row.bar_start = start
    row.bar_end = start + BAR_NS
    _trades(b, row)
    uncrossed = _book_at_close(b, row)
    _time_weighted(b, row)
    _flow(b, row)
    _only_mbo(b, row, start + BAR_NS)
    row.n_events = acc[A_EVENTS]
    row.n_unknown = acc[A_UNKNOWN]
    row.n_crossed = acc[A_CROSSED]
    row.n_backwards = acc[A_BACKWARDS]
    row.n_lost_last = acc[A_LOST_LAST]
    row.book_drift = acc[A_DRIFT]
    row.valid = s[S_GOOD] == 1 and s[S_INIT_T] <= start and uncrossed
    row.warm = b.p[P_WARM] == 1
    _state(b, row, prices, sizes)
    if b.watch[WATCH_ON]:
        close_levels(b, start, levels)
    else:
        no_levels(levels)
    acc[:] = 0
    s[S_BAR] += 1
