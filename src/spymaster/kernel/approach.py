"""Episodes: price comes to a known level after 2 minutes on one side of it, and what becomes of it.

Domain, section 5. Works bar by bar, when a bar has closed: an invalid bar decides nothing, and
only the close says whether a bar is valid. Within the bar, trades count in feed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import BAR_NS
from spymaster.kernel.compiled import compiled
from spymaster.kernel.layout import I64, NONE
from spymaster.kernel.levels import LEVEL
from spymaster.kernel.state import pack, unpack
from spymaster.kernel.trades import TRADE

BREAK, REJECT, CHOP, CENSORED = range(4)

#: A finished episode. Prices and excursions in steps, bars as t // 5 s, `types` a bit per
#: LEVEL_TYPES, `side` +1 from below, -1 from above, `outcome` BREAK, REJECT, CHOP, CENSORED.
EPISODE = np.dtype(
    [
        (name, "<i8")
        for name in [
            "price",
            "types",
            "side",
            "trigger_bar",
            "trigger_t",
            "trigger_price",
            "outcome",
            "outcome_bar",
            "outcome_t",
            "favourable",
            "adverse",
        ]
    ]
)
#: An episode whose outcome is open at the close of `bar`: a vector is made of it.
SETUP = np.dtype(
    [
        (name, "<i8")
        for name in [
            "bar",
            "price",
            "types",
            "side",
            "trigger_bar",
            "earlier",
            "near_bars",
            "touch_volume",
        ]
    ]
)

# A level that is watched: a row of `slots`
(
    _PRICE, _TYPES, _SIDE, _RUN, _EPISODES, _LAST_BAR,  # _LAST_BAR: rho of the previous episode
    _ACTIVE, _TAU, _TRIGGER_T, _TRIGGER_PX, _DIRECTION, _FAVOURABLE, _ADVERSE, _NEAR, _VOLUME,
    _TAU_TYPES,
) = range(16)  # fmt: skip
_SLOT = 16
MAX_LEVELS = 16

# Scalars: how many levels are watched
_N_SLOTS = 0

# What traded in a bar, for levels that become known later: a row of `history`
_HAS, _HI, _LO = range(3)
_EMPTY, _TRADED, _INVALID = range(3)

# Parameters
(
    _P_BAR0, _P_FOCUS1, _P_TRIGGER0, _P_TRIGGER1, _P_TOUCH, _P_BARRIER, _P_APPROACH, _P_TIMEOUT,
    _P_MAX, _P_TICK,
) = range(10)  # fmt: skip


@dataclass(frozen=True)
class ApproachParams:
    """The rule of one contract and session. Windows are (start, end), ns UTC."""

    bars: tuple[int, int]
    focus: tuple[int, int]
    trigger: tuple[int, int]
    touch_ticks: int
    barrier_ticks: int
    approach_bars: int
    timeout_bars: int
    max_episodes: int
    tick_steps: int

    def array(self) -> I64:
        """The parameters as the kernel reads them; touch and barrier in steps."""
        return np.array(
            [
                self.bars[0] // BAR_NS,
                min(self.focus[1], self.bars[1]) // BAR_NS,
                self.trigger[0] // BAR_NS,
                self.trigger[1] // BAR_NS,
                self.touch_ticks * self.tick_steps,
                self.barrier_ticks * self.tick_steps,
                self.approach_bars,
                self.timeout_bars,
                self.max_episodes,
                self.tick_steps,
            ],
            np.int64,
        )


class _State(NamedTuple):
    p: I64
    s: I64
    slots: I64  # [MAX_LEVELS, _SLOT]
    history: I64  # [bars, 3]


@compiled
def _stand(slot: I64, touch: int, has: int, high: int, low: int) -> None:
    """Which side of the level the bar was on, and for how many bars on end."""
    side = slot[_SIDE]
    if has == _INVALID:
        side = 0
    elif has == _TRADED:
        side = 0
        if high < slot[_PRICE] - touch:
            side = 1
        elif low > slot[_PRICE] + touch:
            side = -1
    slot[_RUN] = slot[_RUN] + 1 if side != 0 and side == slot[_SIDE] else (1 if side != 0 else 0)
    slot[_SIDE] = side


@compiled
def _know(b: _State, price: int, kind: int, bar: int) -> None:
    """Watch a level from `bar` on; its past is read from the bars before."""
    for i in range(b.s[_N_SLOTS]):
        if b.slots[i, _PRICE] == price:
            b.slots[i, _TYPES] |= 1 << kind
            return
    slot = b.slots[b.s[_N_SLOTS]]
    b.s[_N_SLOTS] += 1
    slot[:] = 0
    slot[_PRICE] = price
    slot[_TYPES] = 1 << kind
    slot[_LAST_BAR] = NONE
    for j in range(bar - b.p[_P_BAR0]):
        _stand(slot, b.p[_P_TOUCH], b.history[j, _HAS], b.history[j, _HI], b.history[j, _LO])


@compiled
def _finish(slot: I64, row: Any, outcome: int, bar: int, t: int) -> None:
    row.price = slot[_PRICE]
    row.types = slot[_TAU_TYPES]
    row.side = slot[_DIRECTION]
    row.trigger_bar = slot[_TAU]
    row.trigger_t = slot[_TRIGGER_T]
    row.trigger_price = slot[_TRIGGER_PX]
    row.outcome = outcome
    row.outcome_bar = bar
    row.outcome_t = t
    row.favourable = slot[_FAVOURABLE]
    row.adverse = slot[_ADVERSE]
    slot[_ACTIVE] = 0
    slot[_EPISODES] += 1
    slot[_LAST_BAR] = bar


@compiled
def _armed(b: _State, slot: I64, bar: int) -> bool:
    """May an episode begin in this bar?"""
    p = b.p
    return (
        slot[_SIDE] != 0
        and slot[_RUN] >= p[_P_APPROACH]
        and (slot[_LAST_BAR] == NONE or bar - p[_P_APPROACH] > slot[_LAST_BAR])
        and slot[_EPISODES] < p[_P_MAX]
        and p[_P_TRIGGER0] <= bar < p[_P_TRIGGER1]
    )


@compiled
def _follow(b: _State, slot: I64, bar: int, trades: NDArray[Any], row: Any) -> bool:
    """One valid bar at one level: trigger and outcome; True when the episode is finished."""
    p = b.p
    armed = slot[_ACTIVE] == 0 and _armed(b, slot, bar)
    if slot[_ACTIVE] == 0 and not armed:
        return False
    near = False
    for i in range(trades.shape[0]):
        if not armed and slot[_ACTIVE] == 0:
            break
        price = trades[i].price
        beyond = (slot[_SIDE] if armed else slot[_DIRECTION]) * (price - slot[_PRICE])
        if armed:
            if beyond < -p[_P_TOUCH]:
                continue
            armed = False
            slot[_ACTIVE] = 1
            slot[_TAU] = bar
            slot[_TRIGGER_T] = trades[i].t
            slot[_TRIGGER_PX] = price
            slot[_TAU_TYPES] = slot[_TYPES]
            slot[_DIRECTION] = slot[_SIDE]
            slot[_FAVOURABLE] = beyond
            slot[_ADVERSE] = -beyond
            slot[_NEAR] = 0
            slot[_VOLUME] = 0
        slot[_FAVOURABLE] = max(slot[_FAVOURABLE], beyond)
        slot[_ADVERSE] = max(slot[_ADVERSE], -beyond)
        near = near or abs(beyond) <= p[_P_TICK]
        if abs(beyond) <= p[_P_TOUCH]:
            slot[_VOLUME] += trades[i].size
        if beyond >= p[_P_BARRIER] or beyond <= -p[_P_BARRIER]:
            outcome = BREAK if beyond >= p[_P_BARRIER] else REJECT
            _finish(slot, row, outcome, bar, trades[i].t)
            return True
    if slot[_ACTIVE]:
        slot[_NEAR] += 1 if near else 0
        if bar == slot[_TAU] + p[_P_TIMEOUT]:
            _finish(slot, row, CHOP, bar, (bar + 1) * BAR_NS)
            return True
        if bar + 1 >= p[_P_FOCUS1]:
            _finish(slot, row, CENSORED, bar, NONE)
            return True
    return False


@compiled
def _remember(b: _State, bar: int, valid: bool, trades: NDArray[Any]) -> None:
    row = b.history[bar - b.p[_P_BAR0]]
    row[_HAS] = _TRADED if trades.shape[0] else _EMPTY
    if not valid:
        row[_HAS] = _INVALID
    for i in range(trades.shape[0]):
        price = trades[i].price
        row[_HI] = price if i == 0 else max(row[_HI], price)
        row[_LO] = price if i == 0 else min(row[_LO], price)


@compiled
def _advance(
    b: _State,
    starts: I64,
    valid: NDArray[np.bool_],
    levels: NDArray[Any],
    trades: NDArray[Any],
    episodes: NDArray[Any],
    setups: NDArray[Any],
) -> tuple[int, int, int]:
    """Run over closed bars; returns (episodes, setups, trades used)."""
    n_episodes = 0
    n_setups = 0
    used = 0
    for k in range(starts.shape[0]):
        bar = starts[k] // BAR_NS
        first = used
        while used < trades.shape[0] and trades[used].t < starts[k] + BAR_NS:
            used += 1
        # Trades before the contract's first bar of the window belong to no bar.
        while first < used and trades[first].t < starts[k]:
            first += 1
        if bar >= b.p[_P_FOCUS1]:
            continue
        here = trades[first:used]
        for j in range(levels.shape[0]):
            if levels[j].known_at // BAR_NS <= bar and levels[j].type >= 0:
                _know(b, levels[j].price, levels[j].type, bar)
                levels[j].type = -1
        _remember(b, bar, valid[k], here)
        row = b.history[bar - b.p[_P_BAR0]]
        for i in range(b.s[_N_SLOTS]):
            slot = b.slots[i]
            if valid[k]:
                if _follow(b, slot, bar, here, episodes[n_episodes]):
                    n_episodes += 1
            elif slot[_ACTIVE]:
                _finish(slot, episodes[n_episodes], CENSORED, bar, NONE)
                n_episodes += 1
            if slot[_ACTIVE]:
                setup = setups[n_setups]
                setup.bar = bar
                setup.price = slot[_PRICE]
                setup.types = slot[_TAU_TYPES]
                setup.side = slot[_DIRECTION]
                setup.trigger_bar = slot[_TAU]
                setup.earlier = slot[_EPISODES]
                setup.near_bars = slot[_NEAR]
                setup.touch_volume = slot[_VOLUME]
                n_setups += 1
            _stand(slot, b.p[_P_TOUCH], row[_HAS], row[_HI], row[_LO])
    return n_episodes, n_setups, used


class Approaches:
    """The episodes of one contract and session.

    An episode names the types that its price was known to have at the trigger.
    """

    def __init__(self, params: ApproachParams) -> None:
        p = params.array()
        self._state = _State(
            p=p,
            s=np.zeros(1, np.int64),
            slots=np.zeros((MAX_LEVELS, _SLOT), np.int64),
            history=np.zeros((max(0, int(p[_P_FOCUS1] - p[_P_BAR0])), 3), np.int64),
        )
        self._levels = np.zeros(0, LEVEL)
        self._trades = np.zeros(0, TRADE)

    def advance(
        self, trades: NDArray[Any], levels: NDArray[Any], starts: I64, valid: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Take trades (`TRADE`), levels that became known (`LEVEL`), and then closed bars.

        `starts` and `valid` are the bars' bar_start and valid. Trades of bars that have not closed
        and levels that are not known yet wait. Returns finished episodes (`EPISODE`) and the
        setups (`SETUP`) of those bars.
        """
        bar0, focus1 = (int(x) * BAR_NS for x in self._state.p[:2])
        counts = (trades["t"] >= bar0) & (trades["t"] < focus1)
        waiting = np.concatenate([self._trades, trades[counts]])
        known = np.concatenate([self._levels, levels])
        episodes = np.zeros(len(starts) * MAX_LEVELS, EPISODE)
        setups = np.zeros(len(starts) * MAX_LEVELS, SETUP)
        n_episodes, n_setups, used = _advance(
            self._state, starts, valid, known, waiting, episodes, setups
        )
        self._trades = waiting[used:].copy()
        self._levels = known[known["type"] >= 0]
        return episodes[:n_episodes], setups[:n_setups]

    def to_bytes(self) -> bytes:
        """The whole state."""
        waiting = [self._levels.view(np.int64), self._trades.view(np.int64)]
        return pack("APPROACH", 1, [*self._state, *waiting])

    @classmethod
    def from_bytes(cls, data: bytes) -> Approaches:
        """Episodes that go on where `to_bytes` left off. ValueError for another version."""
        a = cls.__new__(cls)
        *state, levels, trades = unpack(data, "APPROACH", 1)[1]
        a._state = _State(*state)
        a._levels, a._trades = levels.view(LEVEL), trades.view(TRADE)
        return a
