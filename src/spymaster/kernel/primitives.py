"""What vectors and dashboards build on, bar by bar: returns, flow, liquidity, toxicity, impact.

Domain, section 4. Recomputed at each bar from a ring of the last 360, oldest first; an invalid bar
is a bar without values, and has none itself. A statistic of n bars needs three quarters of them
(`window.enough`). Toxicity is in `vpin.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts import TABLES
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel.compiled import compiled
from spymaster.kernel.features import MEDIAN_BARS, MEDIAN_MIN_BARS
from spymaster.kernel.layout import I64
from spymaster.kernel.ring import half_steps, mean_depth, micro_lead, ratio
from spymaster.kernel.state import pack, unpack
from spymaster.kernel.vpin import BUCKETS, V_BUCKET, fill, vpin
from spymaster.kernel.window import enough, median

F64 = NDArray[np.float64]

#: A row of silver.feature_primitives; missing is NaN.
PRIMITIVE = numpy_dtype(TABLES["silver.feature_primitives"])

# The ring: a row per quantity, oldest bar first. MID2 is bid + ask in steps, LEAD the
# microprice less mid in ticks, SIGNED the volume of buying less that of selling aggressors
MID2, LEAD, RETURN, VELOCITY, SIGNED, DEPTH = range(6)
N_RING = 6
IMPACT_BARS = 72

# Parameters
P_STEP, P_TICK = range(2)


class PrimitiveState(NamedTuple):
    p: I64  # [2]
    n: I64  # [1] bars in the ring
    ring: F64  # [N_RING, MEDIAN_BARS]
    v: I64  # [3], as vpin.py has it
    buckets: F64  # [BUCKETS + 1]


@compiled
def clipped(x: float) -> float:
    """Between -1 and 1; missing stays missing."""
    if x < -1.0:
        return -1.0
    return 1.0 if x > 1.0 else x


@compiled
def realized_volatility(returns: F64, n: int, window: int) -> float:
    """Root of the summed squares of the last returns (Andersen & Bollerslev 1998), in ticks.

    `returns[:n]` oldest first; missing ones are left out, NaN with fewer than `enough`.
    """
    total = 0.0
    count = 0
    for i in range(max(0, n - window), n):
        if not np.isnan(returns[i]):
            total += returns[i] * returns[i]
            count += 1
    return np.sqrt(total) if count >= enough(window) else np.nan


@compiled
def kyle_lambda(returns: F64, signed: F64, n: int) -> float:
    """Slope of return on signed volume over 72 bars, with an intercept: ticks per size.

    Price impact after Kyle (1985), by least squares. NaN with fewer than `enough` bars that have
    both, or when the volume never varies.
    """
    count = 0
    sum_x = 0.0
    sum_y = 0.0
    first = max(0, n - IMPACT_BARS)
    for i in range(first, n):
        if not np.isnan(returns[i]):
            count += 1
            sum_x += signed[i]
            sum_y += returns[i]
    if count < enough(IMPACT_BARS):
        return np.nan
    mean_x = sum_x / count
    mean_y = sum_y / count
    sxx = 0.0
    sxy = 0.0
    for i in range(first, n):
        if not np.isnan(returns[i]):
            sxx += (signed[i] - mean_x) * (signed[i] - mean_x)
            sxy += (signed[i] - mean_x) * (returns[i] - mean_y)
    return ratio(sxy, sxx)


@compiled
def _remember(b: PrimitiveState, bar: Any) -> None:
    """Push a bar into the ring; an invalid bar is a bar without values."""
    ring, step, tick = b.ring, b.p[P_STEP], float(b.p[P_TICK])
    n = b.n[0]
    if n == MEDIAN_BARS:
        ring[:, :-1] = ring[:, 1:]
        n -= 1
    b.n[0] = n + 1
    c = ring[:, n]
    c[:] = np.nan
    if not bar.valid:
        return
    c[MID2] = half_steps(bar.mid, step)
    c[LEAD] = np.rint(bar.spread * 1e9 / step) / tick * micro_lead(bar)
    if n > 0:
        c[RETURN] = (c[MID2] - ring[MID2, n - 1]) / (2.0 * tick)
        c[VELOCITY] = c[RETURN] + (c[LEAD] - ring[LEAD, n - 1])
    c[SIGNED] = bar.buy_volume - bar.sell_volume
    c[DEPTH] = bar.bid_depth_10 + bar.ask_depth_10


@compiled
def _write(b: PrimitiveState, bar: Any, scratch: F64, row: Any) -> None:
    ring, n = b.ring, b.n[0]
    last = ring[:, n - 1]
    row.return_ticks = last[RETURN]
    row.realized_vol_12 = realized_volatility(ring[RETURN], n, 12)
    row.realized_vol_72 = realized_volatility(ring[RETURN], n, 72)
    row.realized_vol_360 = realized_volatility(ring[RETURN], n, 360)
    ofi = bar.ofi / mean_depth(bar)
    imbalance = ratio(bar.buy_volume - bar.sell_volume, bar.buy_volume + bar.sell_volume)
    row.ofi_per_depth = ofi
    row.trade_imbalance = imbalance
    row.bid_cancel_to_add = ratio(bar.bid_cancelled_sz, bar.bid_added_sz)
    row.ask_cancel_to_add = ratio(bar.ask_cancelled_sz, bar.ask_added_sz)
    usual = median(ring[DEPTH], n, MEDIAN_MIN_BARS, scratch)
    row.liquidity_vacuum = 1.0 - last[DEPTH] / usual
    row.pressure = (clipped(ofi) + clipped(imbalance) + clipped(bar.imbalance_3)) / 3.0
    row.microprice_velocity = last[VELOCITY]
    row.microprice_acceleration = last[VELOCITY] - ring[VELOCITY, n - 2] if n > 1 else np.nan
    row.vpin = vpin(b.v, b.buckets)
    row.kyle_lambda = kyle_lambda(ring[RETURN], ring[SIGNED], n)


@compiled
def _nothing(row: Any) -> None:
    row.return_ticks = np.nan
    row.realized_vol_12 = np.nan
    row.realized_vol_72 = np.nan
    row.realized_vol_360 = np.nan
    row.ofi_per_depth = np.nan
    row.trade_imbalance = np.nan
    row.bid_cancel_to_add = np.nan
    row.ask_cancel_to_add = np.nan
    row.liquidity_vacuum = np.nan
    row.pressure = np.nan
    row.microprice_velocity = np.nan
    row.microprice_acceleration = np.nan
    row.vpin = np.nan
    row.kyle_lambda = np.nan


@compiled
def _advance(b: PrimitiveState, bars: NDArray[Any], rows: NDArray[Any]) -> None:
    scratch = np.empty(MEDIAN_BARS)
    for k in range(bars.shape[0]):
        bar, row = bars[k], rows[k]
        row.bar_start = bar.bar_start
        row.bar_end = bar.bar_end
        _remember(b, bar)
        if bar.valid:
            fill(b.v, b.buckets, bar.volume, bar.buy_volume - bar.sell_volume)
            _write(b, bar, scratch, row)
        else:
            _nothing(row)


class Primitives:
    """The primitives of one contract and session.

    - `ofi_per_depth`: order flow imbalance over mean time-weighted depth of ten levels
      (Cont, Kukanov & Stoikov 2014); `trade_imbalance`: of aggressors' volume; cancel-to-add:
      within 10 ticks of the best. Missing where they divide by nothing.
    - `liquidity_vacuum`: 1 - size over ten levels of both sides at the close / its median over up
      to 360 bars, this one included, at least 72. Positive when there is less than usual.
    - `pressure`: mean of OFI per depth, trade imbalance and imbalance over 3 levels, each within
      -1..1; missing when one of them is.
    - `microprice_velocity`: change of the microprice (Stoikov 2018) in ticks, taken as the change
      of mid plus that of the microprice's lead, spread x imbalance / 2, which is exact in a mirror.

    `volume` is that of the contract's previous complete session, None without one.
    """

    def __init__(self, step: int, tick_steps: int, volume: int | None = None) -> None:
        v = np.zeros(3, np.int64)
        v[V_BUCKET] = max(1, volume // BUCKETS) if volume else 0
        self._state = PrimitiveState(
            p=np.array([step, tick_steps], np.int64),
            n=np.zeros(1, np.int64),
            ring=np.full((N_RING, MEDIAN_BARS), np.nan),
            v=v,
            buckets=np.zeros(BUCKETS + 1),
        )

    def advance(self, bars: NDArray[Any]) -> NDArray[Any]:
        """Take closed bars (rows of silver.bar_5s): a `PRIMITIVE` for each."""
        rows = np.zeros(len(bars), PRIMITIVE)
        _advance(self._state, bars, rows)
        return rows

    def to_bytes(self) -> bytes:
        """The whole state."""
        return pack("PRIMITIVES", 1, self._state)

    @classmethod
    def from_bytes(cls, data: bytes) -> Primitives:
        """Primitives that go on where `to_bytes` left off. ValueError for another version."""
        primitives = cls.__new__(cls)
        primitives._state = PrimitiveState(*unpack(data, "PRIMITIVES", 1)[1])
        return primitives
