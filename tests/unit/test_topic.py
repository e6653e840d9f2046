"""What travels on the topic comes back as it went, and what is not ours is told."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from spymaster.contracts.event import EVENT, F_SNAPSHOT, NOTE_BACKWARDS
from spymaster.errors import SourceError
from spymaster.feed.dbn_records import MBO_RECORD
from spymaster.feed.topic import Batch, Gap, Mark, Single, decode, encode
from spymaster.kernel.columns import to_events
from spymaster.kernel.layout import NONE
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN, Processed
from spymaster.stages.envelope import wire_batch

STEPS = {"ES.FUT.202403": 250_000_000, "ES.FUT.202406": 250_000_000, "ES.OPT.X": 10_000_000}
CONTRACTS = [
    Instrument("GLBX.MDP3", i, 0, "definition", None, f"S{i}", contract_id=name,
               underlier="ES", instrument_type=name[3:6], price_step=step, tick=step)
    for i, (name, step) in enumerate(STEPS.items())
]  # fmt: skip


def feed(n: int, seed: int = 1) -> np.ndarray:
    """DBN records of three contracts, with undefined prices and a ts_recv that runs backwards."""
    rng = np.random.default_rng(seed)
    records = np.zeros(n, MBO_RECORD)
    records["length"], records["rtype"], records["publisher_id"] = 14, 160, 1
    records["instrument_id"] = rng.integers(0, 3, n)
    records["ts_event"] = 1_700_000_000_000_000_000 + np.arange(n)
    records["ts_recv"] = records["ts_event"] + rng.integers(0, 5, n) // 4 * 7
    records["order_id"] = rng.integers(-(2**63), 2**63, n)
    records["price"] = rng.integers(-400, 20_000, n) * 250_000_000
    records["price"][rng.random(n) < 0.1] = 2**63 - 1
    records["size"] = rng.integers(0, 2**32, n)
    records["action"] = rng.choice([ord(c) for c in "ACM"], n)
    records["action"][records["price"] == 2**63 - 1] = ord("R")
    records["side"] = rng.choice([ord(c) for c in "BA"], n)
    records["side"][records["action"] == ord("R")] = ord("N")
    records["flags"] = rng.choice([0, 128, F_SNAPSHOT, F_SNAPSHOT | 128], n)
    records["ts_in_delta"] = rng.integers(-(2**31), 2**31, n)
    records["sequence"] = rng.integers(0, 2**32, n)
    return records


def processed(records: np.ndarray) -> tuple[BronzeProcessDBN, Processed]:
    stage = BronzeProcessDBN("GLBX.MDP3", Instruments(CONTRACTS), Settings().underlier)
    return stage, stage.advance(records)


def test_batch_comes_back_as_it_went_and_gives_the_same_events() -> None:
    records = feed(2_000)
    stage, done = processed(records)
    assert len(done.events) == len(records)
    assert (done.events["notes"] & NOTE_BACKWARDS).sum() > 100
    which = np.flatnonzero(records["instrument_id"] != 1)
    sent = wire_batch(
        records, done, which, stage.contracts,
        venue="GLBX.MDP3", batch_id="capture", upto=1_999, ingest_time=5,
    )  # fmt: skip
    back = decode(*encode(sent), "here")
    assert isinstance(back, Batch)
    assert {name for name, _ in back.contracts} == {"ES.FUT.202403", "ES.OPT.X"}
    for name, was in sent.columns._asdict().items():
        now = getattr(back.columns, name)
        assert now.dtype == was.dtype
        assert np.array_equal(now, was)
    rest = [(f.name, getattr(back, f.name)) for f in dataclasses.fields(Batch)[1:]]
    assert rest == [(name, getattr(sent, name)) for name, _ in rest]
    assert len(back.backwards) > 50
    for i, ts in back.backwards.items():
        assert ts == records["ts_recv"][which[i]] < back.columns.ts_recv[i]
    names = [str(c.contract_id) for c in stage.contracts]
    places = np.array([names.index(c) for c, _ in back.contracts])
    events = to_events(back.columns, places, np.array([STEPS[c] for c, _ in back.contracts]))
    events["notes"][list(back.backwards)] = NOTE_BACKWARDS
    assert (events["price"] == NONE).sum() > 100
    assert events.dtype == EVENT
    assert events.tobytes() == done.events[which].tobytes()


def test_control_messages_and_single_events_come_back() -> None:
    for sent in (
        Mark("GLBX.MDP3", 1_700_000_000_000_000_001),
        Gap("XNAS.ITCH", 1, 2, "reset"),
        CONTRACTS[0],
        Single({"contract_id": "ESH6", "price": 5000.25, "order_id": 2**64 - 1}),
    ):
        assert decode(*encode(sent), "here") == sent


@pytest.mark.parametrize(
    ("value", "headers", "words"),
    [
        (b"{", {}, "kind event"),
        (b"[]", {}, "no object"),
        (b"{}", {"kind": "mark"}, "kind mark"),
        (b"{}", {"kind": "rumour"}, "rumour"),
        (b"", {"kind": "batch"}, "kind batch"),
        (json.dumps({"venue": 1, "x": 2}).encode(), {"kind": "gap"}, "kind gap"),
    ],
)
def test_what_no_version_of_ours_has_written_is_refused(
    value: bytes, headers: dict[str, str], words: str
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        decode(value, headers, "mbo_raw[0] at 17")
    assert str(caught.value).startswith("mbo_raw[0] at 17: ")


def test_damaged_batch_is_refused() -> None:
    records = feed(50)
    stage, done = processed(records)
    told = {"venue": "GLBX.MDP3", "batch_id": "capture", "upto": 49, "ingest_time": 5}
    value, headers = encode(wire_batch(records, done, np.arange(50), stage.contracts, **told))
    for cut in (4, 8, 20, len(value) // 2, len(value) - 1):
        with pytest.raises(SourceError, match="kind batch"):
            decode(value[:cut], headers, "here")
