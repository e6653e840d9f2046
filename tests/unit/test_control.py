"""What a stream says of instruments holds from its place on, live and in history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from databento_dbn import SType, SymbolMappingMsg, SystemMsg

from spymaster.engines.source import DbnSource
from spymaster.feed.capture_name import capture_name
from spymaster.feed.control import Control
from spymaster.feed.dbn import MBO_RECORD, DbnReader
from spymaster.feed.dbn_write import make_metadata, write_dbn
from spymaster.feed.deliver import deliver, inspect
from spymaster.lake import Lake
from spymaster.market.clock import DAY_NS
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN
from tests.e2e.scenes import short
from tests.real_data import es_definitions

NS = 1_000_000_000
DAY = 1_704_844_800 * NS  # 2024-01-10 00:00 UTC
OPEN = DAY + 14 * 3600 * NS


def mapping(number: int, symbol: str) -> bytes:
    raw: SType = SType.RAW_SYMBOL  # type: ignore[assignment]
    return bytes(SymbolMappingMsg(0, number, OPEN, raw, symbol, raw, symbol, DAY, DAY + DAY_NS))


def quotes(number: int, at: int, n: int = 10) -> bytes:
    out = np.zeros(n, MBO_RECORD)
    out["length"], out["rtype"], out["publisher_id"], out["instrument_id"] = 14, 0xA0, 1, number
    out["ts_recv"] = OPEN + (at + np.arange(n)) * NS
    out["ts_event"], out["order_id"] = out["ts_recv"] - 100_000, at + np.arange(n)
    out["price"], out["size"], out["flags"] = 4_800_000_000_000, 1, 128
    out["action"], out["side"] = ord("A"), ord("B")
    return out.tobytes()


#: A number that is March's, then June's, then March's again, and one that comes late.
STREAM = b"".join(
    (
        bytes(SystemMsg(OPEN, "hello")),
        mapping(7, "ESH4"),
        quotes(7, 0),
        mapping(7, "ESM4"),
        quotes(7, 10),
        quotes(8, 20),
        mapping(8, "ESH4"),
        quotes(8, 30),
        mapping(7, "ESH4"),
        quotes(7, 40),
    )
)
WANTED = ["202403"] * 10 + ["202406"] * 10 + [None] * 10 + ["202403"] * 20


def captured(folder: Path, body: bytes = STREAM) -> Path:
    name = capture_name("GLBX.MDP3", OPEN, "00d1e2f30405a6b7")
    return write_dbn(folder / name, make_metadata("GLBX.MDP3", {}, OPEN, schema=None), body)


def live(path: Path, chunk: int, known: Instruments) -> list[str | None]:
    """The contract's month of every record, None where it is refused."""
    settings = Settings()
    found: list[str | None] = []
    with DbnReader(path) as reader:
        control = Control(reader.metadata, settings.underlier, "b")
        stage = BronzeProcessDBN("GLBX.MDP3", known, settings.underlier)
        for piece in reader.chunks(chunk):
            done = stage.advance(piece.records, control.take(piece))
            months: list[str | None] = [None] * len(piece.records)
            for source, event in zip(done.sources, done.events, strict=True):
                contract = stage.contracts[event["contract"]].contract_id
                months[source] = str(contract)[-6:]
            found += months
    return found


def test_number_is_what_it_was_last_said_to_be_however_the_stream_is_cut(tmp_path: Path) -> None:
    path = captured(tmp_path)
    for chunk in (1, 2, 3, 7, 1000):
        assert live(path, chunk, Instruments([])) == WANTED, chunk


def test_history_reads_a_capture_as_it_was_live_whatever_is_known_since(tmp_path: Path) -> None:
    settings, lake = short(tmp_path / "root"), Lake(tmp_path / "root")
    landed = deliver(lake, captured(tmp_path), settings, 1)
    assert landed.row["batch_id"] == "00d1e2f30405a6b7"
    rows = [Instrument.from_row(r) for r in lake.scan("bronze.definitions").to_pylist()]
    print([(r.instrument_id, r.raw_symbol, r.ts_recv) for r in rows])
    source = DbnSource(lake, settings, Instruments(rows), 7)
    found = [
        str(contracts[e["contract"]].contract_id)[-6:]
        for contracts, events in source.events(landed.row, lambda: 1)
        for e in events
    ]
    assert found == [m for m in WANTED if m]
    assert source.last_read.refused == 10


def test_what_landed_twice_is_noted_once(tmp_path: Path) -> None:
    settings, lake = short(tmp_path / "root"), Lake(tmp_path / "root")
    contents = inspect(captured(tmp_path), settings)
    lake.append_rows(
        "bronze.definitions",
        [{**contents.instruments[0].to_row(), "batch_id": "00d1e2f30405a6b7"}],
    )
    deliver(lake, captured(tmp_path), settings, 1)
    deliver(lake, captured(tmp_path), settings, 2)
    rows = lake.scan("bronze.definitions").to_pylist()
    assert len(rows) == len(set(contents.instruments)) == 4


def test_option_takes_its_contract_from_the_definition_of_its_symbol(tmp_path: Path) -> None:
    """A new number for a symbol that was defined under another one."""
    from spymaster.feed.dbn_definitions import read_definitions

    options = read_definitions(es_definitions("opt"))[:2]
    old, symbol = int(options[0]["instrument_id"]), options[0]["raw_symbol"].decode()
    body = b"".join((options.tobytes(), quotes(old, 0), mapping(99, symbol), quotes(99, 10)))
    path = captured(tmp_path, body)
    contracts = inspect(path, Settings()).instruments
    by_number = {c.instrument_id: c.contract_id for c in contracts}
    assert by_number[99] == by_number[old] is not None
    (taken,) = [c for c in contracts if c.instrument_id == 99]
    assert (taken.source, taken.ts_recv) == ("mapping", OPEN + 9 * NS)


def test_number_given_to_an_option_that_nothing_defines_is_not_the_old_contract(
    tmp_path: Path,
) -> None:
    body = b"".join((mapping(7, "ESH4"), quotes(7, 0), mapping(7, "ESM4 C4800"), quotes(7, 10)))
    found = live(captured(tmp_path, body), 1000, Instruments([]))
    assert found == ["202403"] * 10 + [None] * 10
    contents = inspect(captured(tmp_path, body), Settings())
    assert any("ESM4 C4800" in reason for reason in contents.unidentified)


def test_stream_without_records_still_tells_its_instruments(tmp_path: Path) -> None:
    path = captured(tmp_path, mapping(7, "ESH4"))
    (one,) = inspect(path, Settings()).instruments
    assert (one.contract_id, one.ts_recv) == ("ES.FUT.202403", DAY)


def test_learning_in_the_middle_of_a_chunk_changes_nothing_before_it() -> None:
    def known(symbol: str, contract: str, ts: int) -> Instrument:
        more: Any = {"price_step": 1, "tick": 1, "underlier": "ES", "instrument_type": "FUT"}
        return Instrument("V", 7, ts, "mapping", None, symbol, contract_id=contract, **more)

    stage = BronzeProcessDBN("V", Instruments([known("A", "ES.FUT.A", 0)]), Settings().underlier)
    records = np.frombuffer(bytearray(quotes(7, 0, 6)), MBO_RECORD)
    done = stage.advance(records, [(2, [known("B", "ES.FUT.B", int(records["ts_recv"][1]))])])
    names = [stage.contracts[c].contract_id for c in done.events["contract"]]
    assert names == ["ES.FUT.A"] * 2 + ["ES.FUT.B"] * 4
