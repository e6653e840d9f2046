"""Reconnects by the thousand: no record lost, none counted otherwise, none twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.dbn import MBO_RECORD
from spymaster.feed.ingest.tail import Tail
from spymaster.kernel.duplicates import Duplicates
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN
from tests.e2e.scenes import records
from tests.real_data import es_mbo

NS = 1_000_000_000
START = 1_704_900_000 * NS
NUMBERS = (11, 12, 13)


def instruments() -> Instruments:
    return Instruments(
        Instrument(
            "GLBX.MDP3", n, 0, "definition", None, f"S{n}", contract_id=f"ES.FUT.2024{n}",
            underlier="ES", instrument_type="FUT", price_step=1, tick=1,
        )
        for n in NUMBERS
    )  # fmt: skip


def feed(rng: np.random.Generator, n: int) -> NDArray[Any]:
    """A feed as CME's is: groups of equal ts_recv hold several ts_event and several instruments,
    an event spans several ts_recv, and now and then a record is a tenth of a second late."""
    out = np.zeros(n, MBO_RECORD)
    out["length"], out["rtype"], out["publisher_id"] = 14, 0xA0, 1
    out["instrument_id"] = rng.choice(NUMBERS, n)
    step = np.where(rng.random(n) < 0.35, rng.integers(1, 40_000_000, n), 0)
    out["ts_recv"] = START + np.cumsum(step)
    late = rng.integers(50_000, 400_000, n)
    late[rng.random(n) < 0.02] = 107_000_000
    together = rng.random(n) < 0.5
    event = out["ts_recv"] - late
    for i in range(1, n):
        if together[i]:
            event[i] = min(event[i - 1], out["ts_recv"][i])
    out["ts_event"] = event
    out["order_id"] = np.arange(n)
    out["price"], out["size"], out["flags"] = 100, 1, np.where(rng.random(n) < 0.6, 128, 0)
    out["action"], out["side"] = ord("A"), ord("B")
    return out


def stage() -> BronzeProcessDBN:
    return BronzeProcessDBN("GLBX.MDP3", instruments(), Settings().underlier)


class Consumer:
    """What a reader keeps: order_id and identity of each contract's records."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, ...]] = []
        self._duplicates = Duplicates()

    @property
    def dropped(self) -> int:
        return self._duplicates.dropped

    def connection(self, pieces: list[NDArray[Any]]) -> None:
        """A connection's records: identities begin anew, and what was known is dropped."""
        self._duplicates.begin_file()
        bronze = stage()
        for piece in pieces:
            events = bronze.advance(piece).events
            names = [int(str(c.contract_id)[-2:]) for c in bronze.contracts]
            numbers = np.array([NUMBERS.index(names[c]) for c in events["contract"]], np.int64)
            keep = self._duplicates.keep(events, numbers)
            which = np.arange(len(events)) if keep is None else np.flatnonzero(keep)
            self.kept += [
                (NUMBERS[numbers[i]], int(e["order_id"]), int(e["ts_recv"]), int(e["event_index"]))
                for i, e in zip(which, events[which], strict=True)
            ]


def by_contract(rows: list[tuple[int, ...]]) -> dict[int, list[tuple[int, ...]]]:
    return {n: [r[1:] for r in rows if r[0] == n] for n in NUMBERS}


def test_three_thousand_reconnects_lose_nothing_and_repeat_nothing() -> None:
    seed = int(np.random.SeedSequence().entropy) % 2**32
    print("seed", seed)
    rng = np.random.default_rng(seed)
    reconnects = again = 0
    while reconnects < 3_000:
        whole = feed(rng, 400)
        undisturbed = Consumer()
        undisturbed.connection([whole])
        consumer, tail, at = Consumer(), Tail(), 0
        first: int | None = None
        while at < len(whole):
            # What the feed has by now, filtered as Databento filters a replay, then live.
            came = whole[:at][whole["ts_event"][:at] >= first] if first is not None else whole[:0]
            until = min(len(whole), at + int(rng.integers(1, 60)))
            # A connection may break within its replay, too.
            if first is not None and rng.random() < 0.2:
                came, until = came[: int(rng.integers(0, len(came) + 1))], at
            pieces = [came, whole[at:until]]
            consumer.connection(pieces)
            again += len(came)
            mine = Tail()
            for piece in pieces:
                mine.update(piece)
            tail = tail.further(mine)
            first, at = tail.start, until
            assert first is not None
            reconnects += 1
        assert by_contract(consumer.kept) == by_contract(undisturbed.kept)
    print(f"{reconnects} reconnects, {again} records came again")
    assert again > 10_000


def test_real_evening_survives_a_break_in_every_thousandth_record() -> None:
    whole = records(es_mbo())
    whole["instrument_id"] = 11
    whole["price"][whole["price"] < 2**62] //= 1_000
    live = whole[whole["flags"] & 32 == 0]
    undisturbed, consumer, tail = Consumer(), Consumer(), Tail()
    undisturbed.connection([live])
    first: int | None = None
    for at in range(0, len(live), 997):
        came = live[:at][live["ts_event"][:at] >= first] if first is not None else live[:0]
        pieces = [came, live[at : at + 997]]
        consumer.connection(pieces)
        mine = Tail()
        for piece in pieces:
            mine.update(piece)
        tail = tail.further(mine)
        first = tail.start
    print(len(consumer.kept), consumer.dropped)
    assert consumer.kept == undisturbed.kept
    assert consumer.dropped > 1_000


def test_break_inside_a_market_snapshot_needs_another_snapshot() -> None:
    tail = Tail()
    snapshot = feed(np.random.default_rng(1), 5)
    snapshot["flags"] = 32
    tail.update(snapshot)
    assert (tail.start, tail.ts_recv) == (None, int(snapshot["ts_recv"].max()))
    later = feed(np.random.default_rng(2), 1)
    later["ts_recv"] = tail.ts_recv + 1
    tail.update(later)
    assert tail.start == int(later["ts_event"][0]) - NS


def test_of_two_ends_the_further_one_counts(tmp_path: Path) -> None:
    near, far = Tail(100, 90), Tail(200, 150)
    assert near.further(far) == far
    assert far.further(near) == far
    assert far.further(Tail(200, 140)) == Tail(200, 140)
    assert Tail().start is None
