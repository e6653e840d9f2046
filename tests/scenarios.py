"""Situations for the kernel and for its oracle alike: records of one contract, and its session."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spymaster.contracts.event import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_FILL,
    ACTION_GAP,
    ACTION_MODIFY,
    ACTION_TRADE,
    BAR_NS,
    EVENT,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_SNAPSHOT,
    NOTE_BACKWARDS,
    NS,
    SIDE_ASK,
    SIDE_BID,
)
from tests.oracle import evening
from tests.oracle.params import ApproachParams, Params

NONE = -(2**63)
DAY_NS = 86_400 * NS
MARKS = list[tuple[int, int]]
#: Price step in 1e-9 currency and steps per tick of the random feeds' two venues.
GRID = {"cme": (250_000_000, 1), "nasdaq": (100_000, 100)}
MID_PX = {"cme": 4800 * NS, "nasdaq": 80 * NS}
QUICK = ApproachParams(
    touch_ticks=1, barrier_ticks=3, approach_bars=2, timeout_bars=8, max_episodes=8
)


@dataclass(frozen=True)
class Scenario:
    """Records (`EVENT`, feed order), the session's parameters, and legal clock marks.

    A mark (i, c): after the first i records the feed has reached ts_recv c.
    """

    name: str
    events: np.ndarray
    params: Params
    rule: ApproachParams
    marks: MARKS = field(default_factory=list)
    previous: dict[str, int] = field(default_factory=dict)  # PD_HIGH ..., 1e-9
    previous_volume: int | None = None

    @property
    def selected(self) -> bool:
        """Options have bars only."""
        return self.params.kind != "OPT"

    @property
    def session_date(self) -> dt.date:
        return dt.date.fromtimestamp(self.params.windows["bars"][0] // NS)

    @property
    def hull(self) -> tuple[int, int]:
        windows = self.params.windows.values()
        return min(w[0] for w in windows), max(w[1] for w in windows)

    @property
    def last_mark(self) -> int:
        """A mark that closes every event, market snapshot, bar and window."""
        return max(int(self.events["ts_recv"][-1]), self.hull[1]) + 20 * NS

    @property
    def all_marks(self) -> MARKS:
        return [*self.marks, (len(self.events), self.last_mark)]


def real_evening() -> Scenario:
    """Two hours of ES on Christmas evening 2023, vendor data; skips the test where it is absent."""
    from tests.real_data import es_mbo

    events = events_of(raw_records(es_mbo("20231225")), evening.STEP)
    return Scenario(
        "real evening", events, evening.PARAMS, evening.APPROACH, previous_volume=12_345
    )


def two_real_days() -> Scenario:
    """The evening after the file of the day before, in windows that begin at its midnight."""
    from tests.real_data import es_mbo

    days = ("20231224", "20231225")
    files = [events_of(raw_records(es_mbo(day)), evening.STEP) for day in days]
    midnight = evening.ORIGIN - DAY_NS
    windows = evening.WINDOWS | {"bars": (midnight, evening.clock(24))}
    params = replace(evening.PARAMS, windows=windows, origin=midnight)
    return Scenario("two real days", np.concatenate(files), params, evening.APPROACH)


def reflected(s: Scenario, level: int) -> Scenario:
    """The same market in a mirror: prices (in steps) reflected about a level, sides swapped."""
    events = s.events.copy()
    priced = events["price"] != NONE
    events["price"][priced] = 2 * level - events["price"][priced]
    side = s.events["side"]
    events["side"][side == SIDE_BID] = SIDE_ASK
    events["side"][side == SIDE_ASK] = SIDE_BID
    swap = {"PD_HIGH": "PD_LOW", "PD_LOW": "PD_HIGH", "PD_CLOSE": "PD_CLOSE"}
    nano = 2 * level * s.params.price_step
    previous = {swap[name]: nano - price for name, price in s.previous.items()}
    return replace(s, name=f"{s.name}, reflected", events=events, previous=previous)


def raw_records(path: Path) -> np.ndarray:
    """All MBO records of a DBN file."""
    from spymaster.feed.dbn import DbnReader

    with DbnReader(path) as reader:
        return np.concatenate([chunk.records for chunk in reader.chunks()])


def events_of(raw: np.ndarray, price_step: int) -> np.ndarray:
    """Raw DBN MBO rows of one instrument as `EVENT`."""
    letters = {"action": "S1", "side": "S1"}
    dtype = np.dtype([(n, letters.get(n, raw.dtype[n].str)) for n in raw.dtype.names])
    return evening.encode(raw.view(dtype), price_step)


def random_scenario(seed: int, venue: str, kind: str = "FUT", n: int = 700) -> Scenario:
    """A random feed with everything that may go wrong, and windows laid over it."""
    from spymaster.feed.simulator import random_stream

    rng = np.random.default_rng([seed, len(venue), n])
    step, tick_steps = GRID[venue]
    events = events_of(random_stream(rng, n, venue, width=4, mid_px=MID_PX[venue]), step)
    events = disturbed(events, rng, snapshots=venue == "cme")
    params = _params(rng, events, kind, step, tick_steps)
    prices = events["price"][events["price"] != NONE]
    middle = int(np.median(prices)) // tick_steps * tick_steps
    previous = {
        name: (middle + int(rng.integers(-8, 9)) * tick_steps) * step
        for name in ("PD_HIGH", "PD_LOW", "PD_CLOSE")
        if rng.random() < 0.7
    }
    volume = (None, 400, 40, 1500, 0)[seed % 5]
    s = Scenario(f"{venue} {kind} {seed}", events, params, QUICK, [], previous, volume)
    return replace(s, marks=legal_marks(rng, events))


WALK = ApproachParams(
    touch_ticks=1, barrier_ticks=5, approach_bars=2, timeout_bars=4, max_episodes=3
)


def walk_scenario(seed: int, n: int = 900) -> Scenario:
    """A trade every second or two, its price a random walk: many episodes, little else.

    The book stands far away on both sides; now and then it is in doubt until the next snapshot.
    """
    rng = np.random.default_rng([seed, n])
    start = 1_704_810_600 * NS
    standing = np.zeros(2, EVENT)
    standing["action"], standing["size"], standing["order_id"] = ACTION_ADD, 5, (1, 2)
    standing["side"], standing["price"] = (SIDE_BID, SIDE_ASK), (800, 1200)
    standing["flags"] = F_SNAPSHOT
    parts, now, price = [], start, 1000
    for i in range(n):
        now += int(rng.integers(1, 2 * NS)) if rng.random() < 0.99 else 30 * NS
        if i == 0 or rng.random() < 0.05:
            rows = standing.copy()
            rows["size"] = rng.integers(1, 9, 2)
        elif i in (3, 6):
            # A bid through the ask, as in an auction before the open, and gone again.
            rows = standing[:1].copy()
            rows["action"] = ACTION_ADD if i == 3 else ACTION_CANCEL
            rows["order_id"], rows["price"], rows["flags"] = 3, 1250, F_LAST
        else:
            price += int(rng.integers(-1, 2)) if rng.random() < 0.9 else int(rng.integers(-7, 8))
            price += (price < 990) - (price > 1010)
            rows = np.zeros(1, EVENT)
            rows["action"], rows["flags"], rows["price"] = ACTION_TRADE, F_LAST, price
            rows["side"] = (SIDE_BID, SIDE_ASK)[int(rng.integers(2))]
            rows["size"] = rng.integers(1, 9)
            if rng.random() < 0.01:
                rows["flags"] |= F_MAYBE_BAD_BOOK
        rows["ts_event"], rows["ts_recv"] = now, now + 119_000
        rows["event_index"] = np.arange(len(rows))
        parts.append(rows)
    events = np.concatenate(parts)
    bar0 = start // BAR_NS * BAR_NS
    length = now - bar0

    def at(share: float) -> int:
        return bar0 + int(share * length) // BAR_NS * BAR_NS

    windows = {
        "bars": (at(0.0), at(1.0)),
        "premarket": (at(0.0), at(0.1)),
        "opening_range": (at(0.1), at(0.2)),
        "focus": (at(0.0), at(0.97)),
        "trigger": (at(0.08), at(0.95)),
        "regular": (at(0.1), at(1.0)),
    }
    midnight = bar0 // DAY_NS * DAY_NS
    params = Params("FUT", 250_000_000, 1, midnight, windows, [(at(0.03), at(1.0))])
    # The day before had this day's opening range: its prices are known first as PD, then as OR.
    t, (opens, ends) = events["ts_event"], windows["opening_range"]
    traded = events["price"][(events["action"] == ACTION_TRADE) & (t >= opens) & (t < ends)]
    extremes = {"PD_HIGH": int(traded.max()), "PD_LOW": int(traded.min()), "PD_CLOSE": 1000}
    previous = {name: px * 250_000_000 for name, px in extremes.items()}
    marks = legal_marks(rng, events) if seed % 2 else []
    volume = (3000, None, 700, 90)[seed % 4]
    return Scenario(f"walk {seed}", events, params, WALK, marks, previous, volume)


def late_event_scenario() -> Scenario:
    """An event of a bar that has ended: its second record comes after a mark beyond that end."""
    base = walk_scenario(1, 60)
    end = base.params.windows["bars"][0] + 8 * BAR_NS
    until = int(np.searchsorted(base.events["ts_recv"], end - NS))
    rows = np.zeros(2, EVENT)
    rows["action"], rows["price"], rows["size"], rows["side"] = ACTION_TRADE, 1000, 3, SIDE_BID
    rows["ts_event"] = end - 100_000_000
    rows["ts_recv"] = end + 100_000_000, end + 300_000_000
    rows["flags"] = 0, F_LAST
    events = np.concatenate([base.events[:until], rows])
    mark = (until + 1, end + 300_000_000)
    return replace(base, name="late event", events=events, marks=[mark])


def _params(
    rng: np.random.Generator, events: np.ndarray, kind: str, step: int, tick_steps: int
) -> Params:
    first, last = int(events["ts_recv"][0]), int(events["ts_recv"][-1])
    first += int(rng.integers(-100, 100)) * NS
    length = max(last - first, 600 * NS)

    def at(share: float) -> int:
        return (first + int(share * length)) // BAR_NS * BAR_NS

    windows = {
        "bars": (at(0.0), at(1.0 + 0.1 * (rng.random() - 0.5))),
        "premarket": (at(-0.05), at(0.15)),
        "opening_range": (at(0.15), at(0.2)),
        "focus": (at(0.02), at(0.9)),
        "trigger": (at(0.05), at(0.88)),
        "regular": (at(0.1), at(0.8)),
    }
    trading = [(at(0.08), at(0.5)), (at(0.55), at(1.0))]
    midnight = min(w[0] for w in windows.values()) // DAY_NS * DAY_NS
    return Params(kind, step, tick_steps, midnight, windows, trading, warm=rng.random() < 0.9)


def legal_marks(rng: np.random.Generator, events: np.ndarray, share: float = 0.1) -> MARKS:
    """Marks between records: any time from the last record's ts_recv to the next one's."""
    places = np.flatnonzero(rng.random(len(events) - 1) < share) + 1
    return [
        (int(i), int(rng.integers(events["ts_recv"][i - 1], events["ts_recv"][i] + 1)))
        for i in places
    ]


def disturbed(events: np.ndarray, rng: np.random.Generator, snapshots: bool) -> np.ndarray:
    """What else may come: gaps, R, doubt, adds of an order that rests, M of size 0, stray fills.

    With `snapshots`, one of them falls silent for more than 10 s and begins again.
    """
    live = events["flags"] & F_SNAPSHOT == 0
    orders = live & np.isin(events["action"], (ACTION_ADD, ACTION_MODIFY))
    out = events.copy()
    out["notes"][live & (rng.random(len(out)) < 0.02)] |= NOTE_BACKWARDS
    doubt = rng.random() < 0.5
    if doubt:
        out["flags"][live & (rng.random(len(out)) < 0.003)] |= F_MAYBE_BAD_BOOK
    to_zero = live & (out["action"] == ACTION_CANCEL) & (rng.random(len(out)) < 0.1)
    out["action"][to_zero] = ACTION_MODIFY
    out["size"][to_zero] = 0
    extra: list[tuple[int, np.ndarray]] = []
    out["size"][~live & (out["action"] == ACTION_ADD) & (rng.random(len(out)) < 0.05)] += 1
    for i in np.flatnonzero(orders & (rng.random(len(out)) < 0.04)):
        again = out[i : i + 1].copy()
        again["action"] = (ACTION_ADD, ACTION_FILL)[int(rng.integers(2))]
        again["size"] = again["size"] + rng.integers(-1, 3)
        again["size"] = np.maximum(again["size"], 1)
        again["flags"] = F_LAST
        later = min(int(i) + 1 + int(rng.integers(0, 20)), len(out))
        extra.append((later, again))
    for i in rng.integers(1, len(out), rng.integers(1, 4) if doubt else 0):
        gap = np.zeros(1, EVENT)
        gap["action"] = ACTION_GAP
        extra.append((int(i), gap))
    if doubt and snapshots:
        clear = np.zeros(1, EVENT)
        clear["action"], clear["flags"], clear["price"] = ACTION_CLEAR, F_LAST, NONE
        extra.append((int(rng.integers(len(out) // 3, len(out))), clear))
    if snapshots and len(at := np.flatnonzero(~live & (out["action"] == ACTION_ADD))):
        resting = out[rng.choice(at, 4, replace=True)]
        i = int(rng.integers(len(out) // 2, len(out)))
        resting["order_id"] = np.array([7, 8, 8, 9])
        resting["flags"] = F_SNAPSHOT
        out["ts_recv"][i:] += 25 * NS
        out["ts_event"][i:] += 25 * NS
        extra += [(i, resting[:1]), (i, resting[1:])]
    return _laid_in(out, extra)


def _laid_in(events: np.ndarray, extra: list[tuple[int, np.ndarray]]) -> np.ndarray:
    parts, at, last = [], 0, 0
    for i, rows in sorted(extra, key=lambda x: x[0]):
        parts.append(events[at:i])
        last = max(last, int(events["ts_recv"][i - 1]))
        snapshot = bool(rows["flags"][0] & F_SNAPSHOT)
        again = snapshot and len(parts) > 1 and bool(parts[-2]["flags"][0] & F_SNAPSHOT)
        rows["ts_recv"] = last + (11 * NS if again and len(rows) > 1 else 0)
        rows["ts_event"] = rows["ts_recv"] - 119_000
        last = int(rows["ts_recv"][0])
        parts.append(rows)
        at = i
    out = np.concatenate([*parts, events[at:]])
    out["ts_recv"] = np.maximum.accumulate(out["ts_recv"])
    seen: dict[tuple[bool, int], int] = {}
    for i, (flags, ts_recv) in enumerate(zip(out["flags"], out["ts_recv"], strict=True)):
        place = (bool(flags & F_SNAPSHOT), int(ts_recv))
        out["event_index"][i] = seen[place] = seen.get(place, -1) + 1
    return out
