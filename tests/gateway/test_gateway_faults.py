"""Every scripted fault, as Databento's own client meets it."""

from __future__ import annotations

import threading
from pathlib import Path

import databento
import numpy as np
import pytest

from spymaster.errors import ContractError
from spymaster.feed.gateway import KINDS, Fault, Gateway, parse_fault
from tests.gateway.client import ALL, ES, Heard, Wall, hear

N = 3_001


def _played(files: list[Path], *faults: str, times: int = 1, **how: str) -> list[Heard]:
    script = [parse_fault(text) for text in faults]
    with Gateway(files, at_end="close", faults=script) as gateway:
        return [hear(gateway, ALL, **how) for _ in range(times)]


def test_a_refused_key_reaches_the_client_as_an_authentication_error(files: list[Path]) -> None:
    first, second = _played(files, "bad-key", times=2)
    assert first.error == "User authentication failed."
    assert second.error is None


def test_a_reset_comes_in_mid_record_and_is_an_error(files: list[Path], feed: np.ndarray) -> None:
    (heard,) = _played(files, f"reset:{N}")
    assert heard.error is not None
    assert heard.mbo.tobytes() == feed[:N].tobytes()


@pytest.mark.parametrize("kind", ["half-record", "stall"])
def test_a_stall_looks_like_a_silent_feed(kind: str, files: list[Path], feed: np.ndarray) -> None:
    lines: list[str] = []
    with Gateway(files, faults=[Fault(kind, N)], tell=lines.append) as gateway:
        heard = hear(gateway, until=lambda h: h.count == N, heartbeat_interval_s=1)
    assert heard.mbo.tobytes() == feed[:N].tobytes()
    assert heard.system("heartbeat") == []
    assert f"connection 1: fault {kind}:{N}@1" in lines


def test_a_stalled_gateway_that_ends_cuts_the_record(files: list[Path], feed: np.ndarray) -> None:
    """The client takes the orderly end after half a record for a normal close."""
    with Gateway(files, faults=[Fault("half-record", N)]) as gateway:
        heard = hear(gateway, until=lambda h: h.count == N, then=lambda _: gateway.stop())
    assert heard.error is None
    assert heard.mbo.tobytes() == feed[:N].tobytes()


def test_silence_from_the_start_sends_not_even_metadata(files: list[Path]) -> None:
    silent = threading.Event()

    def tell(line: str) -> None:
        if "silence" in line:
            silent.set()

    with Gateway(files, faults=[Fault("silence")], tell=tell) as gateway:
        client = databento.Live(key="db-silent", gateway=gateway.host, port=gateway.port)
        client.subscribe("GLBX.MDP3", "mbo")
        client.start()
        assert silent.wait(60)
        gateway.stop()
        client.block_for_close(timeout=30)
        assert client.metadata is None


def test_an_error_message_ends_the_session(files: list[Path], feed: np.ndarray) -> None:
    (heard,) = _played(files, f"error:{N}")
    assert heard.errors() == [(N, "internal_error", "Internal error (scripted)")]
    assert heard.error == "Internal error (scripted)"
    assert heard.mbo.tobytes() == feed[:N].tobytes()


def test_an_orderly_end_is_no_error(files: list[Path], feed: np.ndarray) -> None:
    (heard,) = _played(files, f"close:{N}")
    assert heard.error is None
    assert heard.mbo.tobytes() == feed[:N].tobytes()


def test_a_gap_leaves_records_out(files: list[Path], feed: np.ndarray) -> None:
    (heard,) = _played(files, f"gap:{N}:10000")
    assert heard.mbo.tobytes() == np.delete(feed, slice(N, N + 10_000)).tobytes()


def test_a_slow_reader_is_warned_or_loses_records(files: list[Path], feed: np.ndarray) -> None:
    (warned,) = _played(files, f"slow:{N}:500", slow_reader_behavior="warn")
    assert [n for n, _ in warned.system("slow_reader_warning")] == [N]
    assert warned.mbo.tobytes() == feed.tobytes()
    (skipped,) = _played(files, f"slow:{N}:500", slow_reader_behavior="skip")
    code, text = "skipped_records_after_slow_reading", "Skipped 500 records after slow reading"
    assert skipped.errors() == [(N, code, text)]
    assert skipped.mbo.tobytes() == np.delete(feed, slice(N, N + 500)).tobytes()


def test_an_instrument_gets_another_number_in_mid_session(
    files: list[Path], feed: np.ndarray
) -> None:
    (heard,) = _played(files, f"remap:{N}")
    old = int(feed["instrument_id"][N])
    (new,) = [m.instrument_id for n, m in heard.of("SymbolMappingMsg") if n == N]
    assert new != old
    assert heard.symbols()[new] == heard.symbols()[old]
    wanted = feed.copy()
    later = wanted[N:]["instrument_id"]
    later[later == old] = new
    assert heard.mbo.tobytes() == wanted.tobytes()


def test_a_replay_may_begin_too_early(files: list[Path], feed: np.ndarray) -> None:
    broken = 9_001
    start = int(feed["ts_event"][broken - 1])
    faults = [Fault("close", broken), Fault("duplicates", 600, connection=2)]
    with Gateway(files, at_end="close", faults=faults) as gateway:
        hear(gateway)
        heard = hear(gateway, {**ALL, "start": start})
    past = feed[:broken][feed["ts_event"][:broken] >= start - 600 * 10**9]
    assert (past["ts_event"] < start).any()
    assert heard.mbo.tobytes() == np.concatenate([past, feed[broken:]]).tobytes()


def test_several_faults_of_one_connection_come_in_their_turn(
    files: list[Path], feed: np.ndarray
) -> None:
    (heard,) = _played(files, "close:300", "gap:100:50", "slow:200:1")
    assert heard.mbo.tobytes() == np.delete(feed, slice(100, 150))[:300].tobytes()
    assert [n for n, _ in heard.system("slow_reader_warning")] == [200]


def test_faults_are_read_from_text() -> None:
    for kind, told in KINDS.items():
        text = ":".join([kind, *("7" for _ in told.takes)])
        assert str(parse_fault(f"{text}@3")) == f"{text}@3"
        for wrong in (f"{text}:1", f"{text}@0", f"{text}@x", f"{kind}:x"):
            with pytest.raises(ContractError):
                parse_fault(wrong)
    with pytest.raises(ContractError, match="KIND"):
        parse_fault("explode:3")


def test_a_subscription_of_one_symbol_counts_its_own_records(
    files: list[Path], feed: np.ndarray
) -> None:
    own = feed[feed["instrument_id"] == feed["instrument_id"][0]]
    with Gateway(files, at_end="close", faults=[Fault("close", N)]) as gateway:
        first, second = hear(gateway, ES), hear(gateway, ES)
    assert first.mbo.tobytes() == own[:N].tobytes()
    assert second.mbo.tobytes() == own[N:].tobytes()


def test_a_client_that_falls_behind_the_clock_is_warned_or_loses_records(
    files: list[Path], feed: np.ndarray
) -> None:
    begin = int(feed["ts_recv"][0])
    at_begin = int((feed["ts_recv"] <= begin).sum())
    for behaviour in ("warn", "skip"):
        wall = Wall()

        def late(heard: Heard, wall: Wall = wall) -> bool:
            if heard.count == at_begin and heard.system("heartbeat"):
                wall.now = 7 * 86_400 * 10**9
            return bool(heard.errors()) or heard.count == len(feed)

        with Gateway(files, speed=1.0, wall=wall, slow_s=60.0) as gateway:
            heard = hear(
                gateway, until=late, heartbeat_interval_s=1, slow_reader_behavior=behaviour
            )
        if behaviour == "warn":
            assert heard.mbo.tobytes() == feed.tobytes()
            assert [n for n, _ in heard.system("slow_reader_warning")] == [at_begin]
        else:
            assert heard.mbo.tobytes() == feed[:at_begin].tobytes()
            ((_, code, text),) = heard.errors()
            assert code == "skipped_records_after_slow_reading"
            assert text == f"Skipped {len(feed) - at_begin} records after slow reading"
