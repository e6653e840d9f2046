"""Primitives of each bar from the bars up to it, one formula after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median

Bar = dict[str, object]
SIDES = ("bid", "ask")


@dataclass
class Buckets:
    """Volume in equal parts, and how one-sided each was (Easley, Lopez de Prado & O'Hara 2012).

    ``size`` 0: nobody knows how large a bucket is.
    """

    size: int
    room: int = field(init=False)
    signed: float = 0.0
    full: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.room = self.size

    def put(self, volume: int, signed: int) -> None:
        left = volume
        while self.size and left:
            part = min(self.room, left)
            self.signed += (signed * part) / volume
            self.room, left = self.room - part, left - part
            if not self.room:
                self.full.append(abs(self.signed))
                self.room, self.signed = self.size, 0.0

    def vpin(self) -> float | None:
        last = self.full[-50:]
        return _added(last) / (len(last) * self.size) if len(last) >= 5 else None


def oracle_primitives(
    bars: Sequence[Bar], price_step: int, tick_steps: int, previous_volume: int | None
) -> list[Bar]:
    """A row of silver.feature_primitives for each of ``bars``, which are dense and in order."""
    day = _Day(bars, price_step, tick_steps)
    buckets = Buckets(max(previous_volume // 50, 1) if previous_volume else 0)
    rows = []
    for i, bar in enumerate(bars):
        if bar["valid"]:
            buckets.put(bar["volume"], bar["buy_volume"] - bar["sell_volume"])
        row = {name: bar[name] for name in ("bar_start", "bar_end")} | day.row(i)
        rows.append(row | {"vpin": buckets.vpin() if bar["valid"] else None})
    return rows


class _Day:
    def __init__(self, bars: Sequence[Bar], price_step: int, tick_steps: int) -> None:
        self.bars, self.step, self.tick = bars, price_step, tick_steps
        known = [b["valid"] for b in bars]
        self.mid = [
            self._ticks(b["mid"]) if ok else None for b, ok in zip(bars, known, strict=True)
        ]
        self.returns = [
            None,
            *(self._less(*two) for two in zip(self.mid[1:], self.mid, strict=False)),
        ]
        self.lead = [self._lead(b) if ok else None for b, ok in zip(bars, known, strict=True)]
        self.velocity = [None, *(self._velocity(i) for i in range(1, len(bars)))]
        self.depth = [
            b["bid_depth_10"] + b["ask_depth_10"] if ok else None
            for b, ok in zip(bars, known, strict=True)
        ]

    def _ticks(self, px: float) -> Fraction:
        half_steps = round(Fraction(px) * 2 * 10**9 / self.step)
        return Fraction(half_steps, 2 * self.tick)

    def _less(self, now: Fraction | None, before: Fraction | None) -> float | None:
        return None if now is None or before is None else float(now - before)

    def _lead(self, bar: Bar) -> float:
        """Microprice less mid: half the spread, towards the side with less size."""
        spread = float(Fraction(round(Fraction(bar["spread"]) * 10**9 / self.step), self.tick))
        return spread * (bar["imbalance_1"] / 2)

    def _velocity(self, i: int) -> float | None:
        if self.returns[i] is None:
            return None
        return self.returns[i] + (self.lead[i] - self.lead[i - 1])

    def row(self, i: int) -> Bar:
        """Every number of the bar but VPIN, None where it has none."""
        names = ["return_ticks", "realized_vol_12", "realized_vol_72", "realized_vol_360"]
        names += ["ofi_per_depth", "trade_imbalance", "bid_cancel_to_add", "ask_cancel_to_add"]
        names += ["liquidity_vacuum", "pressure", "microprice_velocity", "microprice_acceleration"]
        names += ["kyle_lambda"]
        bar = self.bars[i]
        if not bar["valid"]:
            return dict.fromkeys(names)
        buy, sell = bar["buy_volume"], bar["sell_volume"]
        flow = _over(bar["ofi"], (bar["tw_bid_depth_10"] + bar["tw_ask_depth_10"]) / 2)
        leaning = _over(buy - sell, buy + sell)
        usual = self._usual_depth(i)
        before = self.velocity[i - 1] if i else None
        now = self.velocity[i]
        values = [self.returns[i], *(self._volatility(i, n) for n in (12, 72, 360))]
        values += [flow, leaning]
        values += [_over(bar[f"{s}_cancelled_sz"], bar[f"{s}_added_sz"]) for s in SIDES]
        values += [None if usual is None else 1 - self.depth[i] / usual]
        values += [_pressure(flow, leaning, bar["imbalance_3"]), now]
        values += [None if now is None or before is None else now - before]
        values += [self._impact(i)]
        return dict(zip(names, values, strict=True))

    def _volatility(self, i: int, n: int) -> float | None:
        known = [r for r in self.returns[max(0, i - n + 1) : i + 1] if r is not None]
        return math.sqrt(_added(r * r for r in known)) if 4 * len(known) >= 3 * n else None

    def _usual_depth(self, i: int) -> float | None:
        known = [d for d in self.depth[max(0, i - 359) : i + 1] if d is not None]
        return (median(known) or None) if len(known) >= 72 else None

    def _impact(self, i: int) -> float | None:
        """Kyle 1985: the slope of the line of least squares through (signed volume, return)."""
        pairs = [
            (self.bars[k]["buy_volume"] - self.bars[k]["sell_volume"], self.returns[k])
            for k in range(max(0, i - 71), i + 1)
            if self.returns[k] is not None
        ]
        if len(pairs) < 54 or len({x for x, _ in pairs}) == 1:
            return None
        mean_x = sum(x for x, _ in pairs) / len(pairs)
        mean_y = _added(y for _, y in pairs) / len(pairs)
        both = _added((x - mean_x) * (y - mean_y) for x, y in pairs)
        return both / _added((x - mean_x) * (x - mean_x) for x, _ in pairs)


def _pressure(*parts: float | None) -> float | None:
    if None in parts:
        return None
    return _added(min(1.0, max(-1.0, x)) for x in parts) / 3


def _added(numbers) -> float:
    """In order: `sum` compensates its rounding since Python 3.12."""
    total = 0.0
    for x in numbers:
        total += x
    return total


def _over(part: float, whole: float) -> float | None:
    return part / whole if whole else None
