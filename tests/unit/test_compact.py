"""Small tables of many files become one file: same rows, same order, same properties."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spymaster.contracts import TABLES
from spymaster.lake import Lake, lineage, read
from spymaster.lake.compact import compact
from spymaster.lake.manifest import Manifest


def note(lake: Lake, status: str, at: int) -> None:
    row = dict.fromkeys(TABLES["lineage"].names, "")
    row |= {"files": ["a"], "status": status, "committed_at": at, "epoch": None}
    row |= {"session_date": dt.date(2024, 1, 2), "underlier": "ES"}
    lake.append_rows("lineage", [row])


def file(lake: Lake, name: str, status: str, at: int) -> None:
    row = dict.fromkeys(TABLES["bronze.manifest"].names, "x")
    row |= {"path": f"raw-dbn/ES/FUT/20240102/{name}", "status": status, "landed_at": at}
    row |= dict.fromkeys(("bytes", "start", "end", "last_mark", "records"), 1)
    lake.append_rows("bronze.manifest", [{**row, "instrument_types": ["FUT"]}])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Rows of one path and session, all with the same time: only their order tells the last."""
    lake = Lake(tmp_path)
    for i in range(7):
        note(lake, "started" if i % 2 else "complete", 5)
        file(lake, "a", "landed" if i % 2 else "ingested", 5)
    return lake


def test_many_files_become_one_and_the_last_row_stays_the_last(lake: Lake) -> None:
    before = {n: lake.scan(n).to_pylist() for n in ("lineage", "bronze.manifest")}
    old = Lake(lake.root).snapshot("lineage")
    assert compact(lake, now=9_000_000, many=6) == ["bronze.manifest", "lineage"]
    fresh = Lake(lake.root)
    for name, rows in before.items():
        opened = fresh.open(name)
        (path,) = read.files(opened)["path"].to_pylist()
        assert fresh.scan(name).to_pylist() == rows
        protocol = opened.protocol()
        assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
        assert opened.metadata().configuration == {"delta.appendOnly": "true"}
        pq.read_table(Path(fresh.uri(name)) / path, page_checksum_verification=True)
        assert opened.history(1)[0]["operation"] == "OPTIMIZE"
    assert lineage.latest(fresh)["2024-01-02", "ES"]["status"] == "complete"
    assert Manifest(fresh).rows()["raw-dbn/ES/FUT/20240102/a"]["status"] == "ingested"
    # A reader of the version before still finds its files.
    assert old.to_pyarrow_table().num_rows == 7
    # What comes after sorts behind.
    note(lake, "started", 5)
    assert lineage.latest(Lake(lake.root))["2024-01-02", "ES"]["status"] == "started"


def test_few_files_are_left_alone_and_partitions_always(lake: Lake) -> None:
    versions = {n: lake.version(n) for n in lake.existing()}
    assert compact(lake, now=1, many=7) == []
    assert {n: lake.version(n) for n in lake.existing()} == versions


def test_damaged_file_stops_no_run(lake: Lake) -> None:
    name = sorted(read.files(lake.open("lineage"))["path"].to_pylist())[0]
    (Path(lake.uri("lineage")) / name).write_bytes(b"rubbish")
    before = lake.version("lineage")
    assert compact(lake, now=1, many=6) == ["bronze.manifest"]
    assert lake.version("lineage") == before


def test_application_ids_survive(lake: Lake) -> None:
    lake.append("lineage", [], ("file/1", 1))
    compact(lake, now=1, many=6)
    assert Lake(lake.root).transaction_version("lineage", "file/1") == 1
