"""One event as JSON, as anyone may post it: taken once, or put aside with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from spymaster.bus import open_bus
from spymaster.contracts.stream import SUFFIX
from spymaster.engines.stream.live import LiveEngine
from spymaster.feed.topic import TOPIC, Gap, Single, encode
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings
from tests.e2e.runner import Runner
from tests.e2e.scenes import SHORT, market, records, rows, short
from tests.live.posting import post
from tests.live.streamed import TABLES, whole_sessions
from tests.users_event import EVENT

LACKS = "the event lacks"


def publish(settings: Settings, *values: bytes, **headers: str) -> None:
    with open_bus(settings) as bus:
        bus.create(TOPIC, settings.bus.partitions)
        with bus.producer("somebody") as producer:
            for value in values:
                producer.publish(TOPIC, value, partition=0, headers=headers)


def told(**changes: Any) -> bytes:
    """The event with changes; a value of ... leaves it out."""
    event = {k: v for k, v in {**EVENT, **changes}.items() if v is not ...}
    return json.dumps(event).encode()


def stream(settings: Settings) -> int:
    with open_bus(settings) as bus:
        return LiveEngine(settings, bus, quiet_s=0.3).run().records


def taken(root: Path) -> list[dict[str, Any]]:
    found = [r for r in rows(root, "bronze.stream") if r["batch_id"] == "event"]
    return sorted(found, key=lambda r: int(r["topic_offset"]))


def test_the_users_event_is_taken_as_it_stands(tmp_path: Path) -> None:
    settings = short(tmp_path)
    publish(settings, encode(Single(EVENT))[0])
    assert stream(settings) == 1
    (row,) = taken(tmp_path)
    said = {**EVENT, "symbol": "12345", "price": 5_000_000_000_000}
    assert {name: row[name] for name in EVENT} == said
    assert (row["ts_recv"], row["flags"]) == (EVENT["event_time"], 128)
    assert (row["topic_partition"], row["topic_offset"]) == (0, 0)
    assert row["session_date"] == date(2024, 1, 11)
    assert rows(tmp_path, "bronze.quarantine") == []


def test_posted_twice_it_is_there_twice_and_read_again_it_is_not(tmp_path: Path) -> None:
    settings = short(tmp_path)
    publish(settings, told(), told())
    assert stream(settings) == 2
    assert stream(settings) == 0
    publish(settings, told())
    assert stream(settings) == 1
    found = taken(tmp_path)
    assert [(r["topic_offset"], r["event_index"]) for r in found] == [(0, 0), (1, 1), (2, 2)]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    running = Runner(tmp_path_factory.mktemp("said"))
    yield running
    running.close()


@pytest.mark.parametrize("point", ["intent-after", "epoch-after", "commit-after", "state-before"])
def test_redelivered_after_a_kill_it_is_there_once(
    runner: Runner, tmp_path: Path, point: str
) -> None:
    settings = short(tmp_path / "root")
    config, mark = tmp_path / "spymaster.toml", tmp_path / "mark"
    config.write_text(settings.to_toml())
    publish(settings, told(), told(side="X"), told(sequence=2))
    given = ["live", "--config", config, "--quiet", "0.3"]
    fault = {"point": point, "nth": 1, "mark": str(mark)}
    assert runner.run(*given, fault=fault).code < 0
    assert mark.exists()
    done = runner.run(*given)
    assert done.code == 0, done.said
    found = taken(tmp_path / "root")
    assert [(r["topic_offset"], r["sequence"]) for r in found] == [(0, 1), (2, 2)]
    (refused,) = rows(tmp_path / "root", "bronze.quarantine")
    assert (refused["source"], refused["offset"]) == ("mbo_raw/0", 1)


#: What an event may say instead, and what the table says then.
ALLOWED: list[tuple[dict[str, Any], str, object]] = [
    ({"price": None}, "price", None),
    ({"price": 4999}, "price", 4_999_000_000_000),
    ({"price": -0.25}, "price", -250_000_000),
    ({"order_id": 2**64 - 1}, "order_id", -1),
    ({"order_id": 2**63}, "order_id", -(2**63)),
    ({"order_id": -(2**63)}, "order_id", -(2**63)),
    ({"order_id": 2**63 - 1}, "order_id", 2**63 - 1),
    ({"symbol": "ESH6"}, "symbol", "ESH6"),
    ({"symbol": 0}, "symbol", "0"),
    ({"flags": 0}, "flags", 0),
    ({"ts_recv": EVENT["event_time"] + 5}, "ts_recv", EVENT["event_time"] + 5),
    ({"ts_recv": EVENT["event_time"] + 4}, "ts_recv", EVENT["event_time"] + 5),
    ({"action": "R", "side": "N", "price": None, "size": 0}, "size", 0),
    ({"instrument_type": "STK", "contract_id": "ES.STK", "price": 0.0001}, "price", 100_000),
    ({"instrument_type": "OPT", "contract_id": "a", "price": 0.01}, "price", 10_000_000),
    ({"contract_id": "ES μ/../x"}, "contract_id", "ES μ/../x"),
    ({"unknown": 1}, "sequence", 1),
]


def test_what_an_event_may_say(tmp_path: Path) -> None:
    publish(short(tmp_path), *(told(**changes) for changes, _, _ in ALLOWED))
    assert stream(short(tmp_path)) == len(ALLOWED), rows(tmp_path, "bronze.quarantine")
    for row, (changes, column, value) in zip(taken(tmp_path), ALLOWED, strict=True):
        assert row[column] == value, changes
    late = taken(tmp_path)[11]
    assert json.loads(late["payload"]) == {"ts_recv": EVENT["event_time"] + 4}


#: What is posted, and what is said of it.
BROKEN: dict[str, tuple[bytes, str]] = {
    **{f"without {name}": (told(**{name: ...}), f"{LACKS} {name};") for name in EVENT},
    "nothing": (b"", "not a message of mbo_raw (kind event)"),
    "no JSON": (b"{not json", "not a message of mbo_raw (kind event)"),
    "no text": (b"\xff\xfe\x00", "not a message of mbo_raw (kind event)"),
    "no object": (b"[1, 2]", "the JSON is no object"),
    "deep": (b"[" * 100_000, "not a message of mbo_raw (kind event)"),
    "time as text": (told(event_time="now"), "event_time is 'now'; a whole number"),
    "time as a float": (told(event_time=1.5), "event_time is 1.5; a whole number"),
    "time as a bool": (told(event_time=True), "event_time is True; a whole number"),
    "time of no calendar": (told(event_time=1), "event_time is 1; a whole number from"),
    "time before": (told(event_time=-(2**63)), "event_time is -9223372036854775808;"),
    "time undefined": (told(event_time=2**64 - 1), "event_time is 18446744073709551615;"),
    "arrival of no calendar": (told(ts_recv=2**63 - 1), "ts_recv is 9223372036854775807;"),
    "long number": (told(sequence=10**400), "sequence is 1000000"),
    "number without end": (b'{"a":' + b"9" * 5_000 + b"}", "not a message of mbo_raw"),
    "order id": (told(order_id=2**64), "order_id is 18446744073709551616; a whole number from"),
    "order id as text": (told(order_id="1"), "order_id is '1'; a whole number from"),
    "size below zero": (told(size=-1), "size is -1; a whole number from 0 to 4294967295"),
    "size too large": (told(size=2**32), "size is 4294967296; a whole number from 0"),
    "flags": (told(flags=256), "flags is 256; a whole number from 0 to 255"),
    "number of the instrument": (told(instrument_id=-1), "instrument_id is -1; a whole number"),
    "price as text": (told(price="5000"), "price is '5000'; a number in currency units"),
    "price as a bool": (told(price=True), "price is True; a number in currency units"),
    "price NaN": (told(price=float("nan")), "price is nan; a number in currency units"),
    "price infinite": (told(price=float("inf")), "price is inf; a number in currency units"),
    "price too large": (told(price=1e300), "price is 1e+300; a number in currency units"),
    "price of many digits": (told(price=10**400), "price is 100000"),
    "price between ticks": (told(price=5000.1), "price 5000.1 is no multiple of the contract's"),
    "action": (told(action="X"), "action is 'X'; allowed are A, C, M, R, T, F, N"),
    "action of two": (told(action="AC"), "action is 'AC'; allowed are A, C, M, R, T, F, N"),
    "action null": (told(action=None), "action is None; allowed are A, C, M, R, T, F, N"),
    "side": (told(side="buy"), "side is 'buy'; allowed are B, A, N"),
    "side a list": (told(side=["B"]), "side is ['B']; allowed are B, A, N"),
    "kind": (told(instrument_type="CASH"), "instrument_type is 'CASH'; allowed are FUT, OPT, STK"),
    "kind a path": (told(instrument_type="../x"), "instrument_type is '../x'; allowed are FUT"),
    "underlier": (told(underlier="NQ"), "underlier 'NQ' is not configured; allowed are ES"),
    "underlier an object": (told(underlier={}), "underlier is {}; text is allowed"),
    "contract without a name": (told(contract_id=""), "contract_id is ''; text is allowed"),
    "contract null": (told(contract_id=None), "contract_id is None; text is allowed"),
    "half a character": (told(contract_id="\ud800"), "contract_id is '\\ud800'; text is allowed"),
    "symbol a bool": (told(symbol=True), "symbol is True; text, or a whole number, is allowed"),
    "symbol null": (told(symbol=None), "symbol is None; text, or a whole number, is allowed"),
    "another's contract": (
        told(contract_id="ES.FUT.202403", instrument_type="STK"),
        "contract ES.FUT.202403 is FUT of ES, not STK of ES",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return market(tmp_path_factory.mktemp("market"), 1, 2_000, SHORT, date(2024, 1, 9), contracts=1)


def test_broken_events_are_put_aside_with_their_reason_and_the_stream_goes_on(
    files: list[Path], tmp_path: Path
) -> None:
    calm, settings = short(tmp_path / "calm"), short(tmp_path / "root")
    for s in (calm, settings):
        with open_bus(s) as bus:
            sent = post(bus, s, files, 500)
    # Behind a market's records, whose contract is known then; good ones follow.
    publish(settings, *(value for value, _ in BROKEN.values()), told(), told(sequence=2))
    assert stream(settings) == sent + 2
    publish(settings, told(sequence=3))
    assert stream(settings) == 1
    assert [r["sequence"] for r in taken(tmp_path / "root")] == [1, 2, 3]
    found = {r["offset"]: r for r in rows(tmp_path / "root", "bronze.quarantine")}
    assert len(found) == len(BROKEN)
    first = min(found)
    for n, (name, (value, reason)) in enumerate(BROKEN.items()):
        row = found[first + n]
        assert reason in row["reason"], name
        assert bytes.fromhex(row["raw"]) == value, name
        assert len(row["reason"]) < 400, name
    assert stream(calm) == sent
    assert whole_sessions(tmp_path / "root") == whole_sessions(tmp_path / "calm") != []


def test_batch_that_cannot_be_read_is_put_aside_and_its_books_are_not_believed(
    files: list[Path], tmp_path: Path
) -> None:
    """As if the feed had told a gap there; a foreign kind and a broken mark cost nothing more."""
    days = [p for p in files if "definition" not in p.name]
    ts = records(days[-1])["ts_recv"]
    middle = int(ts[len(ts) // 2])
    before = int(ts[ts <= middle].max())
    gap = Gap("GLBX.MDP3", before, before, "a message of the topic cannot be read")
    roots = {"broken": b"\0 no batch", "told": b""}
    for name, value in roots.items():
        settings = short(tmp_path / name)
        with open_bus(settings) as bus:
            post(bus, settings, files, 500, until=middle)
        if value:
            publish(settings, value, kind="batch", venue="GLBX.MDP3", batch_id="x", upto="1")
            publish(settings, b"{}", kind="mark")
            publish(settings, b"{}", kind="of another program")
        else:
            publish(settings, encode(gap)[0], **encode(gap)[1])
        with open_bus(settings) as bus:
            post(bus, settings, files, 500, since=middle + 1)
        assert stream(settings)
    found = rows(tmp_path / "broken", "bronze.quarantine")
    assert [bytes.fromhex(r["raw"]) for r in found] == [roots["broken"], b"{}", b"{}"]
    assert "not a message of mbo_raw (kind batch)" in found[0]["reason"]
    assert whole_sessions(tmp_path / "broken") == whole_sessions(tmp_path / "told")
    for table in TABLES:
        same = diff(Lake(tmp_path / "broken"), Lake(tmp_path / "told"), table + SUFFIX)
        assert same.equal, str(same)
    bars = rows(tmp_path / "broken", "silver.bar_5s_stream", "bar_end", "valid")
    assert {b["valid"] for b in bars if b["bar_end"] > middle} == {False}
    assert any(b["valid"] for b in bars)
