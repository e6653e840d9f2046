"""Parts of the ingestor by themselves: waiting for definitions, boundaries, buffer, restart."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from databento_dbn import ErrorCode, ErrorMsg, SType, SymbolMappingMsg, SystemCode, SystemMsg

from spymaster.errors import ContractError, SourceError
from spymaster.feed.dbn import MBO_RECORD
from spymaster.feed.dbn_write import make_metadata, write_dbn
from spymaster.feed.ingest.boundary import next_boundary
from spymaster.feed.ingest.capture import Capture, mend, unfinished
from spymaster.feed.ingest.inbox import Inbox
from spymaster.feed.ingest.process import feeds
from spymaster.feed.ingest.stream import Stream
from spymaster.market.clock import DAY_NS
from spymaster.settings import Settings
from tests.e2e.scenes import records

NS = 1_000_000_000
DAY = 1_704_844_800 * NS  # 2024-01-10 00:00 UTC
HEAD = make_metadata("GLBX.MDP3", {}, DAY, schema=None).encode()


def mbo(n: int, first: int = 0) -> bytes:
    out = np.zeros(n, MBO_RECORD)
    out["length"], out["rtype"], out["order_id"] = 14, 0xA0, first + np.arange(n)
    out["ts_recv"] = DAY + out["order_id"]
    return out.tobytes()


def said(code: SystemCode, text: str) -> bytes:
    return bytes(SystemMsg(DAY, text, code=code))


def mapping() -> bytes:
    raw: SType = SType.RAW_SYMBOL  # type: ignore[assignment]
    return bytes(SymbolMappingMsg(0, 7, DAY, raw, "ESH4", raw, "ESH4", DAY, DAY + DAY_NS))


def orders(data: np.ndarray) -> list[int]:
    return data.view(MBO_RECORD)["order_id"].tolist()


def test_records_wait_for_definitions_which_go_first() -> None:
    stream = Stream(2, 10.0, lambda: 0.0)
    assert len(stream.take([HEAD + mbo(3), mbo(2, 3)])) == 0
    assert len(stream.take([mapping()])) == 0
    done = said(SystemCode.REPLAY_COMPLETED, "Finished definition replay")
    data = stream.take([mbo(1, 5) + done + mbo(2, 6)])
    others = len(mapping()) + len(done)
    assert data[:others].tobytes() == mapping() + done
    assert orders(data[others:]) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert orders(stream.take([mbo(2, 8)])) == [8, 9]


def test_other_schemas_replay_is_no_sign_unless_it_is_the_last() -> None:
    stream = Stream(2, 10.0, lambda: 0.0)
    stream.take([HEAD, said(SystemCode.REPLAY_COMPLETED, "Finished mbo replay"), mbo(1)])
    assert not stream.complete
    stream.take([said(SystemCode.REPLAY_COMPLETED, "done")])
    assert stream.complete
    assert not stream.late


def test_definitions_that_do_not_come_are_not_waited_for_for_ever() -> None:
    times = iter([1.0, 9.0, 11.0])
    stream = Stream(1, 10.0, lambda: next(times))
    assert [len(stream.take([piece])) for piece in (HEAD + mbo(1), mbo(1, 1))] == [0, 0]
    assert orders(stream.take([])) == [0, 1]
    assert stream.late


def test_records_are_cut_wherever_the_bytes_are_and_what_is_none_is_told() -> None:
    whole = mbo(5) + mapping() + mbo(3, 5)
    for size in (1, 7, 55, 57, 500):
        stream = Stream(1, float("-inf"), lambda: 0.0)
        pieces = [whole[a : a + size] for a in range(0, len(whole), size)]
        out = b"".join(stream.take([piece]).tobytes() for piece in [HEAD, *pieces])
        assert (out, stream.half) == (whole, 0), size
    with pytest.raises(SourceError, match="no record begins with length 1"):
        Stream(1, float("-inf"), lambda: 0.0).take([HEAD, mbo(1), b"\x01\xa0" * 30])


def test_after_records_were_skipped_nothing_goes_on() -> None:
    stream = Stream(1, float("-inf"), lambda: 0.0)
    code = ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING
    error = bytes(ErrorMsg(DAY, "Skipped 9", True, code=code))
    assert orders(stream.take([HEAD, mbo(3) + error + mbo(3, 12)])) == [0, 1, 2]
    assert [e.text for e in stream.errors] == ["Skipped 9"]


def test_captures_end_at_midnight_and_when_a_sessions_windows_have_ended() -> None:
    es = {"ES": Settings().of("ES")}
    close = DAY + 21 * 3600 * NS + 250_000_000  # 16:00 New York, and the lateness
    assert next_boundary(es, DAY) == close
    assert next_boundary(es, close - 1) == close
    assert next_boundary(es, close) == DAY + DAY_NS
    saturday = DAY + 3 * DAY_NS
    assert next_boundary(es, saturday) == saturday + DAY_NS


def test_full_buffer_stops_the_writer_until_there_is_room() -> None:
    inbox = Inbox(200)
    inbox.write(mbo(3))
    inbox.delivered()
    inbox.write(mbo(1, 3))
    writer = threading.Thread(target=inbox.delivered)
    writer.start()
    first = b"".join(inbox.take(5))
    rest = b""
    while len(first + rest) < 4 * 56:
        rest += b"".join(inbox.take(5))
    writer.join()
    assert first + rest == mbo(4)
    assert inbox.waiting == 0
    inbox.end(None)
    inbox.end(ValueError("later"))
    assert inbox.take(5) == []
    assert inbox.error is None


def test_writer_that_waits_is_let_go_when_the_buffer_closes() -> None:
    inbox = Inbox(10)
    inbox.write(mbo(1))
    writer = threading.Thread(target=inbox.delivered)
    writer.start()
    inbox.close()
    writer.join()
    assert inbox.take(0) == [mbo(1)]


def test_capture_that_ends_inside_a_record_is_mended_and_an_empty_one_removed(
    tmp_path: Path,
) -> None:
    second = Capture(tmp_path, "GLBX.MDP3", DAY + 5, "b" * 16)
    first = Capture(tmp_path, "GLBX.MDP3", DAY, "a" * 16)
    first.write(np.frombuffer(mbo(4), np.uint8), 4)
    for one in (first, second):
        one.close()
    with first.path.open("ab") as file:
        file.write(mbo(1)[:30])
    write_dbn(tmp_path / "other.dbn", make_metadata("GLBX.MDP3", {}, DAY), mbo(1), compress=False)
    assert unfinished(tmp_path) == [first.path, second.path]
    assert mend(first.path) == 4
    assert len(records(first.path)) == 4
    assert first.path.stat().st_size == len(HEAD) + 4 * 56
    assert mend(second.path) == 0
    assert not second.path.exists()
    torn = tmp_path / f"x-20240110-capture-{'c' * 16}.dbn"
    torn.write_bytes(HEAD[:20])
    assert mend(torn) == 0
    assert not torn.exists()


def test_what_is_subscribed_must_be_said_and_belong_to_one_underlier() -> None:
    settings = Settings()
    assert list(feeds(settings)) == ["GLBX.MDP3", "XNAS.ITCH"]
    assert feeds(settings, "XNAS.ITCH")["XNAS.ITCH"].raw_symbol == ("TSLA",)
    with pytest.raises(ContractError, match="no configured underlier's venue; allowed: GLBX"):
        feeds(settings, "XNYS")
    plain = settings.model_dump(mode="json")
    plain["underlier"]["NQ"] = {**plain["underlier"]["ES"], "model_id": "NQ"}
    with pytest.raises(ContractError, match="the venue of ES and NQ"):
        feeds(Settings.model_validate(plain))
    plain["underlier"]["NQ"]["venue"] = "OTHER"
    with pytest.raises(ContractError, match="nothing says what to subscribe for NQ"):
        feeds(Settings.model_validate(plain))
