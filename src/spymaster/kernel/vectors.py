"""The vector of a setup: one row of numbers per bar in which an episode's outcome is open.

Domain, section 6. Oriented: coming from above (side -1) bid and ask swap and price differences
change sign, so that a market and its mirror image give the same vector. Built from the rows of
silver.bar_5s and silver.level_book; names and order in `features.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import BAR_NS
from spymaster.kernel.at_level import at_level
from spymaster.kernel.compiled import compiled
from spymaster.kernel.features import (
    CONTEXT,
    FEATURES,
    MEDIAN_BARS,
    NOW,
    SERIES,
    STATISTICS,
    WINDOWS,
)
from spymaster.kernel.layout import I64
from spymaster.kernel.level_book import V_PRICE
from spymaster.kernel.ring import (
    ADD_A,
    ADD_B,
    ADDS,
    AGE_A,
    AGE_B,
    BEST_CT,
    BEST_SZ,
    DEPTH4,
    DEPTH10,
    DEPTH20,
    DEPTH_A,
    DEPTH_B,
    EVENTS,
    F64,
    IMB1,
    IMB5,
    LONGEST,
    MICRO,
    MID2,
    MOVE,
    N_RING,
    OFI,
    ORDER,
    P_BARRIER,
    P_FOCUS0,
    P_STEP,
    P_TICK,
    PULL_A,
    PULL_B,
    PULLS,
    SPREAD,
    TRADE_IMB,
    TRADES,
    TW_DEPTH,
    TW_SZ,
    VOLUME,
    VectorState,
    mean_depth,
    medians,
    ratio,
    remember,
    volatility_72,
)
from spymaster.kernel.state import pack, unpack
from spymaster.kernel.window import moments

N_FEATURES = len(FEATURES)
_LOOKBACK_AT = len(NOW)
_CONTEXT_AT = N_FEATURES - len(CONTEXT)
_WINDOWS = np.array(WINDOWS, np.int64)
_N_SERIES, _N_STATISTICS = len(SERIES), len(STATISTICS)


@compiled
def _pick(up: bool, from_below: float, from_above: float) -> float:
    return float(from_below) if up else float(from_above)


@compiled
def _now(b: VectorState, row: Any, level: int, side: int, med: F64, out: F64) -> None:
    step, tick = b.p[P_STEP], float(b.p[P_TICK])
    up = side > 0
    last = b.ring[:, b.n[0] - 1]
    volatility = volatility_72(b)
    distance = side * (2.0 * level - last[MID2]) / (2.0 * tick)
    depth = mean_depth(row)
    towards = _pick(up, row.buy_volume, row.sell_volume)
    away = _pick(up, row.sell_volume, row.buy_volume)
    traded = np.rint(row.notional * 1e9 / step)  # sum of price in steps x size, exact again
    j = 0
    for value in (
        distance,
        distance / b.p[P_BARRIER],
        ratio(distance, volatility),
        side * (level - np.rint(row.close * 1e9 / step)) / tick,
        side * ratio(level * row.volume - traded, row.volume) / tick,
        side * last[MOVE],
        (np.rint(row.high * 1e9 / step) - np.rint(row.low * 1e9 / step)) / tick,
        volatility,
        side * last[MICRO],
        last[SPREAD],
        row.tw_spread * 1e9 / step / tick,
        row.ns_book / 5e9,
        side * row.imbalance_1,
        side * row.imbalance_3,
        side * row.imbalance_5,
        side * row.imbalance_10,
        _pick(up, row.ask_sz, row.bid_sz) / med[BEST_SZ],
        _pick(up, row.bid_sz, row.ask_sz) / med[BEST_SZ],
        _pick(up, row.ask_ct, row.bid_ct) / med[BEST_CT],
        _pick(up, row.bid_ct, row.ask_ct) / med[BEST_CT],
        _pick(up, row.ask_depth_10, row.bid_depth_10) / med[DEPTH10],
        _pick(up, row.bid_depth_10, row.ask_depth_10) / med[DEPTH10],
        _pick(up, row.ask_depth_4t, row.bid_depth_4t) / med[DEPTH4],
        _pick(up, row.bid_depth_4t, row.ask_depth_4t) / med[DEPTH4],
        _pick(up, row.ask_depth_20t, row.bid_depth_20t) / med[DEPTH20],
        _pick(up, row.bid_depth_20t, row.ask_depth_20t) / med[DEPTH20],
        _pick(up, row.tw_ask_sz, row.tw_bid_sz) / med[TW_SZ],
        _pick(up, row.tw_bid_sz, row.tw_ask_sz) / med[TW_SZ],
        _pick(up, row.tw_ask_depth_10, row.tw_bid_depth_10) / med[TW_DEPTH],
        _pick(up, row.tw_bid_depth_10, row.tw_ask_depth_10) / med[TW_DEPTH],
        row.volume / med[VOLUME],
        towards / med[VOLUME],
        away / med[VOLUME],
        row.n_trades / med[TRADES],
        row.n_events / med[EVENTS],
        side * last[TRADE_IMB],
        side * row.ofi / depth,
        side * row.mlofi_2 / depth,
        side * row.mlofi_3 / depth,
        side * row.mlofi_4 / depth,
        side * row.mlofi_5 / depth,
        _pick(up, row.ask_added_sz, row.bid_added_sz) / med[ADDS],
        _pick(up, row.bid_added_sz, row.ask_added_sz) / med[ADDS],
        _pick(up, row.ask_cancelled_sz, row.bid_cancelled_sz) / med[PULLS],
        _pick(up, row.bid_cancelled_sz, row.ask_cancelled_sz) / med[PULLS],
        _pick(up, row.ask_refilled_sz, row.bid_refilled_sz) / med[VOLUME],
        _pick(up, row.bid_refilled_sz, row.ask_refilled_sz) / med[VOLUME],
        _pick(up, row.ask_queue_age_s, row.bid_queue_age_s),
        _pick(up, row.bid_queue_age_s, row.ask_queue_age_s),
        _pick(up, row.ask_age_known_share, row.bid_age_known_share),
        _pick(up, row.bid_age_known_share, row.ask_age_known_share),
        _pick(up, row.ask_largest_sz, row.bid_largest_sz) / med[BEST_SZ],
        _pick(up, row.bid_largest_sz, row.ask_largest_sz) / med[BEST_SZ],
        _pick(up, row.ask_largest_ticks, row.bid_largest_ticks),
        _pick(up, row.bid_largest_ticks, row.ask_largest_ticks),
        _pick(up, row.ask_mean_order_sz, row.bid_mean_order_sz) / med[ORDER],
        _pick(up, row.bid_mean_order_sz, row.ask_mean_order_sz) / med[ORDER],
        _pick(up, row.ask_executed_old_share, row.bid_executed_old_share),
        _pick(up, row.bid_executed_old_share, row.ask_executed_old_share),
    ):
        out[j] = value
        j += 1


@compiled
def _series(b: VectorState, level: int, side: int, med: F64, y: F64) -> None:
    """The last 72 bars of each base series, oriented, oldest first; NaN before the first bar."""
    n, tick = b.n[0], float(b.p[P_TICK])
    up = side > 0
    y[:] = np.nan
    for i in range(LONGEST):
        at = n - LONGEST + i
        if at < 0:
            continue
        c = b.ring[:, at]
        j = 0
        for value in (
            side * (2.0 * level - c[MID2]) / (2.0 * tick),
            side * c[MICRO],
            c[SPREAD],
            side * c[IMB1],
            side * c[IMB5],
            side * c[OFI],
            side * c[TRADE_IMB],
            c[VOLUME] / med[VOLUME],
            c[EVENTS] / med[EVENTS],
            _pick(up, c[ADD_A], c[ADD_B]) / med[ADDS],
            _pick(up, c[ADD_B], c[ADD_A]) / med[ADDS],
            _pick(up, c[PULL_A], c[PULL_B]) / med[PULLS],
            _pick(up, c[PULL_B], c[PULL_A]) / med[PULLS],
            _pick(up, c[DEPTH_A], c[DEPTH_B]) / med[TW_DEPTH],
            _pick(up, c[DEPTH_B], c[DEPTH_A]) / med[TW_DEPTH],
            _pick(up, c[AGE_A], c[AGE_B]),
            _pick(up, c[AGE_B], c[AGE_A]),
            abs(c[MOVE]),
        ):
            y[j, i] = value
            j += 1


@compiled
def _context(b: VectorState, setup: Any, med: F64, out: F64) -> None:
    tick = float(b.p[P_TICK])
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
    out[_CONTEXT_AT + 3] = setup.touch_volume / med[VOLUME]
    out[_CONTEXT_AT + 4] = ((setup.bar + 1) * BAR_NS - b.p[P_FOCUS0]) / 60e9
    out[_CONTEXT_AT + 5] = ahead
    out[_CONTEXT_AT + 6] = behind


@compiled
def _advance(
    b: VectorState, bars: NDArray[Any], watched: I64, setups: NDArray[Any], out: F64
) -> None:
    med = np.empty(N_RING)
    scratch = np.empty(MEDIAN_BARS)
    y = np.empty((_N_SERIES, LONGEST))
    j = 0
    for k in range(bars.shape[0]):
        remember(b, bars[k])
        bar = bars[k].bar_start // BAR_NS
        if j < setups.shape[0] and setups[j].bar == bar:
            medians(b, med, scratch)
        while j < setups.shape[0] and setups[j].bar == bar:
            setup = setups[j]
            row = out[j]
            _now(b, bars[k], setup.price, setup.side, med, row)
            for i in range(watched.shape[1]):
                if watched[k, i, V_PRICE] == setup.price:
                    at_level(watched[k, i], setup, med, row)
            _series(b, setup.price, setup.side, med, y)
            at = _LOOKBACK_AT
            for q in range(_N_SERIES):
                for w in _WINDOWS:
                    moments(y[q], LONGEST - w, w, row, at)
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
        self._state = VectorState(
            p=np.array([step, tick_steps, focus_start, barrier_ticks], np.int64),
            n=np.zeros(1, np.int64),
            ring=np.full((N_RING, MEDIAN_BARS), np.nan),
            levels=np.zeros((0, 3), np.int64),
        )

    def advance(
        self, bars: NDArray[Any], watched: I64, levels: NDArray[Any], setups: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Take closed bars (rows of silver.bar_5s), levels (`LEVEL`), and the setups of those bars.

        `watched` [bars, levels, V_SIZE] is what they saw at the levels, as level_book.py has it.
        Returns float64[len(setups), N_FEATURES]; missing is NaN, there is no -0.0 and no infinity.
        """
        if len(levels):
            known = np.concatenate([self._state.levels, levels.view(np.int64).reshape(-1, 3)])
            self._state = self._state._replace(levels=known)
        out = np.full((len(setups), N_FEATURES), np.nan)
        _advance(self._state, bars, watched, setups, out)
        return out

    def to_bytes(self) -> bytes:
        """The whole state."""
        return pack("VECTORS", 1, self._state)

    @classmethod
    def from_bytes(cls, data: bytes) -> SetupVectors:
        """Vectors that go on where `to_bytes` left off. ValueError for another version."""
        v = cls.__new__(cls)
        v._state = VectorState(*unpack(data, "VECTORS", 1)[1])
        return v
