"""Databento's own client receives from the gateway what is in the files, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databento
import numpy as np
import pytest

from spymaster.errors import ContractError, SourceError
from spymaster.feed.dbn_definitions import read_definitions
from spymaster.feed.gateway import Fault, Gateway
from spymaster.feed.gateway.tape import Tape, tape_file
from tests.e2e.scenes import SHORT, market, mbo, records
from tests.gateway.client import ALL, ES, Heard, Wall, hear, merge
from tests.real_data import es_definitions, es_mbo

NS = 10**9


@pytest.fixture
def played(files: list[Path]) -> Iterator[Gateway]:
    with Gateway(files, at_end="close") as gateway:
        yield gateway


def test_the_real_evening_arrives_byte_for_byte() -> None:
    with Gateway([es_mbo()], at_end="close") as gateway:
        heard = hear(gateway, ES)
    assert heard.error is None
    assert heard.count == 68_792
    assert heard.raw.endswith(records(es_mbo()).tobytes())
    assert heard.symbols() == {17077: "ESH4"}


def test_old_definitions_arrive_as_those_of_version_3() -> None:
    path = es_definitions("opt")
    with Gateway([path], at_end="close") as gateway:
        heard = hear(gateway, {"schema": "definition", "symbols": "ES.OPT", "stype_in": "parent"})
    wanted = read_definitions(path)
    came = [bytes(m) for _, m in heard.of("InstrumentDefMsg")]
    assert b"".join(came) == wanted.tobytes()
    assert set(heard.symbols()) >= set(wanted["instrument_id"].tolist())


def test_three_days_of_two_schemas_arrive_whole_and_in_order(
    played: Gateway, files: list[Path], feed: np.ndarray
) -> None:
    heard = hear(played, ALL, {"schema": "definition"})
    assert heard.mbo.tobytes() == feed.tobytes()
    defined = heard.of("InstrumentDefMsg")
    wanted = [read_definitions(path).tobytes() for path in mbo("definition", files)]
    assert b"".join(bytes(m) for _, m in defined) == b"".join(wanted)
    # A day's definitions come before its records.
    days = np.cumsum([0, *(len(records(path)) for path in mbo("mbo", files))]).tolist()
    assert [n for n, _ in defined] == [n for n in days[:-1] for _ in range(2)]
    assert [m for _, m in heard.system("subscription_ack")] == [
        "Subscription request 0 for mbo data succeeded",
        "Subscription request 1 for definition data succeeded",
    ]


@pytest.mark.parametrize("how", [{"compression": "zstd"}, {"ts_out": True}])
def test_compression_and_send_times_change_no_record(
    played: Gateway, feed: np.ndarray, how: dict[str, Any]
) -> None:
    if "compression" in how:
        how = {"compression": databento.Compression.ZSTD}
    heard = hear(played, **how)
    assert heard.mbo.tobytes() == feed.tobytes()
    if "ts_out" in how:
        row = np.dtype([("record", f"V{56}"), ("ts_out", "<i8")])
        sent = np.frombuffer(heard.raw[-len(feed) * 64 :], row)["ts_out"]
        tail = feed[-1000:]
        assert (sent[-1000:] >= tail["ts_recv"]).all()
        assert (np.diff(sent[-1000:]) >= 0).all()


def test_only_the_symbols_that_were_asked_for_arrive(tmp_path: Path) -> None:
    files = market(tmp_path, 1, 6_000, SHORT, contracts=3)
    feed = np.concatenate([records(path) for path in mbo("mbo", files)])
    with Gateway(files, at_end="close") as gateway:
        heard = hear(gateway, {"schema": "mbo", "symbols": ["ESH4", "ESU4"]})
    names = heard.symbols()
    assert sorted(names.values()) == ["ESH4", "ESU4"]
    wanted = feed[np.isin(feed["instrument_id"], list(names))]
    assert 0 < len(wanted) < len(feed)
    assert heard.mbo.tobytes() == wanted.tobytes()


def test_parents_and_numbers_name_futures_and_options_of_interleaved_files(tmp_path: Path) -> None:
    files = market(tmp_path, 1, 4_000, SHORT, options=30, option_events_per_session=4_000)
    order = sorted((tape_file(path) for path in mbo("mbo", files)), key=lambda f: f.order)
    feed = merge([records(file.path) for file in order])
    defined = np.concatenate([read_definitions(path) for path in mbo("definition", files)])
    futures = np.unique(defined["instrument_id"][defined["instrument_class"] == b"F"])
    options = defined[defined["instrument_class"] != b"F"]
    parents = sorted({f"{asset.decode()}.OPT" for asset in options["asset"]})
    is_future = np.isin(feed["instrument_id"], futures)
    assert 0 < is_future.sum() < len(feed)
    cases = [
        ({"symbols": "ES.FUT", "stype_in": "parent"}, feed[is_future]),
        ({"symbols": parents, "stype_in": "parent"}, feed[~is_future]),
        (
            {"symbols": [str(futures[0])], "stype_in": "instrument_id"},
            feed[feed["instrument_id"] == futures[0]],
        ),
        ({}, feed),
    ]
    for asked, wanted in cases:
        with Gateway(files, at_end="close") as gateway:
            heard = hear(gateway, {"schema": "mbo", **asked})
        assert heard.mbo.tobytes() == wanted.tobytes(), asked


@pytest.mark.parametrize("chunk", [1_000, 4_096, 65_536])
def test_the_feed_is_the_same_however_files_are_read(
    chunk: int, files: list[Path], feed: np.ndarray
) -> None:
    at, parts = 0, []
    for batch in Tape(map(tape_file, reversed(files)), chunk).read():
        assert batch.first == at
        at = batch.end
        assert (np.diff(batch.keys) >= 0).all()
        parts.append(batch)
    assert np.concatenate([p.mbo for p in parts]).tobytes() == feed.tobytes()
    assert at == len(feed) + sum(len(read_definitions(p)) for p in mbo("definition", files))


def test_a_replay_hands_over_to_the_feed_without_loss_or_duplicate(
    files: list[Path], feed: np.ndarray
) -> None:
    broken = 9_001
    start = int(feed["ts_event"][broken - 1]) - NS
    with Gateway(files, at_end="close", faults=[Fault("close", broken)]) as gateway:
        first = hear(gateway)
        again = hear(gateway, {**ALL, "start": start})
    assert first.mbo.tobytes() == feed[:broken].tobytes()
    past = feed[:broken][feed["ts_event"][:broken] >= start]
    assert 0 < len(past) < broken
    assert again.mbo.tobytes() == np.concatenate([past, feed[broken:]]).tobytes()
    assert again.system("replay_completed") == [(len(past), "Finished mbo replay")]


def test_a_start_of_0_replays_the_day_so_far(files: list[Path], feed: np.ndarray) -> None:
    broken = 9_001
    with Gateway(files, at_end="close", faults=[Fault("close", broken)]) as gateway:
        hear(gateway)
        heard = hear(gateway, {**ALL, "start": 0}, {"schema": "definition", "start": 0})
    day = 86_400 * NS
    midnight = int(feed["ts_recv"][broken]) // day * day
    assert heard.mbo.tobytes() == feed[feed["ts_recv"] >= midnight].tobytes()
    assert len(heard.system("replay_completed")) == 2
    assert len([n for n, _ in heard.of("InstrumentDefMsg") if n == 0]) == 2


def test_without_start_a_later_client_gets_what_is_still_to_come(
    files: list[Path], feed: np.ndarray
) -> None:
    with Gateway(files, at_end="close", faults=[Fault("close", 5_000)]) as gateway:
        hear(gateway)
        assert hear(gateway).mbo.tobytes() == feed[5_000:].tobytes()


def test_the_feed_keeps_to_its_clock_and_heartbeats_fill_the_silence(
    files: list[Path], feed: np.ndarray
) -> None:
    wall, begin = Wall(), int(feed["ts_recv"][0])
    middle = int(feed["ts_recv"][6_000])
    at_begin = int((feed["ts_recv"] <= begin).sum())
    at_middle = int((feed["ts_recv"] <= middle).sum())
    counts = []

    def silent(heard: Heard) -> bool:
        if len(heard.system("heartbeat")) == 1 and not counts:
            counts.append(heard.count)
            wall.now = (middle - begin) // 10
        return heard.count == at_middle and heard.system("heartbeat")[-1][0] == at_middle

    with Gateway(files, speed=10.0, wall=wall, slow_s=1e9) as gateway:
        first = hear(gateway, until=silent, heartbeat_interval_s=1)
        assert counts == [at_begin]
        assert first.mbo.tobytes() == feed[:at_middle].tobytes()

        def start(heard: Heard) -> bool:
            wall.now = 10**18
            return heard.count == len(feed) - at_middle

        later = hear(gateway, until=start, heartbeat_interval_s=1)
    assert later.mbo.tobytes() == feed[at_middle:].tobytes()


def test_from_sets_the_clock(files: list[Path], feed: np.ndarray) -> None:
    begin = int(feed["ts_recv"][7_000])
    with Gateway(files, at_end="close", begin=begin) as gateway:
        heard = hear(gateway)
    assert heard.mbo.tobytes() == feed[feed["ts_recv"] >= begin].tobytes()


def test_a_subscription_after_the_start_is_taken(files: list[Path], feed: np.ndarray) -> None:
    with Gateway(files, at_end="heartbeat") as gateway:
        whole = int((feed["instrument_id"] == feed["instrument_id"][0]).sum())

        def more(client: databento.Live) -> None:
            client.subscribe("GLBX.MDP3", schema="mbo", symbols=["ESM4"], snapshot=True)
            client.subscribe("GLBX.MDP3", schema="definition", symbols=["NONE"])
            client.subscribe("GLBX.MDP3", schema="trades")

        heard = hear(gateway, ES, until=lambda h: h.count == whole, then=more)
    later = heard.mbo[whole:]
    assert sorted(heard.symbols().values()) == ["ESH4", "ESM4"]
    assert (later["flags"] & 32 > 0).all()
    assert set(later["instrument_id"].tolist()) == {
        n for n, name in heard.symbols().items() if name == "ESM4"
    }
    assert [code for _, code, _ in heard.errors()] == [
        "symbol_resolution_failed",
        "invalid_subscription",
    ]
    assert heard.error is not None
    assert "trades" in heard.error


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ({"schema": "trades"}, "invalid_subscription", "Schema 'trades' is not replayed"),
        (
            {"schema": "mbo", "symbols": "ES.c.0", "stype_in": "continuous"},
            "invalid_subscription",
            "stype_in 'continuous' is not replayed",
        ),
        ({"schema": "definition", "snapshot": True}, "invalid_subscription", "schema mbo only"),
        ({"schema": "mbo", "start": 2**62}, "invalid_subscription", "later than the feed's time"),
        ({"schema": "mbo", "start": 1}, "replay_data_aged_out", "older than what is kept"),
    ],
)
def test_what_cannot_be_played_is_refused_as_the_protocol_says(
    files: list[Path], asked: dict[str, Any], code: str, said: str
) -> None:
    lines: list[str] = []
    with Gateway(files, tell=lines.append, replay_hours=1) as gateway:
        heard = hear(gateway, asked)
    assert [(n, c) for n, c, _ in heard.errors()] == [(0, code)]
    assert heard.error is not None
    assert said in heard.error
    assert len([line for line in lines if said in line]) == 1


def test_an_unknown_symbol_is_told_and_the_others_are_played(
    played: Gateway, feed: np.ndarray
) -> None:
    heard = hear(played, {"schema": "mbo", "symbols": ["ESH4", "NQH4", "ESM4", "CLF4"]})
    assert heard.mbo.tobytes() == feed.tobytes()
    assert [text for _, _, text in heard.errors()] == [
        "Failed to resolve symbol NQH4 (raw_symbol)",
        "Failed to resolve symbol CLF4 (raw_symbol)",
    ]


def test_many_symbols_come_in_batches_under_one_acknowledgement(
    played: Gateway, feed: np.ndarray
) -> None:
    symbols = [*(f"X{i}" for i in range(700)), "ESH4"]
    heard = hear(played, {"schema": "mbo", "symbols": symbols})
    assert heard.count == int((feed["instrument_id"] == feed["instrument_id"][0]).sum())
    assert len(heard.system("subscription_ack")) == 1
    assert len(heard.errors()) == 700


def test_a_key_and_a_dataset_must_be_right(files: list[Path]) -> None:
    with Gateway(files, key="db-the-right-one", at_end="close") as gateway:
        assert hear(gateway, key="db-a-wrong-one").error == "User authentication failed."
        assert hear(gateway, key="db-the-right-one").error is None
        wrong = hear(gateway, key="db-the-right-one", dataset="XNAS.ITCH")
    assert wrong.error == "Dataset 'XNAS.ITCH' is not replayed; there are: GLBX.MDP3."


def test_a_dataset_picks_its_files(tmp_path: Path, files: list[Path], feed: np.ndarray) -> None:
    stocks = market(tmp_path, 1, 4_000, SHORT, underlier="TSLA")
    shares = np.concatenate([records(path) for path in mbo("mbo", stocks)])
    with Gateway([*stocks, *files], at_end="close") as gateway:
        assert hear(gateway, dataset="XNAS.ITCH").mbo.tobytes() == shares.tobytes()
        assert hear(gateway).mbo.tobytes() == feed.tobytes()


def test_bad_arguments_say_what_is_allowed(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="allowed is a factor above 0"):
        Gateway(files, speed=0.0)
    with pytest.raises(ContractError, match="heartbeat, close"):
        Gateway(files, at_end="never")
    with pytest.raises(ContractError, match="after the files' end"):
        Gateway(files, begin=2**62)
    with pytest.raises(SourceError, match="nothing to replay"):
        Gateway([])
    (tmp_path / "no.dbn").write_bytes(b"hello")
    with pytest.raises(SourceError, match="no DBN"):
        Gateway([tmp_path / "no.dbn"])
    with Gateway(files) as gateway, pytest.raises(SourceError, match="cannot listen"):
        Gateway(files, port=gateway.port).start()
