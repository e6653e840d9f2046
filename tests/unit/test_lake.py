"""The lake on a real Delta log: protocol, encodings, commits, reading, landing, lineage."""

import datetime as dt
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, QueryBuilder

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import to_arrow
from spymaster.contracts.column import Table, fact, key, session_columns, trace
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.errors import LakeError, SourceError
from spymaster.lake import Lake, delta, lineage
from spymaster.lake.landing import Delivery, land
from spymaster.lake.manifest import Manifest
from spymaster.lake.place import Place
from tests.small_disk import mounted

COLUMNS = (
    key("contract_id", "string", "contract"),
    key("ts_recv", "int64", "arrival", "ns UTC"),
    fact("mid", "float64", "mid", null=True),
    fact("price", "int64", "price", "1e-9 currency", null=True),
    fact("place", "int32", "place"),
    fact("valid", "bool", "good"),
    fact("known_on", "date", "day"),
    fact("vector", "list<float64>", "numbers"),
    fact("types", "list<string>", "names"),
    trace("batch_id", "string", "file"),
    *session_columns(),
)
PARTITION = ("session_date", "underlier", "instrument_type")
BARS = Table("silver.bars", "Bars, replaced by day.", COLUMNS, PARTITION)
RECORDS = Table("bronze.records", "Records, append-only.", COLUMNS, PARTITION, append=True)
NOTES = Table(
    "bronze.notes",
    "A small table.",
    (key("id", "int64", "number"), fact("text", "string", "words", null=True)),
    append=True,
)
OURS = {t.name: t for t in (BARS, RECORDS, NOTES)}
DAY = {"session_date": dt.date(2024, 1, 2), "underlier": "ES", "instrument_type": "FUT"}
NEXT = {**DAY, "session_date": dt.date(2024, 1, 3)}


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "root", tables=OURS)


def rows(start: int, n: int = 4, table: Table = BARS) -> pa.RecordBatch:
    records = np.zeros(n, numpy_dtype(table))
    records["ts_recv"] = start + np.arange(n)
    records["mid"] = np.where(np.arange(n) % 2, np.nan, 0.25)
    records["place"] = np.arange(n)
    constants = {
        "contract_id": "ES.FUT.202403",
        "known_on": dt.date(2024, 1, 1),
        "vector": np.arange(2.0 * n).reshape(n, 2),
        "types": [["PD_HIGH", None][:1] if i % 2 else [] for i in range(n)],
        "batch_id": None,
    }
    stored = [c.name for c in table.stored]
    return to_arrow(table, records, constants, columns=stored, dictionary=True)


def write(lake: Lake, name: str, start: int, partition=DAY, n: int = 4):
    with lake.writer(name) as writer:
        writer.write(rows(start, n, lake.table(name)), partition)
    return writer.parts


def parquet_files(lake: Lake, name: str) -> list[Path]:
    return sorted(Path(lake.uri(name)).rglob("*.parquet"))


# What a table is


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_made_from_its_contract_for_every_engine(tmp_path, name):
    table = TABLES[name]
    lake = Lake(tmp_path)
    made = lake.create(name)
    protocol = made.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert not protocol.reader_features
    assert not protocol.writer_features
    kept = {"delta.appendOnly": "true"} if table.append else {}
    if name == "bronze.stream" or name.endswith("_stream"):
        kept["delta.logRetentionDuration"] = "interval 1 days"
        kept["delta.deletedFileRetentionDuration"] = "interval 1 days"
        kept["delta.checkpointInterval"] = "100"
    assert made.metadata().configuration == kept
    assert made.metadata().description == table.meaning
    assert made.metadata().partition_columns == list(table.partition)
    assert [f.name for f in made.schema().fields] == table.names
    assert [f.nullable for f in made.schema().fields] == [c.null for c in table.columns]
    assert made.schema().fields[0].metadata["comment"].startswith(table.columns[0].meaning)
    assert lake.scan(name).num_rows == 0
    assert Lake(tmp_path).create(name).version() == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((*COLUMNS[:2], fact("mid", "int64", "mid", null=True), *COLUMNS[3:]), "mid is double"),
        ((*COLUMNS[:2], fact("mid", "float64", "mid"), *COLUMNS[3:]), "mid is double, the"),
        ((*COLUMNS, fact("late", "int64", "new")), "column late is missing"),
        (COLUMNS[:2] + COLUMNS[3:], "column mid is not in the contract"),
    ],
)
def test_a_table_of_another_contract_is_refused_by_column(lake, columns, message):
    lake.create("silver.bars")
    other = Lake(lake.root, tables={"silver.bars": Table("silver.bars", "x", columns, PARTITION)})
    with pytest.raises(LakeError, match=message):
        other.open("silver.bars")


def test_a_table_that_another_program_upgraded_is_refused(lake):
    lake.create("silver.bars").alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    with pytest.raises(LakeError, match="enableChangeDataFeed"):
        Lake(lake.root, tables=OURS).open("silver.bars")


def test_a_table_cut_otherwise_is_refused(lake):
    lake.create("silver.bars")
    other = Table("silver.bars", "x", COLUMNS, ("session_date",))
    with pytest.raises(LakeError, match="cut by"):
        Lake(lake.root, tables={"silver.bars": other}).open("silver.bars")


# Files


def test_integers_are_delta_packed_strings_are_codes_floats_are_plain(lake):
    [part] = write(lake, "silver.bars", 0, n=100)
    file = pq.ParquetFile(f"{lake.uri('silver.bars')}/{part.path}")
    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert not set(PARTITION) & set(columns)
    for name in ("ts_recv", "price", "place", "known_on"):
        assert "DELTA_BINARY_PACKED" in columns[name].encodings
        assert "PLAIN" not in columns[name].encodings
    for name in ("contract_id", "batch_id", "types.list.element"):
        assert "RLE_DICTIONARY" in columns[name].encodings
    for name in ("mid", "vector.list.element"):
        assert set(columns[name].encodings) == {"PLAIN", "RLE"}  # what Spark reads in vectors
    assert {c.compression for c in columns.values()} == {"ZSTD"}
    assert columns["ts_recv"].is_stats_set
    assert b"ARROW:schema" not in (file.metadata.metadata or {})
    stats = json.loads(part.stats)
    flat = {c for c in columns if ".list" not in c}
    assert stats["numRecords"] == 100
    assert set(stats["nullCount"]) == flat
    assert set(stats["minValues"]) == set(stats["maxValues"]) == flat - {"batch_id"}  # all null
    assert (stats["minValues"]["ts_recv"], stats["maxValues"]["ts_recv"]) == (0, 99)
    assert (stats["nullCount"]["mid"], stats["nullCount"]["batch_id"]) == (50, 100)
    assert part.size == os.path.getsize(f"{lake.uri('silver.bars')}/{part.path}")


def test_a_filter_on_any_column_finds_its_rows_with_any_reader(lake):
    """delta-rs drops the files of a column that has no statistics beside others that have."""
    lake.replace("silver.bars", DAY, write(lake, "silver.bars", 0, n=100))
    found = lake.scan("silver.bars")
    data = lake.open("silver.bars").to_pyarrow_dataset()
    for name in (n for n in found.column_names if not pa.types.is_list(found[n].type)):
        value = next((v for v in found[name].to_pylist() if v is not None), None)
        if value is not None:
            assert data.to_table(filter=pc.field(name) == value).num_rows > 0, name


def test_pieces_are_gathered_into_bounded_row_groups(lake):
    with lake.writer("silver.bars", row_group=10) as writer:
        for start in range(0, 35, 7):
            writer.write(rows(start, 7), DAY)
        writer.write(rows(0, 0), NEXT)  # no rows, no file
    [part] = writer.parts
    metadata = pq.ParquetFile(f"{lake.uri('silver.bars')}/{part.path}").metadata
    assert [metadata.row_group(i).num_rows for i in range(4)] == [10, 10, 10, 5]
    lake.append("silver.bars", writer.parts)
    assert lake.scan("silver.bars")["ts_recv"].to_pylist() == list(range(35))


def test_rows_that_carry_their_partition_are_split_by_it(lake):
    both = pa.concat_tables(
        pa.Table.from_batches([rows(s)])
        .append_column("session_date", pa.array([p["session_date"]] * 4))
        .append_column("underlier", pa.array(["ES"] * 4))
        .append_column("instrument_type", pa.array(["FUT"] * 4))
        for s, p in ((0, DAY), (10, NEXT), (20, DAY))
    )
    with lake.writer("silver.bars") as writer:
        writer.write(both)
    lake.append("silver.bars", writer.parts)
    assert [p.rows for p in writer.parts] == [8, 4]
    days = lake.partitions("silver.bars")
    assert [d["session_date"] for d in days] == ["2024-01-02", "2024-01-03"]


def test_a_writer_that_gives_up_leaves_nothing(lake):
    def work():
        with lake.writer("silver.bars", row_group=2) as writer:
            writer.write(rows(0), DAY)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        work()
    assert parquet_files(lake, "silver.bars") == []
    done = lake.writer("silver.bars")
    done.write(rows(0), DAY)
    done.close()
    assert len(parquet_files(lake, "silver.bars")) == 1
    done.abandon()
    assert parquet_files(lake, "silver.bars") == []


def test_rows_that_do_not_fit_are_refused(lake):
    writer = lake.writer("silver.bars")
    with pytest.raises(LakeError, match="the rows have no column mid"):
        writer.write(rows(0).drop_columns(["mid"]), DAY)
    nulls = pa.nulls(4, pa.int64())
    with pytest.raises(LakeError, match=r"silver\.bars\.ts_recv holds nulls"):
        writer.write(rows(0).set_column(1, "ts_recv", nulls), DAY)
    with pytest.raises(LakeError, match="cannot name a folder"):
        writer.write(rows(0), {**DAY, "underlier": "../ES"})
    with pytest.raises(LakeError, match="got a partition by"):
        writer.write(rows(0), {"session_date": "2024-01-02"})
    writer.abandon()


# Commits


def test_a_partition_is_replaced_whole_and_alone(lake):
    lake.append("silver.bars", write(lake, "silver.bars", 0) + write(lake, "silver.bars", 50, NEXT))
    commit = lake.replace("silver.bars", DAY, write(lake, "silver.bars", 100, n=2))
    assert (commit.version, commit.written) == (2, True)
    assert lake.scan("silver.bars")["ts_recv"].to_pylist() == [50, 51, 52, 53, 100, 101]


def test_a_partition_without_rows_vanishes_in_one_commit(lake):
    lake.append("silver.bars", write(lake, "silver.bars", 0) + write(lake, "silver.bars", 50, NEXT))
    before = lake.version("silver.bars")
    lake.replace("silver.bars", DAY, [])
    assert lake.version("silver.bars") == before + 1
    assert lake.scan("silver.bars", filters=DAY).num_rows == 0
    assert lake.scan("silver.bars").num_rows == 4
    assert [p["session_date"] for p in lake.partitions("silver.bars")] == ["2024-01-03"]
    lake.replace("silver.bars", DAY, [])  # nothing for nothing
    assert lake.scan("silver.bars").num_rows == 4


def test_what_is_append_only_stays(lake):
    lake.append("bronze.records", write(lake, "bronze.records", 0))
    with pytest.raises(LakeError, match="append-only"):
        lake.replace("bronze.records", DAY, [])
    with pytest.raises(LakeError, match="is not of the partition"):
        lake.replace("silver.bars", NEXT, write(lake, "silver.bars", 0))
    with pytest.raises(Exception, match="append-only"):
        lake.open("bronze.records").delete("place = 1")


def test_an_epoch_is_committed_exactly_once(lake):
    name, app = "bronze.records", "live/bronze.records"
    assert lake.append(name, write(lake, name, 0), (app, 1), {"epoch": 1, "state": "ab"}).written
    again = lake.append(name, write(lake, name, 0), (app, 1))
    assert (again.written, again.version) == (False, 1)
    assert len(parquet_files(lake, name)) == 1  # the second's file is gone
    assert lake.append(name, [], (app, 2)).written  # an epoch without rows
    assert not lake.append(name, [], (app, 2)).written
    assert lake.transaction_version(name, app) == 2
    assert lake.append(name, write(lake, name, 0), ("other", 1)).written
    with pytest.raises(LakeError, match="stands at epoch 2, and epoch 4 was offered"):
        lake.append(name, [], (app, 4))
    lake.open(name).create_checkpoint()
    fresh = Lake(lake.root, tables=OURS)
    assert fresh.transaction_version(name, app) == 2
    assert fresh.scan(name).num_rows == 8
    history = fresh.open(name).history()
    assert [(h["epoch"], h["state"]) for h in history if "epoch" in h] == [(1, "ab")]


def test_committed_files_survive_a_second_offer_of_themselves(lake):
    parts = write(lake, "bronze.records", 0)
    lake.append("bronze.records", parts, ("live", 1))
    assert not lake.append("bronze.records", parts, ("live", 1)).written
    assert lake.scan("bronze.records").num_rows == 4


def test_two_writers_of_one_epoch_leave_one(lake, monkeypatch):
    """Both ask, both see it missing; the loser's commit fails, it asks again and finds it."""
    name, app = "bronze.records", "live/bronze.records"
    other = Lake(lake.root, tables=OURS)
    lake.create(name)
    theirs, ours = write(other, name, 0), write(lake, name, 0)
    real, raced = DeltaTable.create_write_transaction, []

    def late(self, *args, **kwargs):
        if not raced:
            raced.append(other)
            assert other.append(name, theirs, (app, 1)).written
        return real(self, *args, **kwargs)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", late)
    assert not lake.append(name, ours, (app, 1)).written
    assert lake.scan(name).num_rows == 4
    raced.clear()
    theirs, ours, app = write(other, name, 10), write(lake, name, 20), "without"
    assert lake.append(name, ours, ("another", 1)).version == 3
    assert lake.scan(name)["ts_recv"].to_pylist()[4:] == [10, 11, 12, 13, 20, 21, 22, 23]


def test_a_commit_that_cannot_be_made_says_so(lake, monkeypatch):
    parts = write(lake, "bronze.records", 0)
    lake.create("bronze.records")

    def broken(*_, **__):
        raise OSError("disk gone")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", broken)
    with pytest.raises(LakeError, match="the commit failed: disk gone"):
        lake.append("bronze.records", parts)


def test_a_commit_whose_answer_was_lost_is_not_made_twice(lake, monkeypatch):
    parts = write(lake, "bronze.records", 0)
    lake.create("bronze.records")
    real = DeltaTable.create_write_transaction

    def lost(self, *args, **kwargs):
        real(self, *args, **kwargs)
        raise OSError("connection reset")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", lost)
    assert lake.append("bronze.records", parts).written
    assert lake.scan("bronze.records").num_rows == 4


def test_delta_rs_refuses_a_commit_from_an_old_version_when_told_to(lake):
    """`commit.write` relies on it: with max_commit_retries=0 from the version read, or not."""
    made = lake.create("bronze.notes")
    stale = DeltaTable(lake.uri("bronze.notes"))
    once = CommitProperties(max_commit_retries=0)
    made.create_write_transaction([], "append", made.schema(), commit_properties=once)
    with pytest.raises(Exception, match="Failed to commit"):
        stale.create_write_transaction([], "append", stale.schema(), commit_properties=once)


# Reading


def test_every_reader_sees_the_same_rows(lake):
    lake.append("silver.bars", write(lake, "silver.bars", 0) + write(lake, "silver.bars", 50, NEXT))
    opened = DeltaTable(lake.uri("silver.bars"))
    assert opened.to_pyarrow_table().num_rows == 8
    count = QueryBuilder().register("bars", opened)
    sql = "select count(*) n, sum(ts_recv) s, min(session_date) d from bars where ts_recv >= 50"
    answer = pa.table(count.execute(sql).read_all()).to_pylist()
    assert answer == [{"n": 4, "s": 206, "d": NEXT["session_date"]}]
    dataset = opened.to_pyarrow_dataset()
    only = pds.field("session_date") == pa.scalar(DAY["session_date"])
    assert len(list(dataset.get_fragments(filter=only))) == 1
    assert dataset.to_table(filter=only)["ts_recv"].to_pylist() == [0, 1, 2, 3]


def test_a_scan_opens_only_the_partitions_that_can_match(lake):
    for start, partition in ((50, NEXT), (0, DAY)):
        lake.append("silver.bars", write(lake, "silver.bars", start, partition))
    spoiled = next(p for p in parquet_files(lake, "silver.bars") if "2024-01-03" in str(p))
    spoiled.write_bytes(b"never opened")
    found = lake.scan("silver.bars", ["ts_recv", "underlier"], {"session_date": "2024-01-02"})
    assert found.to_pydict() == {"ts_recv": [0, 1, 2, 3], "underlier": ["ES"] * 4}
    assert lake.scan("silver.bars", ["mid"], {**DAY, "ts_recv": [1, 2]}).num_rows == 2
    assert lake.scan("silver.bars", ["mid"], pc.field("ts_recv") < 2).num_rows == 2
    with pytest.raises(LakeError, match="is no table"):
        lake.scan("silver.bar")
    with pytest.raises(Exception, match="has no column middle"):
        lake.scan("silver.bars", ["middle"])


def test_batches_come_in_the_order_of_time_whatever_the_order_of_commits(lake):
    for start in (200, 0, 100):
        lake.append("bronze.records", write(lake, "bronze.records", start, n=50))
    batches = list(lake.batches("bronze.records", DAY, ["ts_recv", "contract_id"], 20))
    assert max(b.num_rows for b in batches) <= 20
    times = np.concatenate([b.column("ts_recv").to_numpy() for b in batches])
    assert np.array_equal(times, np.concatenate([s + np.arange(50) for s in (0, 100, 200)]))
    coded = next(lake.batches("bronze.records", columns=["contract_id"], dictionary=True))
    assert pa.types.is_dictionary(coded.schema.field(0).type)


def test_a_table_that_is_not_there(lake):
    lake.create("bronze.notes")
    with pytest.raises(
        LakeError, match=r"no table silver\.bars.*there are: bronze\.notes\. Make it"
    ):
        lake.scan("silver.bars")
    empty = lake.scan("silver.bars", ["mid", "ts_recv"], missing_ok=True)
    assert (empty.num_rows, empty.column_names) == (0, ["mid", "ts_recv"])
    assert list(lake.batches("silver.bars", missing_ok=True)) == []
    assert lake.partitions("silver.bars") == []
    assert lake.version("silver.bars") is None


def test_a_table_made_anew_under_our_hands_is_found(lake):
    lake.append_rows("bronze.notes", [{"id": 1, "text": None}])
    shutil.rmtree(lake.uri("bronze.notes"))
    assert not lake.exists("bronze.notes")
    lake.append_rows("bronze.notes", [{"id": 1, "text": "a"}])
    shutil.rmtree(lake.uri("bronze.notes"))
    lake.append_rows("bronze.notes", [{"id": 2, "text": "b"}])
    assert lake.scan("bronze.notes").to_pylist() == [{"id": 2, "text": "b"}]


def test_small_rows_keep_the_order_of_their_commits(lake):
    for i in (5, 3, 9):
        lake.append_rows("bronze.notes", [{"id": i, "text": str(i)}, {"id": -i, "text": None}])
    assert lake.scan("bronze.notes")["id"].to_pylist() == [5, -5, 3, -3, 9, -9]
    with pytest.raises(LakeError, match=r"lacks or does not know \['text'\]"):
        lake.append_rows("bronze.notes", [{"id": 1}])
    with pytest.raises(LakeError, match="do not fit the contract"):
        lake.append_rows("bronze.notes", [{"id": "one", "text": None}])


# A root that cannot be written


def test_a_file_in_the_folders_place_is_told_before_any_work(tmp_path):
    (tmp_path / "root").write_text("not a folder")
    with pytest.raises(LakeError, match=r"root: cannot be written \(.*\)\. A root is a folder"):
        Lake(tmp_path / "root", tables=OURS).check_writable()


def test_a_read_only_mount_is_told_before_any_work(tmp_path):
    read_only = pytest.raises(LakeError, match="Read-only file system")
    with mounted(tmp_path / "mounted", "ro") as where, read_only:
        Lake(where, tables=OURS).check_writable()


def test_a_writable_root_stays_empty(lake):
    lake.check_writable()
    assert list((Path(lake.root) / "lake").iterdir()) == []


def test_an_object_store_goes_through_the_same_seam(tmp_path, monkeypatch):
    """`file://` through delta-rs' object store: the code that writes to abfss://."""
    lake = Lake(tmp_path, tables=OURS)
    monkeypatch.setattr(lake.place, "local", None)
    monkeypatch.setattr(lake.place, "root", f"file://{tmp_path}")
    lake.check_writable()
    lake.append("silver.bars", write(lake, "silver.bars", 0))
    lake.replace("silver.bars", DAY, write(lake, "silver.bars", 7, n=2))
    assert lake.scan("silver.bars")["ts_recv"].to_pylist() == [7, 8]
    landed = land(lake_with_manifest(lake), source(tmp_path), DELIVERY, now=1)
    assert (tmp_path / landed.path).read_bytes() == b"records"


# Landing

DELIVERY = Delivery("GLBX.MDP3", "mbo", "ES", "FUT", ("FUT",), "20231225", start=1, end=2)


def source(folder: Path, data: bytes = b"records", name: str = "es.mbo.dbn.zst") -> Path:
    path = folder / "vendor" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def lake_with_manifest(lake: Lake) -> Lake:
    lake.tables["bronze.manifest"] = TABLES["bronze.manifest"]
    return lake


@pytest.fixture
def landing(tmp_path):
    return Lake(tmp_path / "root")


def test_a_file_lands_byte_for_byte_and_is_noted(tmp_path, landing):
    landed = land(landing, source(tmp_path), DELIVERY, now=7)
    assert landed.path == "raw-dbn/ES/FUT/20231225/es.mbo.dbn.zst"
    assert Path(landed.uri).read_bytes() == b"records"
    assert [p.name for p in Path(landed.uri).parent.iterdir()] == ["es.mbo.dbn.zst"]
    sha256 = hashlib.sha256(b"records").hexdigest()
    assert Manifest(landing).rows() == {landed.path: landed.row}
    assert landed.row["sha256"] == sha256
    assert (landed.row["bytes"], landed.row["status"], landed.row["landed_at"]) == (7, "landed", 7)
    assert landed.row["batch_id"] == sha256[:16]


def test_the_same_bytes_land_once_whatever_their_name(tmp_path, landing):
    first = land(landing, source(tmp_path), DELIVERY, now=7)
    again = land(landing, source(tmp_path, name="copy.dbn.zst"), DELIVERY, now=8)
    assert (first.new, again.new) == (True, False)
    assert (again.path, again.row) == (first.path, first.row)
    assert len(list(Path(landing.root).rglob("*.dbn.zst"))) == 1
    assert landing.scan("bronze.manifest").num_rows == 1


@pytest.mark.parametrize("other", [b"rEcords", b"more records"])
def test_other_bytes_at_a_landed_path_are_refused(tmp_path, landing, other):
    landed = land(landing, source(tmp_path), DELIVERY, now=7)
    with pytest.raises(LakeError, match="What has landed never changes"):
        land(landing, source(tmp_path, other), DELIVERY, now=8)
    assert Path(landed.uri).read_bytes() == b"records"
    assert landing.scan("bronze.manifest").num_rows == 1
    Path(landed.uri).unlink()
    with pytest.raises(LakeError, match="What has landed never changes"):
        land(landing, source(tmp_path, other), DELIVERY, now=8)


def test_a_landing_that_was_cut_off_is_finished(tmp_path, landing):
    """The file was renamed, the row of the manifest was not written; or the file was lost."""
    target = Path(landing.root) / "raw-dbn/ES/FUT/20231225/es.mbo.dbn.zst"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"records")
    first = land(landing, source(tmp_path), DELIVERY, now=7)
    assert first.new
    assert landing.scan("bronze.manifest").num_rows == 1
    target.unlink()
    assert land(landing, source(tmp_path), DELIVERY, now=8).row == first.row
    assert target.read_bytes() == b"records"
    assert landing.scan("bronze.manifest").num_rows == 1


def test_a_file_that_is_not_there_or_has_a_wild_name_does_not_land(tmp_path, landing):
    with pytest.raises(SourceError, match="no such file"):
        land(landing, tmp_path / "nothing.dbn.zst", DELIVERY, now=7)
    with pytest.raises(LakeError, match="cannot name a folder"):
        land(landing, source(tmp_path, name="a b.dbn.zst"), DELIVERY, now=7)


def test_the_latest_status_of_a_path_wins(tmp_path, landing):
    manifest = Manifest(landing)
    path = land(landing, source(tmp_path), DELIVERY, now=7).path
    manifest.set_status(path, "ingested", now=5, records=3, last_mark=9)  # the clock stepped back
    assert manifest.set_status(path, "ingested", now=9, records=3)["landed_at"] == 8  # no change
    assert landing.scan("bronze.manifest").num_rows == 2
    row = manifest.by_sha256(hashlib.sha256(b"records").hexdigest())
    assert row is not None
    assert (row["status"], row["records"], row["last_mark"]) == ("ingested", 3, 9)
    day = dt.date(2023, 12, 25)
    assert manifest.for_days("ES", [day], schema="mbo", status="ingested") == [row]
    assert manifest.for_days("ES", ["2023-12-26"]) == manifest.for_days("TSLA", [day]) == []
    with pytest.raises(LakeError, match="never landed"):
        manifest.set_status("raw-dbn/x", "ingested", now=9)
    with pytest.raises(LakeError, match="is no status"):
        manifest.set_status(path, "done", now=9)


# Lineage


def test_a_data_version_changes_with_everything_it_stands_for():
    same = lineage.data_version(["b", "a"], "c", "code", "conf", "in")
    assert same == lineage.data_version(["a", "b"], "c", "code", "conf", "in")
    assert len(same) == 32
    others = {
        lineage.data_version(["a"], "c", "code", "conf", "in"),
        lineage.data_version(["ab"], "c", "code", "conf", "in"),
        lineage.data_version(["a", "b"], "d", "code", "conf", "in"),
        lineage.data_version(["a", "b"], "c", "code2", "conf", "in"),
        lineage.data_version(["a", "b"], "c", "code", "conf2", "in"),
        lineage.data_version(["a", "b"], "c", "code", "conf", "in2"),
    }
    assert len(others | {same}) == 7


def test_contracts_version_follows_what_a_contract_says_about_rows():
    before = lineage.contracts_version(OURS)
    assert len(before) == 32
    reworded = Table("bronze.notes", "Said otherwise.", NOTES.columns, append=True)
    assert lineage.contracts_version({**OURS, "bronze.notes": reworded}) == before
    newer = Table("bronze.notes", NOTES.meaning, NOTES.columns, append=True, version=2)
    assert lineage.contracts_version({**OURS, "bronze.notes": newer}) != before
    assert lineage.contracts_version() == lineage.contracts_version(TABLES)


def test_code_version_and_machine_say_what_ran():
    assert lineage.code_version().startswith("0.")
    facts = json.loads(lineage.machine())
    assert {"cpu", "python", "numpy", "numba", "llvmlite", "pyarrow", "deltalake"} <= set(facts)


def test_a_session_is_complete_when_its_last_row_says_so(landing):
    def note(status: str, at: int, day: str = "2024-01-02"):
        row = dict.fromkeys(TABLES["lineage"].names, "")
        row |= {"files": ["a"], "status": status, "data_version": f"v{at}", "committed_at": at}
        row |= {"session_date": dt.date.fromisoformat(day), "underlier": "ES", "epoch": None}
        landing.append_rows("lineage", [row])

    assert lineage.complete(landing) == {}
    note("complete", 1)
    note("complete", 2)
    note("complete", 3, "2024-01-03")
    note("started", 4, "2024-01-03")
    found = lineage.complete(landing, "ES")
    assert {k: row["data_version"] for k, row in found.items()} == {("2024-01-02", "ES"): "v2"}
    assert lineage.latest(landing)["2024-01-03", "ES"]["status"] == "started"
    assert lineage.complete(landing, "TSLA") == {}


def test_a_folder_url_is_a_folder(tmp_path):
    assert Place(f"file://{tmp_path}").local == tmp_path
    assert Place("abfss://c@a.dfs.core.windows.net/x/").local is None
    assert delta.folder(BARS) == "lake/silver/bars"


def test_commits_of_another_writer_while_a_table_is_read_are_no_damage(tmp_path: Path) -> None:
    import threading

    writer, reader = Lake(tmp_path, tag="w"), Lake(tmp_path, tag="r")
    row = {"venue": "V", "underlier": "ES", "from_ts": 1, "to_ts": 2, "reason": "", "batch_id": ""}
    writer.append_rows("bronze.gaps", [row])
    stop = threading.Event()

    def write() -> None:
        for n in range(40):
            writer.append_rows("bronze.gaps", [{**row, "from_ts": n}])
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    counts = []
    while not stop.is_set():
        counts.append(reader.scan("bronze.gaps").num_rows)
    thread.join()
    assert counts == sorted(counts)
    assert reader.scan("bronze.gaps").num_rows == 41
