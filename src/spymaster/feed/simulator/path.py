"""Where the market wants to be: it wanders, seeks a level, touches it, and then decides.

The plan moves a fair value once a second; order flow pulls the quotes after it. Each approach
tosses z, the way the fair value drifts after the touch (+1 through the level, -1 back), and w,
the way order flow comes to lean before and just after it. Order flow never sees z itself, and it
leans at other times too: a mood comes and goes all day and means nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.simulator.config import SimulationConfig
from spymaster.feed.simulator.draws import normal, uniform
from spymaster.feed.simulator.hot import hot
from spymaster.feed.simulator.market import Market
from spymaster.feed.simulator.sessions import (
    OPENING_KNOWN,
    OPENING_RANGE,
    PREMARKET,
    PREMARKET_KNOWN,
    REGULAR,
    TRIGGER,
)

Plan = NDArray[np.void]

WANDER, RETREAT, APPROACH, EPISODE = 0, 1, 2, 3

PLAN = np.dtype(
    [
        ("fair", "<f8"),
        ("anchor", "<f8"),
        ("mode", "<i8"),
        ("level", "<i8"),
        ("s", "<i8"),
        ("z", "<i8"),
        ("w", "<i8"),
        ("tilt", "<f8"),
        ("mood", "<f8"),
        ("since", "<i8"),
        ("need", "<f8"),
        ("distance", "<f8"),
        ("touched", "<i8"),
        ("touch_ns", "<i8"),
        ("strength", "<f8"),
        ("signal", "<i8"),
        ("touch", "<f8"),
        ("barrier", "<f8"),
        ("approach_s", "<f8"),
        ("timeout_s", "<f8"),
        ("touches", "<i8"),
        ("unit", "<f8"),
        ("gap_rate", "<f8"),
        ("gap_due", "<i8"),
        ("gaps", "<i8"),
    ]
)

#: Drift and spread of the fair value over a whole timeout, in barriers.
DRIFT, SPREAD = 1.35, 0.85
#: An approach moves this many ticks a second at most; a level farther than this many barriers
#: is sought only if it is the nearest.
_SPEED, _REACH = 0.22, 3.0
#: Order flow leans this long into the episode, then lets go within `_FADE_S`.
_LEAN_S, _FADE_S = 60.0, 30.0
#: The full lean; where many orders arrive a smaller one shows as clearly.
_LEAN_MOST, _LEAN_DEPTH = 0.95, 1.85
#: The mood's spread, and the seconds that it lasts.
_MOOD, _MOOD_S = 0.28, 60.0
#: While wandering the fair value keeps within about this many ticks of where it began.
_RANGE_TICKS = 22.0


def new_plan(config: SimulationConfig) -> Plan:
    """A plan that stands at the start price."""
    plan = np.zeros(1, PLAN)
    plan["fair"] = plan["anchor"] = config.start_price * 1e9 / config.venue.tick_px
    plan["unit"] = config.venue.unit
    plan["strength"], plan["signal"] = config.strength, config.signal
    plan["touch"], plan["barrier"] = config.touch_ticks, config.barrier_ticks
    plan["approach_s"], plan["timeout_s"] = config.approach_bars * 5, config.timeout_bars * 5
    return plan


@hot
def step(plan: Plan, m: Market, touches: NDArray[np.void], vol: float, phase: int) -> None:
    """One second passes."""
    p = plan[0]
    x = p.fair + m.state[0].basis
    noise = normal(m.rng)
    p.since += 1
    if phase & TRIGGER and uniform(m.rng) < p.gap_rate:
        p.gap_due = 1
    if not phase & TRIGGER and p.mode != WANDER:
        _wander(plan, x - m.state[0].basis)
    if p.mode == EPISODE:
        x += p.s * p.z * DRIFT * p.barrier / p.timeout_s
        x += SPREAD * p.barrier / math.sqrt(p.timeout_s) * noise
        if abs(x - p.level) >= p.barrier + 1.5 * p.unit or p.since > p.timeout_s + 5:
            _wander(plan, x - m.state[0].basis)
    elif p.mode == APPROACH:
        x = _approach(plan, m, touches, x, noise)
    elif p.mode == RETREAT:
        to = p.level - p.s * p.distance
        x += min(max(to - x, -0.35 * p.unit), 0.35 * p.unit) + 0.25 * p.unit * noise
        if abs(to - x) < 2.0 * p.unit:
            _start(plan, m, abs(x - p.level))
        elif p.since > 600:
            _wander(plan, x - m.state[0].basis)
    else:
        pull = vol * vol / (2.0 * _RANGE_TICKS * _RANGE_TICKS)
        x += p.unit * vol * noise + pull * (p.anchor + m.state[0].basis - x)
        if phase & TRIGGER and p.gap_due:
            x = _jump(plan, m, x, phase)
        elif phase & TRIGGER:
            _choose(plan, m, x, phase)
    p.fair = x - m.state[0].basis
    _lean(plan, m.state[0].depth, normal(m.rng))


@hot
def _lean(plan: Plan, depth: float, noise: float) -> None:
    """The lean of the flow this second: what w says, as far as it shows by now, and the mood.

    It grows until the last `approach_s` before the touch.
    """
    p = plan[0]
    p.mood += math.sqrt(2.0 / _MOOD_S) * _MOOD * noise - p.mood / _MOOD_S
    shows = 0.0
    if p.mode == APPROACH:
        shows = p.since / (p.need - p.approach_s)
    elif p.mode == EPISODE:
        shows = (_LEAN_S + _FADE_S - p.since) / _FADE_S
    full = min(_LEAN_MOST, _LEAN_DEPTH / max(1.0, depth))
    p.tilt = min(max(p.s * p.w * full * min(max(shows, 0.0), 1.0) + p.mood, -1.0), 1.0)


@hot
def _wander(plan: Plan, fair: float) -> None:
    p = plan[0]
    p.mode, p.anchor, p.since = WANDER, fair, 0


@hot
def _start(plan: Plan, m: Market, distance: float) -> None:
    """An approach begins: it lasts long enough to count as one."""
    p = plan[0]
    p.mode, p.since, p.touched, p.distance = APPROACH, 0, 0, distance
    p.need = max(p.approach_s + 25.0 + 60.0 * uniform(m.rng), distance / (_SPEED * p.unit))
    p.z = 1 if uniform(m.rng) < 0.5 else -1
    same = uniform(m.rng) < p.strength and p.signal
    toss = 1 if uniform(m.rng) < 0.5 else -1
    p.w = p.z if same else toss


@hot
def _approach(plan: Plan, m: Market, touches: NDArray[np.void], x: float, noise: float) -> float:
    p = plan[0]
    early = p.since < p.approach_s + 12.0
    if p.touched:
        if early:
            p.mode, p.since = RETREAT, 0
            p.distance = p.touch + 10.0 * p.unit
            return x
        p.mode, p.since = EPISODE, 0
        row = touches[p.touches]
        row.time, row.level, row.s, row.z, row.w = p.touch_ns, p.level, p.s, p.z, p.w
        p.touches += 1
        return x
    distance = p.distance * (1.0 - p.since / p.need)
    if p.since > p.need:
        distance = -0.2 * p.unit * (p.since - p.need)
    if early:
        distance = max(distance, p.touch + 4.0 * p.unit)
    x += 0.15 * (p.level - p.s * distance - x) + 0.3 * p.unit * noise
    if early and p.s * (p.level - x) < p.touch + 2.5 * p.unit:
        x = p.level - p.s * (p.touch + 2.5 * p.unit)
    return float(x)


@hot
def _choose(plan: Plan, m: Market, x: float, phase: int) -> None:
    """Next is the nearest level above or below: no level is run over on the way to another."""
    p = plan[0]
    above, below = _nearest(m, x, phase)
    if above < 0 and below < 0:
        return
    up = uniform(m.rng) < 0.5
    if above < 0 or below < 0:
        up = above > 0
    elif max(above - x, x - below) > _REACH * p.barrier:
        up = above - x < x - below
    p.level, p.s = (above, 1) if up else (below, -1)
    distance = abs(x - p.level)
    if distance < p.touch + 8.0 * p.unit:
        p.mode, p.since = RETREAT, 0
        p.distance = p.touch + 8.0 * p.unit + 0.5 * p.barrier * uniform(m.rng)
    else:
        _start(plan, m, distance)


@hot
def _level(m: Market, k: int, phase: int) -> int:
    """PD_HIGH, PD_LOW, PD_CLOSE, PM_HIGH, PM_LOW, OR_HIGH, OR_LOW; -1 while unknown."""
    if k < 3:
        return int(m.prior[k])
    if k < 5:
        return int(m.extremes[0, k - 3]) if phase & PREMARKET_KNOWN else -1
    return int(m.extremes[1, k - 5]) if phase & OPENING_KNOWN else -1


@hot
def _nearest(m: Market, x: float, phase: int) -> tuple[int, int]:
    """The nearest known level above and the nearest at or below; -1 where there is none."""
    above, below = -1, -1
    for k in range(7):
        level = _level(m, k, phase)
        if level > x and (above < 0 or level < above):
            above = level
        if 0 < level <= x and level > below:
            below = level
    return above, below


@hot
def _jump(plan: Plan, m: Market, x: float, phase: int) -> float:
    """News: the price is past the nearest level between one trade and the next."""
    p = plan[0]
    p.gap_due = 0
    p.gaps += 1
    above, below = _nearest(m, x, phase)
    up = below < 0 or (above > 0 and above - x < x - below)
    level = above if up else below
    beyond = p.barrier * (0.4 + 0.8 * uniform(m.rng))
    distance = abs(level - x) if level > 0 else 0.0
    if distance > _REACH * p.barrier:
        distance = 0.0
    return float(x + (1.0 if up else -1.0) * (distance + beyond))


@hot
def seen(m: Market, plan: Plan, px: int) -> None:
    """A trade sets the highs and lows of its windows, and may touch the level being approached."""
    s = m.state[0]
    for row, bit in ((0, PREMARKET), (1, OPENING_RANGE), (2, REGULAR)):
        if s.phase & bit:
            if m.extremes[row, 0] < 0 or px > m.extremes[row, 0]:
                m.extremes[row, 0] = px
            if m.extremes[row, 1] < 0 or px < m.extremes[row, 1]:
                m.extremes[row, 1] = px
            m.extremes[row, 2] = px
    p = plan[0]
    if s.leads and p.mode == APPROACH and p.touched == 0 and p.s * (px - p.level) >= -p.touch:
        p.touched, p.touch_ns = 1, s.event
