"""What order flow says before a touch, measured as a trader would: by a book kept by hand."""

from __future__ import annotations

import csv
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import databento as db
import numpy as np
import pytest

from spymaster.feed.simulator import SimulationConfig, simulate

NS, BAR_NS, TICK_PX = 1_000_000_000, 5_000_000_000, 250_000_000
LAST, SNAPSHOT = 128, 32
#: A morning as busy as that of a default market of 150,000 records.
MORNING = {
    "bars": "09:00-12:30",
    "premarket": "09:00-09:30",
    "opening_range": "09:30-09:35",
    "focus": "09:00-12:30",
    "trigger": "09:30-12:30",
    "regular": "09:30-12:30",
}
BID, ASK = 0, 1


def decode(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return db.DBNStore.from_bytes(path.read_bytes()).to_ndarray()


class Tape:
    """One day's flow: order flow imbalance and the book's, by bar; pulls and trades, one by one."""

    def __init__(self, rows: np.ndarray) -> None:
        self.qty: list[Counter[int]] = [Counter(), Counter()]
        self.best = [-1, 1 << 40]
        self.orders: dict[int, tuple[int, int, int]] = {}
        self.ofi: Counter[int] = Counter()
        self.imbalance: dict[int, float] = {}
        self.quotes: list[tuple[int, int, int, int]] = []
        names = ("ts_event", "action", "side", "price", "size", "order_id", "flags")
        filled: dict[int, int] = defaultdict(int)
        state: tuple[int, int, int, int] | None = None
        for ts, action, side, price, size, order, flags in zip(
            *(rows[name].tolist() for name in names), strict=True
        ):
            bar = ts // BAR_NS
            live = not flags & SNAPSHOT
            if action == b"F":
                filled[order] += size
            elif action != b"T" and action != b"R":
                new = (BID if side == b"B" else ASK, price // TICK_PX, size)
                self._apply(action, order, new, bar if live else None, filled.pop(order, 0))
            if live and flags & LAST:
                state = self._last(bar, state)
        trades = rows[rows["action"] == b"T"]
        self.trade_ts = trades["ts_event"].astype(np.int64)
        self.trade_px = trades["price"] // TICK_PX

    def _apply(
        self, action: bytes, order: int, new: tuple[int, int, int], bar: int | None, filled: int
    ) -> None:
        side, px, size = new
        _, old_px, old = self.orders.pop(order, (side, px, 0))
        self.qty[side][old_px] -= old
        if action != b"C":
            self.orders[order] = new
            self.qty[side][px] += size
            self.best[side] = max(self.best[BID], px) if side == BID else min(self.best[ASK], px)
        while self.orders and not self.qty[side][self.best[side]]:
            self.best[side] += -1 if side == BID else 1
        if bar is None or filled:
            return
        if old:
            self.quotes.append((bar, side, old_px, -old))
        if action != b"C":
            self.quotes.append((bar, side, px, size))

    def _last(self, bar: int, old: tuple[int, int, int, int] | None) -> tuple[int, int, int, int]:
        b, a = self.best
        b_sz, a_sz = self.qty[BID][b], self.qty[ASK][a]
        if old is not None:
            was_b, was_a, was_b_sz, was_a_sz = old
            self.ofi[bar] += (b >= was_b) * b_sz - (b <= was_b) * was_b_sz
            self.ofi[bar] -= (a <= was_a) * a_sz - (a >= was_a) * was_a_sz
        self.imbalance[bar] = (b_sz - a_sz) / (b_sz + a_sz)
        return b, a, b_sz, a_sz


def about(tape: Tape, touch: dict[str, str]) -> dict[str, float]:
    """A touch of a level: what it was about, what flow said of it, and what came of it."""
    s = 1 if touch["direction"] == "from_below" else -1
    time, level = int(touch["time"]), round(float(touch["level_price"]) * 4)
    bars = range(time // BAR_NS - 23, time // BAR_NS + 13)
    before = bars[:24]
    ahead = ASK if s > 0 else BID
    since = np.searchsorted(tape.trade_ts, time)
    until = np.searchsorted(tape.trade_ts, time + 720 * NS)
    path = s * (tape.trade_px[since:until] - level)
    hit = path[np.abs(path) >= 24]
    return {
        "z": int(touch["z"]),
        "w": int(touch["w"]),
        "outcome": float(np.sign(hit[0])) if len(hit) else 0.0,
        "ofi": s * sum(tape.ofi[k] for k in bars),
        "ofi_before": s * sum(tape.ofi[k] for k in before),
        "imbalance": s * float(np.mean([tape.imbalance.get(k, 0.0) for k in before])),
        "added_ahead": sum(
            size
            for bar, side, px, size in tape.quotes
            if bar in before and side == ahead and abs(px - level) <= 4
        ),
    }


@pytest.fixture(scope="module", params=[True, False], ids=["signal", "no signal"])
def touches(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bool, dict[str, np.ndarray]]:
    config = SimulationConfig(
        sessions=14, events_per_session=91_000, signal=request.param, contracts=1, windows=MORNING
    )
    simulation = simulate(config, tmp_path_factory.mktemp("signal"))
    with simulation.truth.open() as file:
        truth = list(csv.DictReader(file))
    found = []
    for path in simulation.files:
        day = f"{path.name[13:17]}-{path.name[17:19]}-{path.name[19:21]}"
        mine = [row for row in truth if row["session_date"] == day]
        if ".mbo." in path.name and mine:
            tape = Tape(decode(path))
            found += [about(tape, row) for row in mine]
    return request.param, {k: np.array([f[k] for f in found]) for k in found[0]}


def test_order_flow_follows_w_and_the_book_gives_little_away(
    touches: tuple[bool, dict[str, np.ndarray]],
) -> None:
    signal, t = touches
    told = {k: float(np.corrcoef(t[k], t["w"])[0, 1]) for k in t if k not in ("w", "z")}
    print("signal" if signal else "no signal", len(t["w"]), "touches, correlation with w", told)
    assert len(t["w"]) > 150
    assert 0.35 < told["ofi"] < 0.85
    assert 0.25 < told["ofi_before"] < 0.75
    assert told["added_ahead"] < -0.15
    assert 0.2 < told["imbalance"] < 0.78


def test_flow_tells_the_outcome_with_the_signal_and_nothing_without_it(
    touches: tuple[bool, dict[str, np.ndarray]],
) -> None:
    signal, t = touches
    known = {
        k: float(np.corrcoef(t[k], t["outcome"])[0, 1])
        for k in ("z", "w", "ofi_before", "imbalance", "added_ahead")
    }
    print("signal" if signal else "no signal", "correlation with the outcome", known)
    assert set(t["outcome"]) == {-1.0, 0.0, 1.0}
    assert known["z"] > 0.6, "z alone decides where the price goes"
    if signal:
        assert known["w"] == known["z"]
        assert known["ofi_before"] > 0.2
    else:
        margin = 3.3 / np.sqrt(len(t["w"]))
        assert max(abs(known[k]) for k in known if k != "z") < margin
