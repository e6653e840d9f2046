"""Markets to try the laws on: the real evening, simulated sessions, random streams; and mirrors."""

from __future__ import annotations

import datetime as dt
import warnings
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import databento
import numpy as np

from spymaster.contracts.column import INT_NULL
from spymaster.contracts.event import EVENT, F_LAST, F_SNAPSHOT, LATENESS_NS
from spymaster.feed.simulator import SimulationConfig, random_stream, simulate
from spymaster.market.sessions import Session, Window, session
from spymaster.settings import UnderlierSettings
from spymaster.stages.contract import ContractDay
from spymaster.stages.contract_session import ContractSession
from spymaster.stages.rows import Coded, Rows
from spymaster.stages.vector_spec import lookback_spec
from tests.oracle import evening
from tests.real_data import es_mbo

ES_TICK = 250_000_000
#: A morning in which everything happens soon.
MORNING = {
    "bars": "09:00-10:30",
    "premarket": "09:00-09:10",
    "opening_range": "09:10-09:15",
    "focus": "09:00-10:30",
    "trigger": "09:10-10:30",
    "regular": "09:30-10:30",
}
#: Levels are known after two minutes: vectors with fewer than 72 bars behind them.
EARLY = MORNING | {
    "premarket": "09:00-09:02",
    "opening_range": "09:02-09:45",
    "trigger": "09:02-10:30",
}


@dataclass(frozen=True)
class Market:
    """One contract, one session, and its records in feed order."""

    name: str
    day: ContractDay
    spec: str
    events: np.ndarray

    @property
    def last_mark(self) -> int:
        return self.day.session.hull.end + LATENESS_NS


@dataclass
class Tables:
    """What came out, by table: fixed-width columns and the others, row by row."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def __getitem__(self, table: str) -> list[dict[str, Any]]:
        return self.rows[table]


def settings(
    windows: Mapping[str, str] = MORNING,
    touch: int = 2,
    barrier: int = 8,
    timeout: int = 144,
    approach: int = 24,
    calendar: str = "CME_Equity",
) -> UnderlierSettings:
    return UnderlierSettings(
        model_id="ES_MODEL",
        venue="GLBX.MDP3",
        calendar=calendar,
        boundary="17:00" if calendar == "CME_Equity" else "20:00",
        windows=windows,
        approach={
            "scale": "fixed",
            "touch_ticks": touch,
            "barrier_ticks": barrier,
            "timeout_bars": timeout,
            "approach_bars": approach,
        },
    )


def run(market: Market) -> Tables:
    """Every row of a market; all bars closed."""
    stages = ContractSession(market.day, market.spec)
    return as_dicts(stages.advance(market.events) + stages.close(market.last_mark))


def as_dicts(parts: list[Rows]) -> Tables:
    """Rows as dicts of plain values; a missing number is None, NaN within a vector stays NaN."""
    out = Tables()
    for part in parts:
        names, records = (), [()] * len(part)
        if part.records is not None:
            names, records = part.records.dtype.names, part.records.tolist()
        for i, values in enumerate(records):
            row = {k: _plain(v) for k, v in zip(names, values, strict=True)}
            for k, column in part.columns.items():
                row[k] = _value(column, i)
            out.rows[part.table].append(row)
    return out


def _value(column: Any, i: int) -> Any:
    if isinstance(column, Coded):
        return column.words[column.codes[i]]
    if isinstance(column, str) or column is None:
        return column
    value = column[i]
    return _plain(value.item()) if isinstance(value, np.generic) else value


def _plain(value: Any) -> Any:
    missing = value == INT_NULL if isinstance(value, int) else value != value
    return None if missing else value


def es_evening(touch: int = 4, barrier: int = 8, timeout: int = 144, approach: int = 24) -> Market:
    """The real evening; the windows are those of tests/oracle/evening.py."""
    u = settings(touch=touch, barrier=barrier, timeout=timeout, approach=approach)
    windows = {name: Window(*window) for name, window in evening.WINDOWS.items()}
    hours = tuple(Window(*w) for w in evening.PARAMS.trading)
    date = dt.date(2023, 12, 26)
    first, last = evening.ORIGIN + 22 * 3600 * 10**9, evening.ORIGIN + 46 * 3600 * 10**9
    s = Session(date, "ES", first, last, **windows, trading=hours, short=False)
    what = ("ES.FUT.202403", "FUT", ES_TICK, ES_TICK, s, u.approach, u.model_id, True)
    day = ContractDay(*what, previous_volume=12_345)
    name = f"evening, touch {touch}, barrier {barrier}, timeout {timeout}"
    return Market(name, day, lookback_spec(u), _evening_events())


@cache
def _evening_events() -> np.ndarray:
    return evening.encode(_decode(es_mbo()), ES_TICK)


def simulated(folder: Path, seed: int, u: UnderlierSettings, records: int = 20_000) -> Market:
    """A simulated ES session, with doubtful books in it and PD levels before it."""
    config = SimulationConfig(
        sessions=1,
        contracts=1,
        events_per_session=records,
        seed=seed,
        bad_book_per_session=3,
        windows=MORNING,
        touch_ticks=2,
        barrier_ticks=8,
    )
    files = [f for f in simulate(config, folder).files if ".mbo." in f.name]
    raw = np.concatenate([_decode(f) for f in files])
    s = session(u, "ES", dt.date(2024, 1, 8))
    raw = raw[raw["ts_recv"] >= s.input_start]
    traded = raw[raw["action"] == b"T"]["price"]
    levels = {
        "PD_HIGH": int(traded.max()) + 2 * ES_TICK,
        "PD_LOW": int(traded.min()) + 2 * ES_TICK,
        "PD_CLOSE": int(np.sort(traded)[len(traded) // 2]),
    }
    day = ContractDay(
        "ES.FUT.202403", "FUT", ES_TICK, ES_TICK, s, u.approach, u.model_id, True, levels, 5_000
    )
    name = f"simulated {seed}, barrier {u.approach.barrier_ticks}"
    return Market(name, day, lookback_spec(u), evening.encode(raw, ES_TICK))


def _decode(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()


def random_market(seed: int, venue: str, n: int, u: UnderlierSettings) -> Market:
    """Legal records that no market would send; NASDAQ's trade at half ticks too."""
    tick, step = (ES_TICK, ES_TICK) if venue == "cme" else (10_000_000, 100_000)
    s = session(u, "ES", dt.date(2024, 1, 9))
    raw = random_stream(
        np.random.default_rng(seed), n, venue, start_ns=s.bars.start, tick_px=tick, width=6
    )
    events = evening.encode(_as_client_reads(raw), step)
    mid = 4_800_000_000_000
    levels = {"PD_HIGH": mid + 3 * tick, "PD_LOW": mid - 3 * tick, "PD_CLOSE": mid}
    kind = "FUT" if venue == "cme" else "STK"
    day = ContractDay("X", kind, step, tick, s, u.approach, u.model_id, True, levels, 500)
    return Market(f"random {venue} {seed}", day, lookback_spec(u), events)


def _as_client_reads(raw: np.ndarray) -> np.ndarray:
    """Actions and sides as the vendor's client gives them: letters."""
    letters = {"action", "side"}
    dtype = [(k, "S1" if k in letters else raw.dtype[k]) for k in raw.dtype.names]
    out = np.zeros(len(raw), dtype)
    for k in raw.dtype.names:
        out[k] = raw[k].view("S1") if k in letters else raw[k]
    return out


def with_one_sided_books(market: Market, every_s: int, for_s: int) -> Market:
    """Now and then a market snapshot says that a side is empty, a later one that it is not."""
    events, period = market.events, every_s * 10**9
    orders: dict[int, tuple[int, int, int]] = {}
    parts, done, empty = [], 0, ord("B")
    due, back = market.day.session.bars.start + period, None
    for i, e in enumerate(events):
        now, action, size = int(e["ts_recv"]), chr(e["action"]), int(e["size"])
        if events[i - 1]["flags"] & F_LAST and i:
            if back is None and now > due:
                one_side = {k: o for k, o in orders.items() if o[0] != empty}
                parts += [events[done:i], _snapshot(events[i - 1], one_side)]
                done, back, empty = i, due + for_s * 10**9, ord("A") + ord("B") - empty
            elif back is not None and now > back:
                parts += [events[done:i], _snapshot(events[i - 1], orders)]
                done, back, due = i, None, due + period
        if action == "R":
            orders.clear()
        elif action in "AM" and size:
            old = orders.get(int(e["order_id"]))
            if old is not None and (old[1] != e["price"] or old[2] < size):
                del orders[int(e["order_id"])]
            orders[int(e["order_id"])] = (int(e["side"]), int(e["price"]), size)
        elif action == "C" and int(e["order_id"]) in orders:
            side, price, left = orders[int(e["order_id"])]
            orders[int(e["order_id"])] = (side, price, left - size)
            if left <= size:
                del orders[int(e["order_id"])]
    parts.append(events[done:])
    return replace(market, name=market.name + ", one-sided", events=np.concatenate(parts))


def with_auction_trades(market: Market, every: int) -> Market:
    """Some trades have no aggressor: they count in volume, not in buying or selling."""
    events = market.events.copy()
    trades = np.flatnonzero(events["action"] == ord("T"))
    events["side"][trades[::every]] = ord("N")
    return replace(market, name=market.name + ", auctions", events=events)


def _snapshot(at: np.void, orders: dict[int, tuple[int, int, int]]) -> np.ndarray:
    out = np.zeros(1 + len(orders), EVENT)
    out["ts_event"], out["ts_recv"] = at["ts_event"], at["ts_recv"]
    out["flags"], out["action"], out["side"] = F_SNAPSHOT, ord("A"), ord("N")
    out["event_index"] = np.arange(len(out))
    out["action"][0], out["price"][0] = ord("R"), INT_NULL
    for row, (order_id, order) in zip(out[1:], orders.items(), strict=True):
        row["order_id"] = order_id
        row["side"], row["price"], row["size"] = order
    out["flags"][-1] |= F_LAST
    return out


def axis_of(market: Market) -> int:
    """Twice a price in the middle of the market, in steps: to turn it upside down about."""
    traded = market.events["action"] == ord("T")
    return 2 * int(np.median(market.events["price"][traded]))


def mirrored(market: Market, axis: int) -> Market:
    """The same market upside down: price p becomes axis - p, buyers and sellers change places."""
    events = market.events.copy()
    priced = events["price"] != INT_NULL
    events["price"][priced] = axis - events["price"][priced]
    bid, ask = events["side"] == ord("B"), events["side"] == ord("A")
    events["side"][bid], events["side"][ask] = ord("A"), ord("B")
    previous = {
        swapped(name): axis * market.day.price_step - price
        for name, price in market.day.previous.items()
    }
    day = replace(market.day, previous=previous)
    return replace(market, name=market.name + ", mirrored", day=day, events=events)


def swapped(level_type: str) -> str:
    """A high is a low in the mirror; a close stays one."""
    if level_type.endswith("_HIGH"):
        return level_type.replace("_HIGH", "_LOW")
    return level_type.replace("_LOW", "_HIGH")
