"""The vector of a setup: one row of numbers per bar in which an episode's outcome is open.

Domain, section 6. Oriented: coming from above (side -1) bid and ask swap and price differences
change sign, so that a market and its mirror image give the same vector. Built from the rows of
silver.bar_5s alone; names and order in `features.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import BAR_NS
from spymaster.kernel.compiled import compiled
from spymaster.kernel.features import (
    CONTEXT,
    FEATURES,
    MEDIAN_BARS,
    MEDIAN_MIN_BARS,
    NOW,
    SERIES,
    STATISTICS,
    WINDOWS,
)
from spymaster.kernel.layout import I64
from spymaster.kernel.state import pack, unpack
from spymaster.kernel.window import enough, median, moments

F64 = NDArray[np.float64]

N_FEATURES = len(FEATURES)
_LOOKBACK_AT = len(NOW)
_CONTEXT_AT = N_FEATURES - len(CONTEXT)
_LONGEST = max(WINDOWS)
_WINDOWS = np.array(WINDOWS, np.int64)
_N_SERIES, _N_STATISTICS = len(SERIES), len(STATISTICS)

# The ring: a row per quantity, oldest bar first. `_MID2` is bid + ask in steps.
(
    _MID2, _SPREAD, _MICRO, _IMB1, _IMB5, _OFI, _TRADE_IMB, _VOLUME, _EVENTS,
    _ADD_B, _ADD_A, _PULL_B, _PULL_A, _DEPTH_B, _DEPTH_A, _AGE_B, _AGE_A, _MOVE,
    _ADDS, _PULLS, _TRADES, _BEST_SZ, _BEST_CT, _DEPTH10, _DEPTH4, _DEPTH8, _DEPTH20,
    _TW_SZ, _TW_DEPTH, _ORDER,
) = range(30)  # fmt: skip
_N_RING = 30
_FIRST_MEDIAN = _ADDS

# Parameters
_P_STEP, _P_TICK, _P_FOCUS0, _P_BARRIER = range(4)


class _State(NamedTuple):
    p: I64
    n: I64  # [1] bars in the ring
    ring: F64  # [_N_RING, MEDIAN_BARS]
    levels: I64  # [n, 3] as LEVEL


@compiled
def _mean_depth(row: Any) -> float:
    both = (row.tw_bid_depth_10 + row.tw_ask_depth_10) / 2.0
    return both if both > 0.0 else np.nan


@compiled
def _mid2(px: float, step: int) -> float:
    """A mid in half-steps, exact again: a whole number."""
    return np.rint(px * 2e9 / step)


@compiled
def _micro_lead(row: Any) -> float:
    """Microprice less mid, in spreads: the same number with the other sign in the mirror."""
    return row.imbalance_1 / 2.0


@compiled
def _pick(up: bool, from_below: float, from_above: float) -> float:
    return float(from_below) if up else float(from_above)


@compiled
def _ratio(part: float, whole: float) -> float:
    return part / whole if whole != 0.0 else np.nan


@compiled
def _remember(b: _State, row: Any) -> None:
    """Push a bar into the ring; an invalid bar is a bar without values."""
    ring, step, tick = b.ring, b.p[_P_STEP], float(b.p[_P_TICK])
    n = b.n[0]
    before = ring[_MID2, n - 1] if n else np.nan
    if n == MEDIAN_BARS:
        ring[:, :-1] = ring[:, 1:]
        n -= 1
    b.n[0] = n + 1
    c = ring[:, n]
    if not row.valid:
        c[:] = np.nan
        return
    c[_MID2] = _mid2(row.mid, step)
    c[_SPREAD] = np.rint(row.spread * 1e9 / step) / tick
    c[_MICRO] = c[_SPREAD] * _micro_lead(row)
    c[_IMB1] = row.imbalance_1
    c[_IMB5] = row.imbalance_5
    c[_OFI] = row.ofi / _mean_depth(row)
    c[_TRADE_IMB] = _ratio(row.buy_volume - row.sell_volume, row.buy_volume + row.sell_volume)
    c[_VOLUME] = row.volume
    c[_EVENTS] = row.n_events
    c[_ADD_B], c[_ADD_A] = row.bid_added_sz, row.ask_added_sz
    c[_PULL_B], c[_PULL_A] = row.bid_cancelled_sz, row.ask_cancelled_sz
    c[_DEPTH_B], c[_DEPTH_A] = row.tw_bid_depth_10, row.tw_ask_depth_10
    c[_AGE_B], c[_AGE_A] = row.bid_queue_age_s, row.ask_queue_age_s
    c[_MOVE] = (c[_MID2] - before) / (2.0 * tick)
    c[_ADDS] = row.bid_added_sz + row.ask_added_sz
    c[_PULLS] = row.bid_cancelled_sz + row.ask_cancelled_sz
    c[_TRADES] = row.n_trades
    c[_BEST_SZ] = (row.bid_sz + row.ask_sz) / 2.0
    c[_BEST_CT] = (row.bid_ct + row.ask_ct) / 2.0
    c[_DEPTH10] = (row.bid_depth_10 + row.ask_depth_10) / 2.0
    c[_DEPTH4] = (row.bid_depth_4t + row.ask_depth_4t) / 2.0
    c[_DEPTH8] = (row.bid_depth_8t + row.ask_depth_8t) / 2.0
    c[_DEPTH20] = (row.bid_depth_20t + row.ask_depth_20t) / 2.0
    c[_TW_SZ] = (row.tw_bid_sz + row.tw_ask_sz) / 2.0
    c[_TW_DEPTH] = (row.tw_bid_depth_10 + row.tw_ask_depth_10) / 2.0
    c[_ORDER] = (row.bid_mean_order_sz + row.ask_mean_order_sz) / 2.0


@compiled
def _medians(b: _State, out: F64, scratch: F64) -> None:
    n = b.n[0]
    out[:] = np.nan
    out[_VOLUME] = median(b.ring[_VOLUME], n, MEDIAN_MIN_BARS, scratch)
    out[_EVENTS] = median(b.ring[_EVENTS], n, MEDIAN_MIN_BARS, scratch)
    for q in range(_FIRST_MEDIAN, _N_RING):
        out[q] = median(b.ring[q], n, MEDIAN_MIN_BARS, scratch)


@compiled
def _volatility(b: _State) -> float:
    """Root mean square of the change of mid over 72 bars, in ticks."""
    n = b.n[0]
    total = 0.0
    count = 0
    for i in range(max(0, n - _LONGEST), n):
        move = b.ring[_MOVE, i]
        if not np.isnan(move):
            total += move * move
            count += 1
    return np.sqrt(total / count) if count >= enough(_LONGEST) else np.nan


@compiled
def _distance(side: int, level: int, px: float, step: int, tick: float) -> float:
    """From a price in currency to the level, in ticks; positive before it is reached."""
    return side * (2.0 * level - _mid2(px, step)) / (2.0 * tick)


@compiled
def _now(b: _State, row: Any, level: int, side: int, med: F64, out: F64) -> None:
    step, tick = b.p[_P_STEP], float(b.p[_P_TICK])
    up = side > 0
    last = b.ring[:, b.n[0] - 1]
    volatility = _volatility(b)
    distance = side * (2.0 * level - last[_MID2]) / (2.0 * tick)
    depth = _mean_depth(row)
    towards = _pick(up, row.buy_volume, row.sell_volume)
    away = _pick(up, row.sell_volume, row.buy_volume)
    traded = np.rint(row.notional * 1e9 / step)  # sum of price in steps x size, exact again
    j = 0
    for value in (
        distance,
        distance / b.p[_P_BARRIER],
        _ratio(distance, volatility),
        side * (level - np.rint(row.close * 1e9 / step)) / tick,
        side * _ratio(level * row.volume - traded, row.volume) / tick,
        side * last[_MOVE],
        (np.rint(row.high * 1e9 / step) - np.rint(row.low * 1e9 / step)) / tick,
        volatility,
        side * last[_MICRO],
        last[_SPREAD],
        row.tw_spread * 1e9 / step / tick,
        row.ns_book / 5e9,
        side * row.imbalance_1,
        side * row.imbalance_3,
        side * row.imbalance_5,
        side * row.imbalance_10,
        _pick(up, row.ask_sz, row.bid_sz) / med[_BEST_SZ],
        _pick(up, row.bid_sz, row.ask_sz) / med[_BEST_SZ],
        _pick(up, row.ask_ct, row.bid_ct) / med[_BEST_CT],
        _pick(up, row.bid_ct, row.ask_ct) / med[_BEST_CT],
        _pick(up, row.ask_depth_10, row.bid_depth_10) / med[_DEPTH10],
        _pick(up, row.bid_depth_10, row.ask_depth_10) / med[_DEPTH10],
        _pick(up, row.ask_depth_4t, row.bid_depth_4t) / med[_DEPTH4],
        _pick(up, row.bid_depth_4t, row.ask_depth_4t) / med[_DEPTH4],
        _pick(up, row.ask_depth_8t, row.bid_depth_8t) / med[_DEPTH8],
        _pick(up, row.bid_depth_8t, row.ask_depth_8t) / med[_DEPTH8],
        _pick(up, row.ask_depth_20t, row.bid_depth_20t) / med[_DEPTH20],
        _pick(up, row.bid_depth_20t, row.ask_depth_20t) / med[_DEPTH20],
        _pick(up, row.tw_ask_sz, row.tw_bid_sz) / med[_TW_SZ],
        _pick(up, row.tw_bid_sz, row.tw_ask_sz) / med[_TW_SZ],
        _pick(up, row.tw_ask_depth_10, row.tw_bid_depth_10) / med[_TW_DEPTH],
        _pick(up, row.tw_bid_depth_10, row.tw_ask_depth_10) / med[_TW_DEPTH],
        row.volume / med[_VOLUME],
        towards / med[_VOLUME],
        away / med[_VOLUME],
        row.n_trades / med[_TRADES],
        row.n_events / med[_EVENTS],
        side * last[_TRADE_IMB],
        side * row.ofi / depth,
        side * row.mlofi_2 / depth,
        side * row.mlofi_3 / depth,
        side * row.mlofi_4 / depth,
        side * row.mlofi_5 / depth,
        _pick(up, row.ask_added_sz, row.bid_added_sz) / med[_ADDS],
        _pick(up, row.bid_added_sz, row.ask_added_sz) / med[_ADDS],
        _pick(up, row.ask_cancelled_sz, row.bid_cancelled_sz) / med[_PULLS],
        _pick(up, row.bid_cancelled_sz, row.ask_cancelled_sz) / med[_PULLS],
        _pick(up, row.ask_executed_sz, row.bid_executed_sz) / med[_VOLUME],
        _pick(up, row.bid_executed_sz, row.ask_executed_sz) / med[_VOLUME],
        _pick(up, row.ask_refilled_sz, row.bid_refilled_sz) / med[_VOLUME],
        _pick(up, row.bid_refilled_sz, row.ask_refilled_sz) / med[_VOLUME],
        _pick(up, row.ask_queue_age_s, row.bid_queue_age_s),
        _pick(up, row.bid_queue_age_s, row.ask_queue_age_s),
        _pick(up, row.ask_age_known_share, row.bid_age_known_share),
        _pick(up, row.bid_age_known_share, row.ask_age_known_share),
        _pick(up, row.ask_largest_sz, row.bid_largest_sz) / med[_BEST_SZ],
        _pick(up, row.bid_largest_sz, row.ask_largest_sz) / med[_BEST_SZ],
        _pick(up, row.ask_largest_ticks, row.bid_largest_ticks),
        _pick(up, row.bid_largest_ticks, row.ask_largest_ticks),
        _pick(up, row.ask_mean_order_sz, row.bid_mean_order_sz) / med[_ORDER],
        _pick(up, row.bid_mean_order_sz, row.ask_mean_order_sz) / med[_ORDER],
        _pick(up, row.ask_executed_old_share, row.bid_executed_old_share),
        _pick(up, row.bid_executed_old_share, row.ask_executed_old_share),
    ):
        out[j] = value
        j += 1


@compiled
def _series(b: _State, level: int, side: int, med: F64, y: F64) -> None:
    """The last 72 bars of each base series, oriented, oldest first; NaN before the first bar."""
    n, tick = b.n[0], float(b.p[_P_TICK])
    up = side > 0
    y[:] = np.nan
    for i in range(_LONGEST):
        at = n - _LONGEST + i
        if at < 0:
            continue
        c = b.ring[:, at]
        j = 0
        for value in (
            side * (2.0 * level - c[_MID2]) / (2.0 * tick),
            side * c[_MICRO],
            c[_SPREAD],
            side * c[_IMB1],
            side * c[_IMB5],
            side * c[_OFI],
            side * c[_TRADE_IMB],
            c[_VOLUME] / med[_VOLUME],
            c[_EVENTS] / med[_EVENTS],
            _pick(up, c[_ADD_A], c[_ADD_B]) / med[_ADDS],
            _pick(up, c[_ADD_B], c[_ADD_A]) / med[_ADDS],
            _pick(up, c[_PULL_A], c[_PULL_B]) / med[_PULLS],
            _pick(up, c[_PULL_B], c[_PULL_A]) / med[_PULLS],
            _pick(up, c[_DEPTH_A], c[_DEPTH_B]) / med[_TW_DEPTH],
            _pick(up, c[_DEPTH_B], c[_DEPTH_A]) / med[_TW_DEPTH],
            _pick(up, c[_AGE_A], c[_AGE_B]),
            _pick(up, c[_AGE_B], c[_AGE_A]),
            abs(c[_MOVE]),
        ):
            y[j, i] = value
            j += 1


@compiled
def _context(b: _State, setup: Any, med: F64, out: F64) -> None:
    tick = float(b.p[_P_TICK])
    ahead = np.nan
    behind = np.nan
    for i in range(b.levels.shape[0]):
        if b.levels[i, 2] > setup.bar * BAR_NS:
            continue
        ticks = setup.side * (b.levels[i, 1] - setup.price) / tick
        if ticks > 0.0 and not ticks >= ahead:
            ahead = ticks
        if ticks < 0.0 and not -ticks >= behind:
            behind = -ticks
    out[_CONTEXT_AT] = setup.bar - setup.trigger_bar
    out[_CONTEXT_AT + 1] = setup.earlier
    out[_CONTEXT_AT + 2] = setup.near_bars
    out[_CONTEXT_AT + 3] = setup.touch_volume / med[_VOLUME]
    out[_CONTEXT_AT + 4] = ((setup.bar + 1) * BAR_NS - b.p[_P_FOCUS0]) / 60e9
    out[_CONTEXT_AT + 5] = ahead
    out[_CONTEXT_AT + 6] = behind


@compiled
def _advance(b: _State, bars: NDArray[Any], setups: NDArray[Any], out: F64) -> None:
    med = np.empty(_N_RING)
    scratch = np.empty(MEDIAN_BARS)
    y = np.empty((_N_SERIES, _LONGEST))
    j = 0
    for k in range(bars.shape[0]):
        _remember(b, bars[k])
        bar = bars[k].bar_start // BAR_NS
        if j < setups.shape[0] and setups[j].bar == bar:
            _medians(b, med, scratch)
        while j < setups.shape[0] and setups[j].bar == bar:
            setup = setups[j]
            row = out[j]
            _now(b, bars[k], setup.price, setup.side, med, row)
            _series(b, setup.price, setup.side, med, y)
            at = _LOOKBACK_AT
            for q in range(_N_SERIES):
                for w in _WINDOWS:
                    moments(y[q], _LONGEST - w, w, row, at)
                    at += _N_STATISTICS
            _context(b, setup, med, row)
            j += 1
    for i in range(out.shape[0]):
        for f in range(out.shape[1]):
            if np.isnan(out[i, f]) or np.isinf(out[i, f]):
                out[i, f] = np.nan
            elif out[i, f] == 0.0:
                out[i, f] = 0.0


class SetupVectors:
    """The vectors of one contract and session."""

    def __init__(self, step: int, tick_steps: int, focus_start: int, barrier_ticks: int) -> None:
        self._state = _State(
            p=np.array([step, tick_steps, focus_start, barrier_ticks], np.int64),
            n=np.zeros(1, np.int64),
            ring=np.full((_N_RING, MEDIAN_BARS), np.nan),
            levels=np.zeros((0, 3), np.int64),
        )

    def advance(
        self, bars: NDArray[Any], levels: NDArray[Any], setups: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Take closed bars (rows of silver.bar_5s), levels (`LEVEL`), and the setups of those bars.

        Returns float64[len(setups), N_FEATURES]; missing is NaN, there is no -0.0 and no infinity.
        """
        if len(levels):
            known = np.concatenate([self._state.levels, levels.view(np.int64).reshape(-1, 3)])
            self._state = self._state._replace(levels=known)
        out = np.full((len(setups), N_FEATURES), np.nan)
        _advance(self._state, bars, setups, out)
        return out

    def to_bytes(self) -> bytes:
        """The whole state."""
        return pack("VECTORS", 1, self._state)

    @classmethod
    def from_bytes(cls, data: bytes) -> SetupVectors:
        """Vectors that go on where `to_bytes` left off. ValueError for another version."""
        v = cls.__new__(cls)
        v._state = _State(*unpack(data, "VECTORS", 1)[1])
        return v
