"""A vector by the meaning of its names: dicts of bars in, a dict of numbers out, None if missing.

Written from domain section 6 and the one-line meanings in gold.vector_spec; imports nothing of
the kernel. Prices are exact fractions of a tick, least squares has exact weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from spymaster.contracts.event import BAR_NS

Bar = dict[str, object]
Number = Fraction | float | int
WINDOWS = (3, 12, 36, 72)


@dataclass(frozen=True)
class Market:
    """What is the same for all vectors of a session; focus_start in ns UTC."""

    price_step: int
    tick_steps: int
    focus_start: int
    touch_ticks: int
    barrier_ticks: int

    def ticks(self, px: float) -> Fraction:
        """A price in ticks; prices and mids lie on half steps, which a float may just miss."""
        return Fraction(round(Fraction(px) * 2 * 10**9 / self.price_step), 2 * self.tick_steps)

    def off_grid_ticks(self, px: float) -> Fraction:
        """A mean of prices in ticks: it lies anywhere."""
        return Fraction(px) * 10**9 / (self.price_step * self.tick_steps)


@dataclass(frozen=True)
class Setup:
    """An open episode: price in steps, side (+1 from below), start of its bar in ns UTC."""

    level: int
    side: int
    trigger_bar: int
    earlier_episodes: int


def oracle_vector(
    bars: Sequence[Bar],
    trades: Iterable[tuple],
    levels: Iterable[dict[str, object]],
    setup: Setup,
    market: Market,
    at_level: Bar,
) -> dict[str, float]:
    """Every number of the vector at the close of the last of ``bars``, by name; NaN: missing.

    ``bars`` are all of the session so far, dense; ``trades`` and ``levels`` (prices in steps) may
    go on beyond it; ``at_level`` is what the last bar saw at the level (silver.level_book).
    """
    day, trades = _Day(bars, setup, market), list(trades)
    found = day.now() | day.lookback() | day.context(trades, list(levels))
    found |= day.at_level(at_level, trades)
    return {name: math.nan if x is None else float(x) for name, x in found.items()}


class _Day:
    """The bars up to now, seen from the side that price comes from."""

    def __init__(self, bars: Sequence[Bar], setup: Setup, market: Market) -> None:
        self.bars, self.setup, self.market = bars, setup, market
        self.s = setup.side
        self.level = Fraction(setup.level, market.tick_steps)
        self.ahead, self.behind = ("ask", "bid") if self.s > 0 else ("bid", "ask")
        self.last = len(bars) - 1
        self.scales = self._scales()

    # one bar -------------------------------------------------------------------------------

    def get(self, i: int, name: str) -> Number | None:
        """A bar's number; of an invalid bar there are none."""
        if i < 0 or not self.bars[i]["valid"]:
            return None
        return self.bars[i][name]  # type: ignore[return-value]

    def both(self, i: int, name: str) -> Number | None:
        bid, ask = self.get(i, name.format("bid")), self.get(i, name.format("ask"))
        return None if bid is None or ask is None else bid + ask

    def mid(self, i: int) -> Fraction | None:
        px = self.get(i, "mid")
        return None if px is None else self.market.ticks(px)

    def change(self, i: int) -> Fraction | None:
        now, before = self.mid(i), self.mid(i - 1)
        return None if now is None or before is None else now - before

    def micro_lead(self, i: int) -> Fraction | None:
        px, mid = self.get(i, "microprice"), self.mid(i)
        return None if px is None or mid is None else self.s * (self.off_grid(px) - mid)

    def off_grid(self, px: Number) -> Fraction:
        return self.market.off_grid_ticks(px)  # type: ignore[arg-type]

    def width(self, i: int, name: str) -> Fraction | None:
        px = self.get(i, name)
        return None if px is None else self.off_grid(px)

    def distance(self, i: int) -> Fraction | None:
        mid = self.mid(i)
        return None if mid is None else self.s * (self.level - mid)

    def distance_to(self, i: int, name: str) -> Fraction | None:
        px = self.get(i, name)
        return None if px is None else self.s * (self.level - self.off_grid(px))

    def range(self, i: int) -> Fraction | None:
        high, low = self.get(i, "high"), self.get(i, "low")
        return None if high is None or low is None else self.off_grid(high) - self.off_grid(low)

    def leaning(self, i: int, name: str) -> Number | None:
        value = self.get(i, name)
        return None if value is None else self.s * value

    def flow(self, i: int, name: str) -> Number | None:
        flow, depth = self.leaning(i, name), self.both(i, "tw_{}_depth_10")
        return None if flow is None else _ratio(flow, None if depth is None else depth / 2)

    def trade_imbalance(self, i: int) -> Number | None:
        buy, sell = self.get(i, "buy_volume"), self.get(i, "sell_volume")
        if buy is None or sell is None:
            return None
        return _ratio(self.s * (buy - sell), buy + sell)

    # medians ---------------------------------------------------------------------------------

    def _scales(self) -> dict[str, Number | None]:
        """What sizes and counts are measured by: medians of what a usual bar has."""
        per_side = {
            "best_sz": "{}_sz",
            "best_ct": "{}_ct",
            "depth_10": "{}_depth_10",
            "depth_4t": "{}_depth_4t",
            "depth_20t": "{}_depth_20t",
            "tw_sz": "tw_{}_sz",
            "tw_depth": "tw_{}_depth_10",
            "mean_order": "{}_mean_order_sz",
        }
        of_both = {"added": "{}_added_sz", "pulled": "{}_cancelled_sz"}
        of_bar = {"volume": "volume", "n_trades": "n_trades", "n_events": "n_events"}
        near = range(max(0, self.last - 359), self.last + 1)
        return (
            {k: _half(_median(self.both(i, v) for i in near)) for k, v in per_side.items()}
            | {k: _median(self.both(i, v) for i in near) for k, v in of_both.items()}
            | {k: _median(self.get(i, v) for i in near) for k, v in of_bar.items()}
        )

    def scaled(self, i: int, name: str, scale: str) -> Number | None:
        value = self.get(i, name)
        return None if value is None else _ratio(value, self.scales[scale])

    # blocks ------------------------------------------------------------------------------------

    def now(self) -> dict[str, Number | None]:
        i, m = self.last, self.market
        distance, volatility = self.distance(i), self.volatility()
        seconds = self.get(i, "ns_book")
        change = self.change(i)
        out: dict[str, Number | None] = {
            "distance_ticks": distance,
            "distance_barriers": None if distance is None else distance / m.barrier_ticks,
            "distance_vol": _ratio(distance, volatility),
            "close_distance_ticks": self.distance_to(i, "close"),
            "vwap_distance_ticks": self.distance_to(i, "vwap"),
            "return_ticks": None if change is None else self.s * change,
            "range_ticks": self.range(i),
            "volatility_72": volatility,
            "micro_lead_ticks": self.micro_lead(i),
            "spread_ticks": self.width(i, "spread"),
            "tw_spread_ticks": self.width(i, "tw_spread"),
            "book_time_share": None if seconds is None else seconds / BAR_NS,
            "trade_imbalance": self.trade_imbalance(i),
            "ofi": self.flow(i, "ofi"),
            "volume": self.scaled(i, "volume", "volume"),
            "n_trades": self.scaled(i, "n_trades", "n_trades"),
            "n_events": self.scaled(i, "n_events", "n_events"),
        }
        out |= {f"imbalance_{n}": self.leaning(i, f"imbalance_{n}") for n in (1, 3, 5, 10)}
        out |= {f"mlofi_{n}": self.flow(i, f"mlofi_{n}") for n in (2, 3, 4, 5)}
        towards, away = ("buy", "sell") if self.s > 0 else ("sell", "buy")
        out["volume_towards"] = self.scaled(i, f"{towards}_volume", "volume")
        out["volume_away"] = self.scaled(i, f"{away}_volume", "volume")
        for where, side in (("ahead", self.ahead), ("behind", self.behind)):
            out |= self._side_now(where, side)
        return out

    def _side_now(self, where: str, side: str) -> dict[str, Number | None]:
        i = self.last
        scaled = {
            "best_{}_sz": ("{}_sz", "best_sz"),
            "best_{}_ct": ("{}_ct", "best_ct"),
            "depth_10_{}": ("{}_depth_10", "depth_10"),
            "depth_4t_{}": ("{}_depth_4t", "depth_4t"),
            "depth_20t_{}": ("{}_depth_20t", "depth_20t"),
            "tw_sz_{}": ("tw_{}_sz", "tw_sz"),
            "tw_depth_{}": ("tw_{}_depth_10", "tw_depth"),
            "added_{}": ("{}_added_sz", "added"),
            "pulled_{}": ("{}_cancelled_sz", "pulled"),
            "refilled_{}": ("{}_refilled_sz", "volume"),
            "largest_{}": ("{}_largest_sz", "best_sz"),
            "mean_order_{}": ("{}_mean_order_sz", "mean_order"),
        }
        plain = {
            "queue_age_{}": "{}_queue_age_s",
            "age_known_{}": "{}_age_known_share",
            "largest_{}_ticks": "{}_largest_ticks",
            "executed_old_{}": "{}_executed_old_share",
        }
        return {
            name.format(where): self.scaled(i, column.format(side), scale)
            for name, (column, scale) in scaled.items()
        } | {name.format(where): self.get(i, c.format(side)) for name, c in plain.items()}

    def at_level(self, row: Bar, trades: list[tuple]) -> dict[str, Number | None]:
        """The book within touch of the level, and how much of the episode's volume it bore."""
        resting = row["bid_resting_sz"] + row["ask_resting_sz"]
        out: dict[str, Number | None] = {
            "level_volume": _ratio(row["traded_sz"], self.scales["volume"]),
            "absorption": _ratio(self.touch_volume(trades), resting),
        }
        scaled = {
            "level_{}_sz": ("resting_sz", "depth_10"),
            "level_{}_ct": ("resting_ct", "best_ct"),
            "level_added_{}": ("added_sz", "added"),
            "level_pulled_{}": ("cancelled_sz", "pulled"),
            "level_executed_{}": ("executed_sz", "volume"),
            "level_refilled_{}": ("refilled_sz", "volume"),
        }
        for where, side in (("ahead", self.ahead), ("behind", self.behind)):
            for name, (column, scale) in scaled.items():
                out[name.format(where)] = _ratio(row[f"{side}_{column}"], self.scales[scale])
            out[f"level_refill_share_{where}"] = row[f"{side}_refill_share"]
        return out

    def touch_volume(self, trades: list[tuple]) -> int:
        """What traded within touch of the level in this episode, up to the last bar."""
        m, level, last = self.market, self.setup.level, self.bars[self.last]["bar_start"]
        touch = m.touch_ticks * m.tick_steps
        mine = [x for x in trades if self.setup.trigger_bar <= x[4] <= last]
        return sum(x[2] for x in mine if abs(x[1] - level) <= touch)

    def volatility(self) -> float | None:
        changes = [self.change(i) for i in range(self.last - 71, self.last + 1)]
        known = [c for c in changes if c is not None]
        if len(known) < 54:
            return None
        return math.sqrt(sum(c * c for c in known) / len(known))

    def series(self, name: str, i: int) -> Number | None:
        """One base series at bar i, in units of now."""
        side = self.ahead if name.endswith("_ahead") else self.behind
        if name.startswith(("added", "pulled")):
            word = "added" if name.startswith("added") else "cancelled"
            return self.scaled(i, f"{side}_{word}_sz", name.split("_")[0])
        if name.startswith("depth"):
            return self.scaled(i, f"tw_{side}_depth_10", "tw_depth")
        if name.startswith("queue_age"):
            return self.get(i, f"{side}_queue_age_s")
        if name in ("volume", "n_events"):
            return self.scaled(i, name, name)
        if name in ("imbalance_1", "imbalance_5"):
            return self.leaning(i, name)
        change = self.change(i)
        return {
            "distance": self.distance(i),
            "micro_lead": self.micro_lead(i),
            "spread": self.width(i, "spread"),
            "ofi": self.flow(i, "ofi"),
            "trade_imbalance": self.trade_imbalance(i),
            "volatility": None if change is None else abs(change),
        }[name]

    def lookback(self) -> dict[str, Number | None]:
        names = ["distance", "micro_lead", "spread", "imbalance_1", "imbalance_5", "ofi"]
        names += ["trade_imbalance", "volume", "n_events", "volatility"]
        for word in ("added", "pulled", "depth", "queue_age"):
            names += [f"{word}_ahead", f"{word}_behind"]
        out: dict[str, Number | None] = {}
        for name in names:
            past = [self.series(name, i) for i in range(self.last - 71, self.last + 1)]
            for window in WINDOWS:
                mean, slope, curvature = trend(past[-window:])
                out[f"{name}_mean_{window}"] = mean
                out[f"{name}_slope_{window}"] = slope
                out[f"{name}_curvature_{window}"] = curvature
        return out

    def context(
        self, trades: list[tuple], levels: list[dict[str, object]]
    ) -> dict[str, Number | None]:
        """``trades`` are (t, price in steps, size, side, bar_start).

        A level counts from the first bar that begins at or after its known_at, as for triggers.
        """
        m, setup, s = self.market, self.setup, self.s
        now = self.bars[self.last]
        mine = [x for x in trades if setup.trigger_bar <= x[4] <= now["bar_start"]]
        near = {x[4] for x in mine if abs(x[1] - setup.level) <= m.tick_steps}
        others = [
            Fraction(s * (x["level_price"] - setup.level), m.tick_steps)
            for x in levels
            if x["known_at"] <= now["bar_start"]
        ]
        return {
            "bars_since_trigger": (now["bar_start"] - setup.trigger_bar) // BAR_NS,
            "earlier_episodes": setup.earlier_episodes,
            "near_bars": len(near),
            "touch_volume": _ratio(self.touch_volume(trades), self.scales["volume"]),
            "minutes_into_session": Fraction(now["bar_end"] - m.focus_start, 60 * 10**9),
            "next_level_ahead_ticks": min((d for d in others if d > 0), default=None),
            "next_level_behind_ticks": min((-d for d in others if d < 0), default=None),
        }


def _ratio(value: Number | None, by: Number | None) -> Number | None:
    return None if value is None or by is None or by == 0 else float(value) / float(by)


def _half(value: Number | None) -> Number | None:
    return None if value is None else value / 2


def _median(values: Iterable[Number | None]) -> Number | None:
    known = sorted(v for v in values if v is not None)
    if len(known) < 72:
        return None
    middle = len(known) // 2
    return known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2


def trend(past: Sequence[Number | None]) -> tuple[float | None, float | None, float | None]:
    """Mean, least-squares slope and second derivative of a window, oldest first.

    >>> trend([1, 4, 9])
    (4.666666666666667, 4.0, 2.0)
    >>> trend([1, None, 9])
    (None, None, None)
    """
    places = tuple(i for i, x in enumerate(past) if x is not None)
    if len(places) < max(3, math.ceil(len(past) * 3 / 4)):
        return None, None, None
    values = [float(past[i]) for i in places]  # type: ignore[arg-type]
    return tuple(  # type: ignore[return-value]
        math.fsum(w * v for w, v in zip(weights, values, strict=True))
        for weights in _weights(places)
    )


@cache
def _weights(places: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """What each value weighs in the mean, the slope and twice the square's coefficient.

    Least squares by the normal equations, solved in fractions by Cramer's rule.
    """
    n = len(places)
    p = [sum(Fraction(x) ** k for x in places) for k in range(5)]
    line = n * p[2] - p[1] * p[1]
    parabola = _det([[p[0], p[1], p[2]], [p[1], p[2], p[3]], [p[2], p[3], p[4]]])
    slope = [(n * x - p[1]) / line for x in places]
    curve = [
        2 * _det([[p[0], p[1], 1], [p[1], p[2], x], [p[2], p[3], x * x]]) / parabola for x in places
    ]
    return (1 / n,) * n, tuple(map(float, slope)), tuple(map(float, curve))


def _det(m: list[list[Number]]) -> Number:
    (a, b, c), (d, e, f), (g, h, i) = m
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
