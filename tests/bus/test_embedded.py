"""The embedded bus's own: kills, retention, a full bus, a full disk, a damaged or locked file."""

from __future__ import annotations

import logging
import random
import re
import sqlite3
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from spymaster.bus import Bus, open_bus
from spymaster.bus.embedded import FILE
from spymaster.errors import BusError, ContractError
from spymaster.settings import Settings
from tests.bus.children import lines, start, take, value
from tests.small_disk import disk, remount

__all__ = ["disk"]

HOUR = 3_600_000_000_000
DAY_ONE = 1_700_000_000_000_000_000


def plan(root: Path, **bus: Any) -> Settings:
    return Settings.model_validate({"root": str(root), "bus": {"wait_s": 20.0, **bus}})


def small(root: Path, keep: int, most: int, wait_s: float = 20.0, hours: float = 24.0) -> Settings:
    sizes = {"keep_bytes": keep, "max_bytes": most, "keep_hours": hours}
    return plan(root, wait_s=wait_s, max_message_bytes=2000, buffer_bytes=2000, embedded=sizes)


def publish(bus: Bus, topic: str, numbers: range, size: int, partition: int = 0) -> None:
    with bus.producer("test") as producer:
        for n in numbers:
            producer.publish(topic, value(n, size), partition=partition)


def files(root: Path) -> int:
    return sum(f.stat().st_size for f in (root / "bus").iterdir())


def test_kill_at_any_time_loses_nothing_that_was_flushed_and_leaves_no_half(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    settings, every, size = plan(tmp_path), 5, 40_000
    begun = 0
    with open_bus(settings) as bus:
        bus.create("t", 1)
        for _ in range(8):
            child = start("publish", settings, "t", "child", 100_000, size, every)
            assert child.stdout is not None
            flushed = 0
            for _ in range(draw.randrange(1, 80)):
                flushed = int(child.stdout.readline())
            child.kill()
            flushed = max([flushed, *(int(n) for n in re.findall(r"\d+\n", child.stdout.read()))])
            child.wait()
            child.stdout.close()
            end = bus.ends("t")[0]
            assert end - begun >= flushed > 0
            assert (end - begun) % every == 0
            with bus.reader("t", {0: begun}) as reader:
                found = take(reader, end - begun)
            assert [m.offset for m in found] == list(range(begun, end))
            assert all(m.value == value(n, size) for n, m in enumerate(found))
            begun = end
    assert begun > 40


def test_three_producing_processes_in_turn_and_a_reader_of_all_partitions(tmp_path: Path) -> None:
    settings = plan(tmp_path)
    with open_bus(settings) as bus:
        bus.create("t", 1)
        reader = start("consume", settings, "t", 900)
        assert reader.stdout is not None
        assert reader.stdout.readline() == '"ready"\n'
        producers = [start("publish", settings, "t", n, 300, 100_000, 1) for n in "abc"]
        for producer in producers:
            assert lines(producer) == list(range(1, 301))
        found = lines(reader)
    assert [offset for _, offset, _, _ in found] == list(range(900))
    for name in "abc":
        assert [n for _, _, key, n in found if key == name] == list(range(300))


def test_nothing_goes_before_every_group_is_past_it(tmp_path: Path) -> None:
    with open_bus(small(tmp_path, keep=5_000, most=100_000)) as bus:
        bus.create("t", 1)
        bus.report("slow", "t", {0: 10})
        bus.report("fast", "t", {0: 50})
        publish(bus, "t", range(50), 1000)
        assert bus.begins("t") == {0: 10}
        bus.report("slow", "t", {0: 30})
        publish(bus, "t", range(50, 51), 1000)
        assert bus.begins("t") == {0: 30}
        bus.drop_group("slow", "t")
        publish(bus, "t", range(51, 52), 1000)
        # 1072 bytes each with what it costs: four of them and the one that comes.
        assert bus.begins("t") == {0: 48}
        bus.report("fast", "t", {0: 52})
        assert bus.ends("t") == {0: 52}


def test_what_is_old_goes_although_there_is_room_and_the_newest_stays(tmp_path: Path) -> None:
    time = DAY_ONE
    with open_bus(small(tmp_path, 50_000, 100_000, hours=2.0), now=lambda: time) as bus:
        bus.create("t", 2)
        publish(bus, "t", range(5), 1000, partition=0)
        publish(bus, "t", range(5), 1000, partition=1)
        time += HOUR
        publish(bus, "t", range(5, 8), 1000, partition=1)
        assert bus.begins("t") == {0: 0, 1: 0}
        time += HOUR + 1
        publish(bus, "t", range(8, 9), 1000, partition=1)
        assert bus.begins("t") == {0: 4, 1: 5}
        assert bus.ends("t") == {0: 5, 1: 9}
        newest = bus.last("t", 0)
        assert newest is not None
        assert newest.value == value(4, 1000)


def test_reader_that_retention_overtakes_is_told_the_oldest_offset(tmp_path: Path) -> None:
    with open_bus(small(tmp_path, keep=5_000, most=100_000)) as bus:
        bus.create("t", 1)
        publish(bus, "t", range(3), 1000)
        with bus.reader("t", {0: 0}) as reader:
            assert len(reader.poll(max_bytes=1)) == 1
            publish(bus, "t", range(3, 40), 1000)
            oldest = bus.begins("t")[0]
            assert oldest > 1
            with pytest.raises(BusError, match=f"keeps offset 1; the oldest is {oldest}"):
                reader.poll()


def test_file_stays_flat_while_messages_come_and_go(tmp_path: Path) -> None:
    settings = plan(tmp_path, embedded={"keep_bytes": 20_000_000, "max_bytes": 60_000_000})
    sizes = []
    with open_bus(settings) as bus, bus.producer("test") as producer:
        bus.create("t", 1)
        with bus.reader("t", {0: 0}) as reader:
            for n in range(1200):
                producer.publish("t", value(n % 7, 250_000), partition=0)
                if n % 4 == 3:
                    producer.flush()
                    bus.report("g", "t", {0: n})
                    take(reader, 4)
                if n % 100 == 99:
                    sizes.append(files(tmp_path))
    assert sum(sizes) > 0
    print("MB of files, by 25 MB published:", [s // 1_000_000 for s in sizes])
    assert max(sizes[4:]) <= 1.2 * max(sizes[2:4])
    assert max(sizes) < 110_000_000


def test_file_is_given_back_piece_by_piece_after_a_backlog(tmp_path: Path) -> None:
    settings = plan(tmp_path, embedded={"keep_bytes": 10_000_000, "max_bytes": 400_000_000})
    with open_bus(settings) as bus, bus.producer("test") as producer:
        bus.create("t", 1)
        bus.report("g", "t", {0: 0})
        for n in range(1000):
            producer.publish("t", value(n % 7, 250_000), partition=0)
        producer.flush()
        high = files(tmp_path)
        assert high > 250_000_000
        bus.report("g", "t", bus.ends("t"))
        for _ in range(200):
            producer.publish("t", b"x", partition=0)
            producer.flush()
        assert bus.begins("t")[0] > 950
    assert files(tmp_path) < high // 2


def test_full_topic_makes_its_producer_wait_until_the_group_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spymaster.bus")
    with open_bus(small(tmp_path, keep=10_000, most=50_000)) as bus:
        bus.create("t", 1)
        bus.report("engine", "t", {0: 0})
        done: list[int] = []

        def write() -> None:
            publish(bus, "t", range(200), 1000)
            done.append(1)

        thread = Thread(target=write)
        thread.start()
        with bus.reader("t", {0: 0}) as reader:
            found = take(reader, 40)
            while not caplog.records:
                found += reader.poll(timeout=0.05)
            held = bus.ends("t")[0]
            assert 40 <= held < 50
            assert done == []
            while len(found) < 200:
                bus.report("engine", "t", {0: len(found)})
                found += reader.poll(timeout=0.05)
        thread.join()
    assert [m.value for m in found] == [value(n, 1000) for n in range(200)]
    said = caplog.records[0].getMessage()
    assert re.search(
        r"topic t is full: [\d,]+ of 50,000 bytes; group engine holds it, at offset 0 of \d+ in "
        r"partition 0, \d+ messages behind\. Producer test waits", said
    )  # fmt: skip
    assert any("goes on" in r.getMessage() for r in caplog.records)


def test_topic_that_stays_full_is_an_error_in_the_end_and_loses_nothing(tmp_path: Path) -> None:
    with open_bus(small(tmp_path, keep=10_000, most=20_000, wait_s=0.2)) as bus:
        bus.create("t", 1)
        bus.create("other", 1)
        bus.report("engine", "t", {0: 0})
        producer = bus.producer("feed")

        def fill() -> None:
            for n in range(100):
                producer.publish("t", value(n, 1000), partition=0)
                producer.flush()

        with pytest.raises(BusError, match=r"t is full.*engine.*feed waited 0.2 s.*drop it"):
            fill()
        end = bus.ends("t")[0]
        assert 10 < end < 20
        # Another topic has its own limit: who reads `t` can still publish what comes of it.
        publish(bus, "other", range(3), 1000)
        bus.drop_group("engine", "t")
        producer.flush()
        producer.close()
        newest = bus.last("t", 0)
        assert newest is not None
        assert (newest.offset, newest.value) == (end, value(end, 1000))


def test_limits_that_cannot_hold_together_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[bus.embedded]\nmax_bytes = 1000")
    with pytest.raises(ContractError, match="keep_bytes 4000000000 is above embedded"):
        Settings.load(file)


def test_one_process_that_holds_the_file_is_waited_for_and_then_told(tmp_path: Path) -> None:
    settings = plan(tmp_path, wait_s=0.2)
    with open_bus(settings) as bus, bus.producer("test") as producer:
        bus.create("t", 1)
        producer.publish("t", b"a", partition=0)
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusError, match="is locked by another process"):
            producer.flush()
        with bus.reader("t", {0: 0}) as reader:
            assert reader.poll(timeout=0) == []
        other.execute("COMMIT")
        other.close()
        producer.flush()
        assert bus.ends("t") == {0: 1}


def test_processes_that_come_at_once_make_one_file(tmp_path: Path) -> None:
    settings = plan(tmp_path)
    children = [start("hold", settings, "t") for _ in range(3)]
    with open_bus(settings) as bus:
        bus.create("t", 2)
        assert bus.partitions("t") == 2
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == '"ready"\n'
        child.kill()
        child.communicate()


@pytest.mark.parametrize("where", ["head", "all"])
def test_damaged_file_says_so_and_what_to_do(tmp_path: Path, where: str) -> None:
    settings = plan(tmp_path)
    with open_bus(settings) as bus:
        bus.create("t", 1)
        publish(bus, "t", range(200), 20_000)
    path = tmp_path / FILE
    whole = path.read_bytes()
    head = 100 if where == "all" else 0
    path.write_bytes(whole[:head] + random.Random(3).randbytes(len(whole) - head))

    def use() -> None:
        with open_bus(settings) as bus, bus.reader("t", {0: 0}) as reader:
            take(reader, 200)

    with pytest.raises(BusError, match=r"is damaged.*move its folder away"):
        use()


def test_flipped_page_is_found_while_reading(tmp_path: Path) -> None:
    settings = plan(tmp_path)
    with open_bus(settings) as bus:
        bus.create("t", 1)
        publish(bus, "t", range(300), 200)
    path = tmp_path / FILE
    with sqlite3.connect(path) as db:
        root, page = db.execute(
            "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'message'"
        ).fetchone()
    db.close()
    with open(path, "r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\xff" * 64)
    refused = pytest.raises(BusError, match="is damaged")
    with open_bus(settings) as bus, bus.reader("t", {0: 0}) as reader, refused:
        take(reader, 300)


def test_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    open_bus(plan(tmp_path)).close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(BusError, match="is a bus of version 9; allowed: 1"):
        open_bus(plan(tmp_path))


def test_root_that_is_no_folder_of_this_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="needs a folder on this machine"):
        open_bus(Settings.model_validate({"root": "abfss://lake@account.dfs.core.windows.net"}))
    (tmp_path / "file").write_text("")
    with pytest.raises(BusError, match="cannot be written"):
        open_bus(plan(tmp_path / "file"))


def test_full_disk_is_told_and_the_same_producer_goes_on_when_there_is_room(disk: Path) -> None:
    remount(disk, "size=4m")
    with open_bus(plan(disk / "root")) as bus, bus.producer("test") as producer:
        bus.create("t", 1)
        sent = 0

        def fill() -> None:
            nonlocal sent
            for _ in range(100):
                producer.publish("t", value(sent, 100_000), partition=0)
                sent += 1
                producer.flush()

        with pytest.raises(BusError, match="no space left"):
            fill()
        assert 5 < sent < 45
        assert bus.ends("t") == {0: sent - 1}
        with pytest.raises(BusError, match="no space left"):
            producer.flush()
        remount(disk, "size=64m")
        producer.flush()
        fill()
        assert bus.ends("t") == {0: sent}
        with bus.reader("t", {0: 0}) as reader:
            found = take(reader, sent)
    assert [m.value for m in found] == [value(n, 100_000) for n in range(sent)]


def test_disk_that_is_read_only_is_told(disk: Path) -> None:
    with open_bus(plan(disk / "root")) as bus:
        bus.create("t", 1)
        publish(bus, "t", range(3), 1000)
    remount(disk, "ro")
    with pytest.raises(BusError, match=r"cannot be (written|opened)"):
        open_bus(plan(disk / "root"))
    remount(disk, "rw")
    with open_bus(plan(disk / "root")) as bus:
        assert bus.ends("t") == {0: 3}


def test_no_room_for_the_file_itself_is_told(disk: Path) -> None:
    remount(disk, "size=16k")
    with pytest.raises(BusError, match=r"no space left|cannot be (written|opened)|disk failed"):
        open_bus(plan(disk / "root"))
    remount(disk, "size=4m")
    with open_bus(plan(disk / "root")) as bus:
        bus.create("t", 1)
        assert bus.ends("t") == {0: 0}
