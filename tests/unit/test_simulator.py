"""The simulated market keeps the conventions of the real one, and its secret only when told to."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from datetime import date
from pathlib import Path

import databento as db
import numpy as np
import pytest

from spymaster.errors import ContractError
from spymaster.feed.simulator import Simulation, SimulationConfig, random_stream, simulate

NS = 1_000_000_000
LAST, SNAPSHOT = 128, 32
#: Lost F_LAST have tests of their own.
SMALL = SimulationConfig(sessions=3, events_per_session=40_000, seed=11, lost_last_share=0.0)


def decode(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return db.DBNStore.from_bytes(path.read_bytes()).to_ndarray()


def days(simulation: Simulation) -> list[Path]:
    return [path for path in simulation.files if ".mbo." in path.name]


def touches(simulation: Simulation) -> list[dict[str, str]]:
    with simulation.truth.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(SMALL, tmp_path_factory.mktemp("market"))


class Book:
    """Orders in a dict: slow, obvious, and strict about everything CME promises."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[bytes, int, int]] = {}  # oldest first within a price
        self.filled: Counter[int] = Counter()
        self.seen: Counter[str] = Counter()

    def apply(self, row: np.void) -> None:
        action, order_id = row["action"], int(row["order_id"])
        side, price, size = row["side"], int(row["price"]), int(row["size"])
        if action == b"R":
            self.orders.clear()
        elif action == b"A":
            assert order_id not in self.orders
            self.orders[order_id] = (side, price, size)
        elif action == b"C":
            assert self.orders.pop(order_id) == (side, price, size), "every C is full"
            assert self.filled.pop(order_id, size) == size
        elif action == b"M":
            _, old_price, old_size = self.orders[order_id]
            filled = self.filled.pop(order_id, 0)
            if filled:
                assert price == old_price
                self.seen["refill" if size > old_size - filled else "partial"] += 1
                assert size >= old_size - filled
                loses = size > old_size - filled
            else:
                kind = "move" if price != old_price else "up" if size > old_size else "down"
                self.seen[kind] += 1
                loses = kind != "down"
            if loses:
                del self.orders[order_id]
            self.orders[order_id] = (side, price, size)
        elif action == b"F":
            assert self.orders[order_id][0] == side
            self.filled[order_id] += size
            assert self.filled[order_id] <= self.orders[order_id][2]

    def ranked(self) -> list[tuple[int, bytes, int, int]]:
        rows = [(i, *order) for i, order in self.orders.items()]
        return sorted(rows, key=lambda r: (0, -r[2]) if r[1] == b"B" else (1, r[2]))

    def crossed(self) -> bool:
        bids = [p for s, p, _ in self.orders.values() if s == b"B"]
        asks = [p for s, p, _ in self.orders.values() if s == b"A"]
        return bool(bids and asks and max(bids) >= min(asks))


def test_same_configuration_same_bytes_and_another_seed_another_market(tmp_path: Path) -> None:
    config = SimulationConfig(sessions=1, events_per_session=5_000)
    first, again = simulate(config, tmp_path / "1"), simulate(config, tmp_path / "2")
    other = simulate(SimulationConfig(sessions=1, events_per_session=5_000, seed=8), tmp_path / "3")
    assert [p.name for p in first.files] == [p.name for p in again.files]
    for a, b, c in zip(
        [*first.files, first.truth],
        [*again.files, again.truth],
        [*other.files, other.truth],
        strict=True,
    ):
        assert a.read_bytes() == b.read_bytes()
        if ".definition." not in a.name:
            assert a.read_bytes() != c.read_bytes()
    assert not list((tmp_path / "1").glob("*.part"))


def test_files_decode_and_are_cut_at_midnight_utc(market: Simulation) -> None:
    total: Counter[str] = Counter()
    for path in days(market):
        rows = decode(path)
        midnight = np.datetime64(f"{path.name[13:17]}-{path.name[17:19]}-{path.name[19:21]}", "ns")
        start = int(midnight.astype(np.int64))
        recv = rows["ts_recv"].astype(np.int64)
        assert recv[0] == start
        assert recv[-1] < start + 86_400 * NS
        assert (np.diff(recv) >= 0).all()
        assert (rows["rtype"] == 160).all()
        assert (rows["publisher_id"] == 1).all()
        total.update(a.decode() for a in rows["action"].tolist())
    print(dict(total))
    assert market.records == sum(total.values())
    assert min(total[a] for a in "ACMTFR") > 0


def test_definitions_name_what_the_records_mean(market: Simulation) -> None:
    for path in market.files:
        if ".definition." in path.name:
            for row in db.DBNStore.from_bytes(path.read_bytes()):
                assert (row.raw_symbol, row.asset) in {("ESH4", "ES"), ("ESM4", "ES")}
                assert row.instrument_class == "F"
                assert row.min_price_increment == 250_000_000
                if row.raw_symbol == "ESH4":
                    assert row.pretty_expiration.isoformat() == "2024-03-15T13:30:00+00:00"


def test_the_book_replays_never_crosses_and_each_snapshot_is_the_book_before_it(
    market: Simulation,
) -> None:
    books: dict[int, Book] = {}
    seen: Counter[str] = Counter()
    snapshots = compared = states = crossed = framed = 0
    for path in days(market):
        rows = decode(path)
        taken = rows[(rows["flags"] & SNAPSHOT) > 0]
        live = rows[(rows["flags"] & SNAPSHOT) == 0]
        for instrument in np.unique(taken["instrument_id"]).tolist():
            part = taken[taken["instrument_id"] == instrument]
            framed += int(part["action"][0] == b"R")
            assert (part["action"][0] == b"R") == bool(part["flags"][-1] & LAST)
            assert len(set(part["ts_event"].tolist())) == 1
            assert (part["ts_event"] < part["ts_recv"]).all()
            orders = part[part["action"] == b"A"]
            listed = [
                (int(r["order_id"]), r["side"], int(r["price"]), int(r["size"])) for r in orders
            ]
            snapshots += 1
            if instrument in books:
                assert listed == books[instrument].ranked()
                compared += len(listed)
            book = books[instrument] = books.get(instrument, Book())
            book.orders = {i: (s, p, z) for i, s, p, z in listed}
        opened: dict[int, bool] = {}
        for k, row in enumerate(live):
            instrument = int(row["instrument_id"])
            book = books[instrument]
            book.apply(row)
            opening = row["action"] == b"T" and row["side"] == b"N"
            opened[instrument] = opened.get(instrument, False) or opening
            if row["flags"] & LAST and k % 23 == 0:
                states += 1
                now = int(row["ts_event"]) // NS % 86_400
                if 22 * 3600 <= now < 23 * 3600:
                    crossed += book.crossed()
                else:
                    assert not book.crossed(), (path.name, k)
    for book in books.values():
        seen.update(book.seen)
    print("snapshots", snapshots, "orders compared", compared, "states", states, dict(seen))
    assert compared > 3000
    assert states > 2000
    assert crossed > 0, "the pre-open auction crosses"
    assert 0 < framed < snapshots
    assert min(seen[k] for k in ("refill", "partial", "move", "up", "down")) > 0


def test_trades_come_before_their_fills_and_every_event_ends(market: Simulation) -> None:
    twins = packets = later = 0
    for path in days(market)[1:]:
        rows = decode(path)
        rows = rows[(rows["flags"] & SNAPSHOT) == 0]
        for instrument in np.unique(rows["instrument_id"]):
            mine = rows[rows["instrument_id"] == instrument]
            ends = np.flatnonzero(mine["flags"] & LAST)
            assert ends[-1] == len(mine) - 1
            for event in np.split(mine, ends[:-1] + 1):
                actions = b"".join(event["action"].tolist()).decode()
                assert len(set(event["ts_event"].tolist())) == 1
                packets += len(set(event["sequence"].tolist())) > 1
                if "T" not in actions:
                    assert actions in ("A", "C", "M")
                    continue
                trade, fill = event["action"] == b"T", event["action"] == b"F"
                sides = set(event["side"][trade].tolist())
                assert len(sides) == 1
                if sides == {b"N"}:
                    continue
                assert actions.lstrip("TF").strip("CM") in ("", "A")
                assert event["size"][trade].sum() == event["size"][fill].sum()
                assert set(event["side"][fill].tolist()) == {b"B", b"A"} - sides
                fills = event[fill]
                twins += len(fills) - len({f.tobytes() for f in fills})
        lag = rows["ts_recv"].astype(np.int64) - rows["ts_event"].astype(np.int64)
        assert 90_000 < np.median(lag) < 200_000
        later += int((lag > 250_000_000).sum())
        same = np.diff(rows["ts_recv"].astype(np.int64)) == 0
        assert (np.diff(rows["ts_event"].astype(np.int64))[same] != 0).any()
    print("twin fills", twins, "events over several packets", packets, "late", later)
    assert min(twins, packets, later) > 0


def test_levels_are_touched_from_both_sides_and_what_follows_differs(market: Simulation) -> None:
    rows = touches(market)
    print(Counter((r["session_date"], r["direction"]) for r in rows))
    assert len(rows) >= 3 * 6
    assert {r["direction"] for r in rows} == {"from_below", "from_above"}
    assert {r["z"] for r in rows} == {"1", "-1"}
    assert all(r["z"] == r["w"] for r in rows), "with full strength flow always tells"
    trades = np.concatenate([decode(path) for path in days(market)])
    trades = trades[trades["action"] == b"T"]
    through: Counter[tuple[str, str]] = Counter()
    for r in rows:
        s = 1 if r["direction"] == "from_below" else -1
        after = (trades["ts_event"] >= int(r["time"])) & (
            trades["ts_event"] < int(r["time"]) + 720 * NS
        )
        path = s * (trades["price"][after] - round(float(r["level_price"]) * 1e9)) // 250_000_000
        path = path[np.abs(path) < 150]  # not the other contract
        hit = path[np.abs(path) >= 24]
        outcome = "CHOP" if not len(hit) else "BREAK" if hit[0] > 0 else "REJECT"
        through[outcome, r["z"]] += 1
    print(through)
    assert {outcome for outcome, _ in through} == {"BREAK", "REJECT", "CHOP"}
    assert through["BREAK", "1"] > through["BREAK", "-1"]
    assert through["REJECT", "-1"] > through["REJECT", "1"]


@pytest.mark.parametrize("signal", [True, False])
def test_without_the_signal_flow_leans_as_often_but_knows_nothing(
    tmp_path: Path, signal: bool
) -> None:
    config = SimulationConfig(sessions=25, events_per_session=8_000, signal=signal, contracts=1)
    rows = touches(simulate(config, tmp_path))
    z, w = (np.array([int(r[k]) for r in rows]) for k in "zw")
    print(
        signal, len(rows), "w up", (w > 0).mean(), "z up", (z > 0).mean(), "same", (w == z).mean()
    )
    margin = 3.5 * 0.5 / np.sqrt(len(rows))
    assert len(rows) > 150
    assert abs((w > 0).mean() - 0.5) < margin
    assert abs((z > 0).mean() - 0.5) < margin
    assert (w == z).all() if signal else abs((w == z).mean() - 0.5) < margin


def test_a_session_of_the_evening_can_be_configured(tmp_path: Path) -> None:
    config = SimulationConfig(
        sessions=2,
        events_per_session=20_000,
        contracts=1,
        windows={
            "bars": "18:00-20:00",
            "premarket": "18:00-18:10",
            "opening_range": "18:10-18:20",
            "focus": "18:00-20:00",
            "trigger": "18:20-20:00",
            "regular": "18:00-20:00",
        },
        barrier_ticks=8,
        dbn_version=1,
        bad_book_per_session=2.0,
    )
    simulation = simulate(config, tmp_path)
    rows = np.concatenate([decode(path) for path in days(simulation)])
    dense = rows["ts_recv"].astype(np.int64) // NS % 86_400
    assert ((dense >= 23 * 3600) | (dense < 3600 + 60)).mean() > 0.8
    assert (rows["flags"] & 4).any()
    assert touches(simulation)


def test_holidays_have_no_session_and_the_front_month_rolls(tmp_path: Path) -> None:
    config = SimulationConfig(
        first_session=date(2024, 3, 7), sessions=2, events_per_session=4_000, contracts=2
    )
    rows = decode(days(simulate(config, tmp_path))[-1])
    ids, counts = np.unique(rows["instrument_id"], return_counts=True)
    assert ids[np.argmax(counts)] == 18097, "ESM4 leads from 2024-03-08 on"
    christmas = SimulationConfig(
        first_session=date(2023, 12, 25), sessions=1, events_per_session=3_000, contracts=1
    )
    names = [path.name for path in days(simulate(christmas, tmp_path / "x"))]
    assert names == [
        "es-glbx-mdp3-20231225.mbo.dbn.zst",
        "es-glbx-mdp3-20231226.mbo.dbn.zst",
    ]


def test_a_bad_setting_is_refused_in_one_clear_line() -> None:
    for bad in (
        {"strength": 1.5},
        {"windows": {"lunch": "12:00-13:00"}},
        {"windows": {"focus": "8-12"}},
        {"dbn_version": 4},
        {"touch_ticks": 24},
        {"start_price": 4800.1},
    ):
        with pytest.raises(ContractError, match=r"^simulate: .*allowed"):
            SimulationConfig(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("venue", ["cme", "nasdaq"])
def test_random_streams_are_legal_and_hold_every_trap(venue: str) -> None:
    rows = np.concatenate(
        [random_stream(np.random.default_rng(seed), 400, venue) for seed in range(20)]
    )
    actions = Counter(bytes([a]).decode() for a in rows["action"].tolist())
    print(venue, actions)
    assert rows.dtype.itemsize == 56
    assert (actions["M"] > 0) == (venue == "cme")
    assert ((rows["flags"] & SNAPSHOT) > 0).any() == (venue == "cme")
    again = random_stream(np.random.default_rng(3), 400, venue)
    assert again.tobytes() == random_stream(np.random.default_rng(3), 400, venue).tobytes()
    with pytest.raises(ContractError):
        random_stream(np.random.default_rng(3), 4, "lse")
