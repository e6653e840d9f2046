"""The certificate: a streamed session against its own record; one bit more or less turns it red."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from spymaster.bus import open_bus
from spymaster.contracts.arrow import arrow_schema
from spymaster.contracts.event import F_SNAPSHOT
from spymaster.engines.local import LocalEngine
from spymaster.engines.parity import certify
from spymaster.engines.stream.live import LiveEngine
from spymaster.errors import SessionError
from spymaster.feed.dbn_records import MBO_RECORD
from spymaster.feed.gateway import Gateway
from spymaster.feed.ingest.process import ingest
from spymaster.lake import Lake
from spymaster.lake import read as reading
from spymaster.lake.swap import swap
from spymaster.market.clock import DAY_NS
from spymaster.settings import Settings
from tests.e2e.runner import environment
from tests.e2e.scenes import SHORT, market, mbo, records, rewrite, rows, run, short
from tests.live.streamed import compare

DAYS = [date(2024, 1, 8), date(2024, 1, 9)]


def fed(settings: Settings, port: int) -> Settings:
    """The same settings with a gateway on this machine, and futures alone."""
    told = settings.model_dump(mode="json")
    told["feed"] = {
        **told["feed"],
        "gateway": "127.0.0.1",
        "port": port,
        "symbols": {"ES": {"parent": ["ES.FUT"]}},
    }
    return Settings.model_validate(told)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A root that a gateway, the official client, the ingestor, the bus and the engine filled."""
    out = tmp_path_factory.mktemp("streamed")
    files = market(out / "market", 2, 3_000, SHORT)
    with (
        pytest.MonkeyPatch.context() as patch,
        Gateway(files, at_end="close", once=True) as gateway,
    ):
        patch.setenv("DATABENTO_API_KEY", "db-0123456789abcdefghijklmnopqrs")
        settings = fed(short(out / "root"), gateway.port)
        ingest(settings, once=True)
    with open_bus(settings) as bus:
        LiveEngine(settings, bus, quiet_s=0.5).run()
    return out / "root", files


def test_certificate_in_a_process_of_its_own_is_green(
    streamed: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    root, files = streamed
    config = tmp_path / "spymaster.toml"
    config.write_text(short(root).to_toml())
    command = [sys.executable, "-m", "spymaster", "parity", "--config", str(config), "--session"]
    for day in DAYS:
        done = subprocess.run(
            [*command, str(day)], env=environment(), capture_output=True, text=True, check=False
        )
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"ES {day} against the capture: equal" in done.stdout
    told = {r["session_date"]: r for r in rows(root, "gold.parity")}
    assert [told[d]["equal"] for d in DAYS] == [True, True]
    assert all(told[d]["vectors"] > 50 and told[d]["first"] is None for d in DAYS)
    counted = json.loads(told[DAYS[0]]["rows"])
    assert all(a == b for a, b in counted.values())
    assert counted["bronze.stream / bronze.mbo"][0] > 3_000
    run(short(tmp_path / "history"), files)
    compared = compare(root, tmp_path / "history")
    assert compared["gold.setup_vectors"] == sum(told[d]["vectors"] for d in DAYS)


def copied(streamed: tuple[Path, list[Path]], tmp_path: Path) -> Path:
    shutil.copytree(streamed[0], tmp_path / "root")
    return tmp_path / "root"


def captured(root: Path, day: str) -> list[Path]:
    return sorted((root / "raw-dbn").glob(f"*/*/{day}/*capture*"))


def test_one_bit_of_one_captured_record_turns_it_red_and_is_named(
    streamed: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    root = copied(streamed, tmp_path)
    path = max(captured(root, "20240109"), key=lambda p: p.stat().st_size)
    with zstandard.open(path) as file:
        data = bytearray(file.read())
    # A live record in the session's bars: the lowest bit of its sequence.
    at = _place_of_a_record(data, 1_704_811_000 * 10**9)
    data[at + MBO_RECORD.fields["sequence"][1]] ^= 1
    path.write_bytes(zstandard.compress(bytes(data)))
    found = certify(short(root), "ES", DAYS[1])
    assert not found.equal
    first = json.loads(found.row["first"])
    assert (first["table"], first["column"]) == ("bronze.stream", "sequence")
    assert first["streamed"] ^ first["recomputed"] == 1
    assert rows(root, "gold.parity")[-1]["equal"] is False
    assert "sequence: A" in "\n".join(found.lines())
    assert certify(short(root), "ES", DAYS[0]).equal


def _place_of_a_record(data: bytearray, after: int) -> int:
    record, body = MBO_RECORD.itemsize, io.BytesIO(data)
    body.seek(4)
    at = 8 + int.from_bytes(body.read(4), "little")
    while at < len(data):
        size = data[at] * 4
        if data[at + 1] == 0xA0 and size == record:
            whole: Any = np.frombuffer(data, MBO_RECORD, 1, at)[0]
            if whole["ts_recv"] > after and not whole["flags"] & 32:
                return at
        at += size
    raise AssertionError("no such record")


def test_one_stored_vector_turns_it_red_and_is_named(
    streamed: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    root = copied(streamed, tmp_path)
    lake, name = Lake(root), "gold.setup_vectors_stream"
    opened = lake.open(name)
    kept = [r for r in lake.scan(name).to_pylist() if str(r["session_date"]) == "2024-01-09"]
    changed = kept[len(kept) // 2]
    vector = changed["feature_vector"]
    i = next(i for i, x in enumerate(vector) if x == x)
    vector[i] = np.nextafter(vector[i], np.inf)  # the last bit
    mine = [p for p in reading.files(opened)["path"].to_pylist() if "2024-01-09" in p]
    with lake.writer(name) as writer:
        writer.write(pa.Table.from_pylist(kept, arrow_schema(lake.table(name))))
    swap(lake, name, mine, writer.parts, 1)
    assert mine
    found = certify(short(root), "ES", DAYS[1])
    assert not found.equal
    first = json.loads(found.row["first"])
    assert (first["table"], first["column"]) == (name, f"feature_vector[{i}]")
    for column in ("contract_id", "vector_time", "feature_hash"):
        assert first[column] == changed[column]
    assert (first["streamed"], first["recomputed"]) == (vector[i], np.nextafter(vector[i], -np.inf))


def test_certificate_of_what_was_never_streamed_is_refused(
    streamed: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    root, _ = streamed
    with pytest.raises(SessionError, match="no stream has ended this session"):
        certify(short(root), "ES", date(2024, 1, 10))
    with pytest.raises(SessionError, match="no file of the vendor"):
        certify(short(root), "ES", DAYS[0], "vendor")


def test_vendor_file_is_compared_and_says_the_same(
    streamed: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    root = copied(streamed, tmp_path)
    LocalEngine(short(root)).land(streamed[1])
    found = certify(short(root), "ES", DAYS[1], "vendor")
    assert found.equal
    assert found.row["against"] == "vendor"
    assert found.row["vectors"] > 50


def test_day_that_begins_without_a_snapshot_gets_one_and_its_certificate_is_green(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real feed sends none at midnight: the ingestor fetches it, and nothing is lost."""
    files = market(tmp_path / "market", 2, 3_000, SHORT)
    last = mbo("mbo", files)[-1]
    whole = records(last)
    rewrite(last, last, whole[whole["flags"] & F_SNAPSHOT == 0])
    monkeypatch.setenv("DATABENTO_API_KEY", "db-0123456789abcdefghijklmnopqrs")
    with Gateway(files, at_end="close", speed=20_000.0) as gateway:
        settings = fed(short(tmp_path / "root"), gateway.port)
        (told,) = ingest(settings, once=True)
    assert told.connections == 2
    assert told.counts.gaps == 0
    with open_bus(settings) as bus:
        LiveEngine(settings, bus, quiet_s=0.5).run()
    found = certify(settings, "ES", DAYS[1])
    print("\n".join(found.lines()))
    assert found.equal
    assert found.row["vectors"] > 50
    summaries = rows(tmp_path / "root", "silver.session_summary_stream", session_date=DAYS[1])
    assert all(r["complete"] for r in summaries)
    # Every live record of the day is there, and once.
    identity = ("ts_recv", "event_index", "instrument_id", "order_id", "action", "sequence")
    topic = rows(tmp_path / "root", "bronze.stream", "is_snapshot", *identity)
    midnight = int(whole["ts_recv"][0]) // DAY_NS * DAY_NS
    told = Counter(
        (r["ts_recv"], r["instrument_id"], r["order_id"], r["action"], r["sequence"])
        for r in topic
        if not r["is_snapshot"] and r["action"] and r["ts_recv"] >= midnight
    )
    kept = whole[whole["flags"] & F_SNAPSHOT == 0]
    wanted = Counter(
        (int(r["ts_recv"]), int(r["instrument_id"]), int(r["order_id"]), chr(r["action"]),
         int(r["sequence"]))
        for r in kept
    )  # fmt: skip
    assert told == wanted
