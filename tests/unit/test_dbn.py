"""DBN files: every version, plain and zstd, whole and damaged, taken and refused."""

from __future__ import annotations

import itertools
import logging
import tempfile
import tracemalloc
from collections.abc import Callable
from datetime import date
from pathlib import Path

import databento
import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster.errors import SourceError
from spymaster.feed.dbn import MBO_RECORD, Damage, DbnReader, file_day
from spymaster.feed.dbn_check import REASONS, check
from spymaster.feed.dbn_definitions import DEFINITION, definitions, read_definitions
from spymaster.feed.dbn_write import Interval, make_metadata, write_dbn
from tests.real_data import es_definitions, es_mbo

START = 1_703_462_400_000_000_000
DAY = 86_400_000_000_000
UNDEF_PRICE = 2**63 - 1


def records(n: int, seed: int = 7) -> np.ndarray:
    """n plausible MBO records."""
    rng = np.random.default_rng(seed)
    out = np.zeros(n, MBO_RECORD)
    out["length"], out["rtype"], out["publisher_id"], out["instrument_id"] = 14, 0xA0, 1, 17077
    out["ts_recv"] = START + np.cumsum(rng.integers(0, 10**6, n))
    out["ts_event"] = out["ts_recv"] - rng.integers(10**5, 10**6, n)
    out["order_id"] = rng.integers(-(2**62), 2**62, n)
    out["price"] = (19_200 + rng.integers(-40, 40, n)) * 250_000_000
    out["size"] = rng.integers(1, 50, n)
    out["action"] = rng.choice(np.frombuffer(b"ACMTF", np.uint8), n)
    out["side"] = rng.choice(np.frombuffer(b"BA", np.uint8), n)
    out["sequence"] = np.arange(n)
    return out


def head(version: int = 3, schema: str | None = "mbo", ts_out: bool = False) -> dbn.Metadata:
    return make_metadata(
        "GLBX.MDP3",
        {"ESH4": 17077},
        START,
        START + DAY,
        schema=schema,
        version=version,
        ts_out=ts_out,
    )


def read(path: Path, size: int = 1_000_000) -> tuple[np.ndarray, Damage | None]:
    with DbnReader(path) as reader:
        parts = [chunk.records for chunk in reader.chunks(size)]
        assert reader.records >= sum(len(p) for p in parts)
        return np.concatenate([np.empty(0, MBO_RECORD), *parts]), reader.damage


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


VERSIONS = pytest.mark.parametrize("version", [1, 2, 3])
PACKED = pytest.mark.parametrize("compress", [True, False], ids=["zstd", "plain"])


# Whole files


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("day", ["20231224", "20231225"])
def test_real_day_equals_databentos_decoder_bit_for_bit(day: str, size: int) -> None:
    truth = databento.DBNStore.from_bytes(es_mbo(day).read_bytes()).to_ndarray()
    got, damage = read(es_mbo(day), size)
    assert len(got) == len(truth) == {"20231224": 8725, "20231225": 68792}[day]
    assert same(got, truth)
    assert damage is None


@VERSIONS
@PACKED
def test_written_file_is_read_back_by_us_and_by_databento(
    tmp_path: Path, version: int, compress: bool
) -> None:
    want = records(5000)
    path = write_dbn(tmp_path / "a.dbn", head(version), want, compress=compress)
    assert (path.read_bytes()[:3] == b"DBN") is not compress
    store = databento.DBNStore.from_bytes(path.read_bytes())
    assert same(store.to_ndarray(), want)
    assert store.mappings == {
        "ESH4": [
            {"start_date": date(2023, 12, 25), "end_date": date(2023, 12, 26), "symbol": "17077"}
        ]
    }
    for size in (1, 7, 1000, 10**6):
        got, damage = read(path, size)
        assert same(got, want)
        assert damage is None
    with DbnReader(path) as reader:
        assert reader.metadata.version == version
        assert (reader.metadata.start, reader.metadata.end) == (START, START + DAY)
    assert [p.name for p in tmp_path.iterdir()] == ["a.dbn"]


def test_real_day_survives_being_written_in_each_version(tmp_path: Path) -> None:
    truth, _ = read(es_mbo())
    for version in (1, 2, 3):
        path = write_dbn(tmp_path / f"v{version}.dbn.zst", head(version), np.array_split(truth, 3))
        assert same(read(path)[0], truth)


def test_real_head_is_kept_when_a_day_is_written_again(tmp_path: Path) -> None:
    with DbnReader(es_mbo()) as reader:
        path = write_dbn(tmp_path / "a.dbn", reader.metadata, (c.records for c in reader.chunks()))
        with DbnReader(path) as again:
            assert again.metadata == reader.metadata
            assert again.metadata.version == 1


def test_symbol_may_change_its_instrument_from_day_to_day(tmp_path: Path) -> None:
    days = [
        Interval(date(2023, 12, 25), date(2023, 12, 26), "17077"),
        Interval(date(2023, 12, 26), date(2023, 12, 27), "4"),
    ]
    meta = make_metadata("GLBX.MDP3", {"ESH4": days}, START, START + 2 * DAY)
    path = write_dbn(tmp_path / "a.dbn", meta, records(1))
    with DbnReader(path) as reader:
        assert [i["symbol"] for i in reader.metadata.mappings["ESH4"]] == ["17077", "4"]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "a.dbn", head(), records(3))
    old = path.read_bytes()

    def broken():  # type: ignore[no-untyped-def]
        yield records(2)
        raise OSError("disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write_dbn(path, head(), broken())
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["a.dbn"]


def test_many_frames_and_skippable_frames_are_one_file(tmp_path: Path) -> None:
    want = records(1000)
    pack = zstandard.ZstdCompressor(write_checksum=True).compress
    skippable = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"
    raw = head().encode() + want.tobytes()
    cuts = [0, 3, 100, 5000, 5001, len(raw)]
    frames = [pack(raw[a:b]) for a, b in itertools.pairwise(cuts)]
    path = tmp_path / "a.dbn.zst"
    path.write_bytes(skippable + skippable.join(frames))
    got, damage = read(path, 77)
    assert same(got, want)
    assert damage is None


@PACKED
def test_day_without_records_is_a_whole_file(tmp_path: Path, compress: bool) -> None:
    path = write_dbn(tmp_path / "a.dbn", head(), records(0), compress=compress)
    got, damage = read(path)
    assert (len(got), damage) == (0, None)


def test_chunks_own_their_memory_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    want = records(10)
    path = write_dbn(tmp_path / "a.dbn", head(), want)
    with DbnReader(path) as reader:
        one = next(reader.chunks(3))
        rest = list(reader.chunks(4))
    assert [(c.first, c.count) for c in [one, *rest]] == [(0, 3), (3, 4), (7, 3)]
    assert same(np.concatenate([one.records, *(c.records for c in rest)]), want)
    assert rest[0].numbers is None
    assert rest[0].number(2) == 5
    with pytest.raises(ValueError, match="at least 1"), DbnReader(path) as reader:
        next(reader.chunks(0))


@PACKED
def test_memory_is_bounded_by_the_chunk(tmp_path: Path, compress: bool) -> None:
    path = write_dbn(tmp_path / "a.dbn", head(), (records(10_000, s) for s in range(40)))
    with DbnReader(path) as reader:
        next(reader.chunks(5000))
        tracemalloc.start()
        for _ in reader.chunks(5000):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert reader.records == 400_000
    assert peak < 4 * 5000 * 56 + 2**20  # the file is 22 MB


# Live captures: other records between, and the gateway's send time behind each


def mixed() -> tuple[bytes, np.ndarray, list[int], list[int]]:
    """A capture's records: bytes, its MBO ones, their numbers, the others' numbers."""
    mbo = records(500)
    mapping = bytes([44, 0x16]) + bytes(range(174))
    system = bytes([80, 0x17]) + bytes(318)
    definition = bytes([130, 0x13]) + bytes(518)
    raw, numbers, others = b"", [], []
    at = 0
    for i, record in enumerate(mbo):
        for kind, every in ((mapping, 100), (definition, 130), (system, 250)):
            if i % every == 0:
                raw += kind
                others.append(at)
                at += 1
        raw += record.tobytes()
        numbers.append(at)
        at += 1
    return raw, mbo, numbers, others


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
@PACKED
def test_mixed_capture_keeps_the_order_of_all_records(
    tmp_path: Path, size: int, compress: bool
) -> None:
    raw, mbo, numbers, others = mixed()
    path = write_dbn(tmp_path / "a.dbn", head(schema=None), raw, compress=compress)
    with DbnReader(path) as reader:
        assert reader.metadata.schema is None
        chunks = list(reader.chunks(size))
        assert reader.damage is None
    assert all(c.count <= size for c in chunks)
    assert same(np.concatenate([c.records for c in chunks]), mbo)
    assert [c.number(i) for c in chunks for i in range(len(c.records))] == numbers
    assert [o.number for c in chunks for o in c.others] == others
    assert {o.rtype: len(o.raw) for c in chunks for o in c.others} == {22: 176, 23: 320, 19: 520}
    assert sum(c.count for c in chunks) == reader.records == len(numbers) + len(others)


@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize("schema", ["mbo", None])
def test_send_times_behind_each_record_are_taken_off(
    tmp_path: Path, schema: str | None, size: int
) -> None:
    want = records(100)
    want["length"] = 16
    sent = want["ts_recv"] + 5
    rows = np.concatenate(
        [want.view(np.uint8).reshape(-1, 56), sent.copy().view(np.uint8).reshape(-1, 8)], axis=1
    )
    system = bytes([82, 0x17]) + bytes(326) if schema is None else b""
    path = write_dbn(tmp_path / "a.dbn", head(schema=schema, ts_out=True), [system, rows])
    with DbnReader(path) as reader:
        chunks = list(reader.chunks(size))
        assert reader.damage is None
    got = np.concatenate([c.records for c in chunks])
    assert same(got, want)
    assert all(c.records.flags.c_contiguous for c in chunks)
    assert np.array_equal(np.concatenate([c.ts_out for c in chunks]), sent)


# Damage: all whole records before it


def expect_prefix(path: Path, want: np.ndarray, damage: Damage | None, got: np.ndarray) -> None:
    assert damage is not None
    assert damage.record == len(got)
    assert same(got, want[: len(got)])
    with DbnReader(path) as reader:
        size_of_head = len(reader.metadata.encode())
    assert damage.offset == size_of_head + 56 * len(got)


@pytest.mark.parametrize("size", [7, 1000, 10**6])
def test_zstd_cut_in_the_middle_gives_every_whole_block(tmp_path: Path, size: int) -> None:
    want = records(20_000)
    whole = write_dbn(tmp_path / "a.dbn.zst", head(), want).read_bytes()
    path = tmp_path / "cut.dbn.zst"
    path.write_bytes(whole[: len(whole) // 2])
    got, damage = read(path, size)
    expect_prefix(path, want, damage, got)
    assert len(got) * 56 // 131_072 == 3  # 1.12 MB are 9 blocks; 4 of them end before the cut
    assert f"ends at its byte {len(whole) // 2}, inside the zstd frame" in damage.reason


def test_real_day_cut_in_half_keeps_its_first_half(tmp_path: Path) -> None:
    whole = es_mbo().read_bytes()
    truth, _ = read(es_mbo())
    path = tmp_path / "cut.dbn.zst"
    path.write_bytes(whole[: len(whole) // 2])
    got, damage = read(path)
    expect_prefix(path, truth, damage, got)
    whole_blocks = sum(start <= len(whole) // 2 for start in block_starts(whole)) - 1
    assert whole_blocks == 15
    assert len(got) == 15 * 131_072 // 56 == 35_108
    for cut in range(len(whole) - 5, len(whole)):
        path.write_bytes(whole[:cut])
        got, damage = read(path)
        assert damage is not None
        assert len(got) > 66_000
        assert same(got, truth[: len(got)])


def test_zstd_without_its_checksum_gives_every_record(tmp_path: Path) -> None:
    want = records(5000)
    whole = write_dbn(tmp_path / "a.dbn.zst", head(), want).read_bytes()
    for lost in (1, 2, 3, 4):
        path = tmp_path / "cut.dbn.zst"
        path.write_bytes(whole[:-lost])
        got, damage = read(path)
        expect_prefix(path, want, damage, got)
        assert len(got) == 5000
        assert "before the checksum" in damage.reason


def test_wrong_checksum_is_told_after_every_record(tmp_path: Path) -> None:
    want = records(5000)
    whole = bytearray(write_dbn(tmp_path / "a.dbn.zst", head(), want).read_bytes())
    whole[-1] ^= 1
    path = tmp_path / "bad.dbn.zst"
    path.write_bytes(whole)
    got, damage = read(path)
    expect_prefix(path, want, damage, got)
    assert len(got) == 5000
    assert "checksum" in damage.reason


def block_starts(whole: bytes) -> list[int]:
    """Where the blocks of the data frame begin."""
    at = whole.index(bytes.fromhex("28b52ffd"), 4)
    at += zstandard.frame_header_size(whole[at : at + 18])
    starts, last = [], False
    while not last:
        starts.append(at)
        word = int.from_bytes(whole[at : at + 3], "little")
        last = bool(word & 1)
        at += 3 + (word >> 3)
    return starts


def test_flipped_block_header_keeps_all_blocks_before_it(tmp_path: Path) -> None:
    want = records(20_000)
    whole = bytearray(write_dbn(tmp_path / "a.dbn.zst", head(), want).read_bytes())
    starts = block_starts(bytes(whole))
    assert len(starts) == 9
    for k in (0, 1, 5, 8):
        bad = bytearray(whole)
        bad[starts[k]] |= 6  # the reserved block type
        path = tmp_path / "bad.dbn.zst"
        path.write_bytes(bad)
        got, damage = read(path)
        expect_prefix(path, want, damage, got)
        assert len(got) == k * 131_072 // 56
        assert f"cannot be decoded at byte {starts[k]} of the file" in damage.reason


def test_flipped_bytes_in_zstd_never_raise_and_are_always_told(tmp_path: Path) -> None:
    want = records(20_000)
    whole = write_dbn(tmp_path / "a.dbn.zst", head(), want).read_bytes()
    starts = block_starts(whole)
    rng = np.random.default_rng(3)
    kept = 0
    for at in rng.integers(starts[0], len(whole), 60):
        bad = bytearray(whole)
        bad[at] ^= 1 << int(rng.integers(8))
        path = tmp_path / "bad.dbn.zst"
        path.write_bytes(bad)
        got, damage = read(path)
        assert damage is not None
        before = sum(s <= at for s in starts) - 1
        sound = before * 131_072 // 56
        assert len(got) >= sound
        assert same(got[:sound], want[:sound])
        kept += len(got)
    assert kept > 60 * 5000


def test_garbage_after_the_last_frame_is_told(tmp_path: Path) -> None:
    want = records(100)
    path = write_dbn(tmp_path / "a.dbn.zst", head(), want)
    path.write_bytes(path.read_bytes() + b"<html>503</html>")
    got, damage = read(path)
    expect_prefix(path, want, damage, got)
    assert len(got) == 100


@PACKED
@pytest.mark.parametrize("left", [1, 2, 55])
def test_record_cut_in_half_at_the_end(tmp_path: Path, compress: bool, left: int) -> None:
    want = records(1000)
    raw = want.tobytes()[: 999 * 56 + left]
    path = write_dbn(tmp_path / "a.dbn", head(), raw, compress=compress)
    for size in (1, 7, 999, 1000, 10**6):
        got, damage = read(path, size)
        expect_prefix(path, want, damage, got)
        assert len(got) == 999
        assert f"ends inside a record: {left}" in damage.reason


@pytest.mark.parametrize("schema", ["mbo", None])
@pytest.mark.parametrize(
    ("byte", "value", "words"),
    [
        (0, 0, "length 0 x 4"),
        (0, 3, "length 3 x 4"),
        (0, 15, "length 15 x 4"),
        (1, 0xA1, "rtype 0xa1"),
        (1, 0xFF, "rtype 0xff"),
    ],
)
def test_impossible_header_ends_the_file_there(
    tmp_path: Path, schema: str | None, byte: int, value: int, words: str
) -> None:
    want = records(1000)
    raw = bytearray(want.tobytes())
    raw[600 * 56 + byte] = value
    path = write_dbn(tmp_path / "a.dbn", head(schema=schema), bytes(raw), compress=False)
    for size in (1, 7, 600, 10**6):
        got, damage = read(path, size)
        expect_prefix(path, want, damage, got)
        assert len(got) == 600
        assert words in damage.reason


def test_trade_record_in_an_mbo_file_ends_it_there(tmp_path: Path) -> None:
    raw = records(4).tobytes() + bytes([12, 0]) + bytes(46)
    path = write_dbn(tmp_path / "a.dbn", head(), raw)
    got, damage = read(path)
    assert len(got) == 4
    assert "rtype 0x00 in a file of schema mbo" in damage.reason


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cut_of_a_file_gives_the_records_before_it(data: st.DataObject) -> None:
    want = records(300)
    small = zstandard.ZstdCompressor(level=1, write_checksum=True)
    raw = head().encode()
    plain = raw + want.tobytes()
    packed = small.compress(raw) + b"".join(
        small.compress(want[i : i + 50].tobytes()) for i in range(0, 300, 50)
    )
    whole = data.draw(st.sampled_from([plain, packed]))
    shortest = len(raw) if whole is plain else len(small.compress(raw))
    cut = data.draw(st.integers(shortest, len(whole)))
    size = data.draw(st.sampled_from([1, 7, 50, 1000]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut.dbn"
        path.write_bytes(whole[:cut])
        got, damage = read(path, size)
    assert same(got, want[: len(got)])
    if whole is plain:
        assert len(got) == (cut - len(raw)) // 56
        assert (damage is None) == ((cut - len(raw)) % 56 == 0)
    elif damage is None:
        assert len(got) % 50 == 0
    if cut == len(whole):
        assert (len(got), damage) == (300, None)


# Refusals


def pack(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(raw)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "no bytes; allowed is DBN"),
    "empty zstd": (lambda: pack(b""), "zstd that holds no bytes"),
    "csv": (lambda: b"ts_recv,ts_event\n", "begins with b'ts_recv,'; allowed is DBN"),
    "zstd of csv": (lambda: pack(b"ts_recv,ts_event\n"), "zstd that holds no DBN"),
    "parquet": (lambda: b"PAR1" + bytes(100), "begins with b'PAR1"),
    "magic only": (lambda: bytes.fromhex("28b52ffd"), "no zstd frame begins at byte 0"),
    "cut zstd head": (lambda: pack(head().encode())[:30], "allowed is DBN"),
    "three bytes": (lambda: b"DBN", "metadata header is truncated, 3 of 8 or more"),
    "cut head": (lambda: head().encode()[:100], r"truncated, 100 of \d+ bytes"),
    "zstd of a cut head": (lambda: pack(head().encode()[:100]), "truncated, 100 of"),
    "huge head": (lambda: b"DBN\x03\xff\xff\xff\xff" + bytes(200), "truncated, 208 of 4294967303"),
    "corrupt head": (
        lambda: head().encode()[:24] + b"\xee\xee" + head().encode()[26:],
        "metadata header is corrupt",
    ),
    "version 9": (lambda: b"DBN\x09" + head().encode()[4:], "DBN version 9; allowed are 1, 2, 3"),
    "trades": (lambda: head(schema="trades").encode(), "schema 'trades', which no table takes"),
    "mbp-10": (
        lambda: pack(head(schema="mbp-10").encode()),
        "schema 'mbp-10', which no table takes; allowed: mbo, definition, or a live capture.*"
        "Request schema='mbo'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_a_dbn_file_that_a_table_takes_is_refused(tmp_path: Path, what: str) -> None:
    content, words = REFUSED[what]
    path = tmp_path / "x.dbn.zst"
    path.write_bytes(content())
    with pytest.raises(SourceError, match=words) as error:
        DbnReader(path)
    assert str(error.value).startswith(str(path))


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no\.dbn: cannot be opened"):
        DbnReader(tmp_path / "no.dbn")
    with pytest.raises(SourceError, match="cannot be opened"):
        DbnReader(tmp_path)


# Definitions


@pytest.mark.parametrize("kind", ["fut", "futspread", "opt"])
def test_real_definitions_are_read_as_version_3(kind: str) -> None:
    path = es_definitions(kind)
    store = databento.DBNStore.from_bytes(path.read_bytes())
    got = read_definitions(path)
    want = [bytes(r) for r in store]
    assert len(got) == len(want) > 0
    assert got.tobytes() == b"".join(want)
    old = store.to_ndarray()
    for name in ("instrument_id", "raw_symbol", "expiration", "strike_price", "ts_recv"):
        assert np.array_equal(got[name], old[name])


def test_definitions_of_a_live_capture(tmp_path: Path) -> None:
    want = read_definitions(es_definitions("futspread"))
    mbo = records(10)
    raw = [mbo[:5], want[:1], mbo[5:], want[1:]]
    path = write_dbn(tmp_path / "a.dbn.zst", head(schema=None), raw)
    with DbnReader(path) as reader:
        (chunk,) = reader.chunks()
    got = definitions(reader.metadata, chunk.others)
    assert same(got, want)
    assert same(read_definitions(path), want)
    assert [o.number for o in chunk.others] == [5, *range(11, 10 + len(want))]
    assert same(chunk.records, mbo)


def test_damaged_definitions_are_read_up_to_the_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = np.zeros(3, DEFINITION)
    rows["length"], rows["rtype"] = DEFINITION.itemsize // 4, 0x13
    rows["instrument_id"] = [1, 2, 3]
    path = write_dbn(tmp_path / "a.dbn", head(schema="definition"), rows.tobytes()[:-9])
    with caplog.at_level(logging.WARNING):
        assert list(read_definitions(path)["instrument_id"]) == [1, 2]
    assert "definitions end at record 2: the file ends inside a record" in caplog.text
    with DbnReader(path) as reader:
        assert len(read_definitions(reader)) == 2
        assert reader.damage.record == 2


# Days


def test_day_is_the_start_of_the_metadata_else_the_date_in_the_name() -> None:
    assert file_day(head(), "x.dbn") == date(2023, 12, 25)
    live = make_metadata("GLBX.MDP3", {}, 0, schema=None)
    assert file_day(live, "a/glbx-mdp3-20240229.mbo.dbn.zst") == date(2024, 2, 29)
    for name in ("live.dbn", "20231340.dbn", "120240229.dbn"):
        with pytest.raises(SourceError, match="no start and the file's name has no date"):
            file_day(live, name)


def test_real_files_belong_to_their_days() -> None:
    for day in (date(2023, 12, 24), date(2023, 12, 25)):
        with DbnReader(es_mbo(day)) as reader:
            assert file_day(reader.metadata, "x") == day


# Records that decode but cannot be true


def test_real_records_are_all_good() -> None:
    got, _ = read(es_mbo())
    assert len(got) == 68_792
    assert not check(got).any()


BROKEN = {
    "action": ({"action": ord("Z")}, 1),
    "no action": ({"action": 0}, 1),
    "side": ({"side": ord("S")}, 2),
    "ts_recv 0": ({"ts_recv": 0}, 3),
    "ts_recv undefined": ({"ts_recv": -1}, 3),
    "ts_event undefined": ({"ts_event": -1}, 3),
    "ts_event largest": ({"ts_event": 2**63 - 1}, 3),
    "size undefined": ({"action": ord("C"), "size": 2**32 - 1}, 4),
    "add without side": ({"side": ord("N")}, 5),
    "modify without side": ({"action": ord("M"), "side": ord("N")}, 5),
    "add without price": ({"price": UNDEF_PRICE}, 6),
    "modify without price": ({"action": ord("M"), "price": UNDEF_PRICE}, 6),
    "empty add": ({"size": 0}, 7),
    "trade without price": ({"action": ord("T"), "price": UNDEF_PRICE}, 8),
    "empty trade": ({"action": ord("T"), "size": 0}, 9),
}
GOOD = {
    "add": {},
    "trade without aggressor": {"action": ord("T"), "side": ord("N")},
    "clear": {"action": ord("R"), "side": ord("N"), "price": UNDEF_PRICE, "size": 0},
    "none": {"action": ord("N"), "side": ord("N"), "price": UNDEF_PRICE, "size": 0},
    "cancel": {"action": ord("C"), "size": 0},
    "fill": {"action": ord("F"), "side": ord("N")},
    "modify to 0": {"action": ord("M"), "size": 0},
    "negative price": {"price": -250_000_000},
}


def add(**fields: int) -> np.ndarray:
    one = records(1)
    for name, value in {"action": ord("A"), "side": ord("B"), "size": 5, **fields}.items():
        one[name] = value
    return one


@pytest.mark.parametrize("what", BROKEN)
def test_record_that_breaks_the_contract_is_told(what: str) -> None:
    fields, code = BROKEN[what]
    both = np.concatenate([add(), add(**fields), add()])
    assert list(check(both)) == [0, code, 0]
    assert REASONS[code]


@pytest.mark.parametrize("what", GOOD)
def test_record_that_the_contract_allows_is_good(what: str) -> None:
    assert list(check(add(**GOOD[what]))) == [0]


def test_every_reason_has_its_case() -> None:
    assert {code for _, code in BROKEN.values()} == set(range(1, len(REASONS)))
