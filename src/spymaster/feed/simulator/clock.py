"""Time passes: the loop that turns seconds into records."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.simulator.draws import exponential, uniform
from spymaster.feed.simulator.flow import act, act_before_open, pull
from spymaster.feed.simulator.hot import hot
from spymaster.feed.simulator.market import ROOM, Market
from spymaster.feed.simulator.matching import uncross
from spymaster.feed.simulator.nasdaq import cross
from spymaster.feed.simulator.path import Plan, step
from spymaster.feed.simulator.sessions import BUSY_VOL, CROSS, NS, OPEN, PREOPEN, SPARSE_VOL
from spymaster.feed.simulator.tape import recover

#: Traders answer each other: this share of what happens follows something else at once.
_ANSWERS, _ANSWER_NS = 0.55, 60_000.0
#: Some of these answers come in the very same nanosecond.
_SAME_NS = 0.004
#: The fullest level that the flow aims at, and the rate from which on levels fill up.
_FULL_LEVEL, _FILLING_RATE = 21.0, 60.0


@hot
def advance(
    m: Market,
    plan: Plan,
    touches: NDArray[np.void],
    seconds: NDArray[np.void],
    path: NDArray[np.float64],
    start_ns: int,
    share: float,
) -> bool:
    """Plays `seconds` until done (True) or until `out` is full (False: take it and call again).

    The market that leads moves the plan and writes the fair value to `path`; others read it.
    """
    s = m.state[0]
    while s.second < len(seconds):
        now = seconds[s.second]
        begin = start_ns + s.second * NS
        if s.entered == 0:
            s.entered = 1
            s.now = begin
            s.phase = now.phase
            if s.leads:
                step(plan, m, touches, now.vol, now.phase)
                path[s.second] = plan[0].fair
                s.tilt = plan[0].tilt
                if now.vol > 2 * SPARSE_VOL and uniform(m.rng) < s.bad_rate:
                    s.bad_until = begin + 10 * NS
            moved = path[s.second] + s.basis - s.fair
            s.fair = path[s.second] + s.basis
            if abs(moved) > 8.0 * s.unit and s.status == now.status == OPEN:
                s.jump = moved
            if now.phase & CROSS:
                cross(m, plan)
            if s.status == PREOPEN and now.status == OPEN:
                uncross(m, plan)
            s.status = now.status
            # Where the price hardly moves, few records are enough to fill the levels.
            rate = now.rate * share * (BUSY_VOL / now.vol) ** 2
            full = 0.7 * math.sqrt(rate) * (1.0 + rate / _FILLING_RATE)
            s.depth = min(_FULL_LEVEL, max(1.3, full))
            s.now = begin + _wait(m, now.rate * share, False)
        while s.now < begin + NS:
            if s.n + ROOM + s.live > len(m.out):
                return False
            before = s.n
            if s.bad_until and s.now >= s.bad_until:
                recover(m)
            elif now.status == OPEN and s.jump != 0.0:
                pull(m, plan)
            elif now.status == OPEN:
                act(m, plan)
            else:
                act_before_open(m)
            s.per_action += 0.001 * (min(s.n - before, 60) - s.per_action)
            s.now += _wait(m, now.rate * share, True)
        s.second += 1
        s.entered = 0
    s.second = 0
    return True


@hot
def _wait(m: Market, rate: float, answers: bool) -> int:
    if answers and uniform(m.rng) < _ANSWERS:
        if uniform(m.rng) < _SAME_NS:
            return 0
        return 1 + int(exponential(m.rng, _ANSWER_NS))
    if rate <= 0.0:
        return NS
    actions = rate / m.state[0].per_action * (1.0 - _ANSWERS)
    return 1 + int(min(2e9, exponential(m.rng, 1e9 / actions)))
