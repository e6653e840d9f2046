"""What holds for every kind of bus, each test once, against the file and against a real broker."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from spymaster.bus import Bus, Message, open_bus
from spymaster.errors import BusError
from spymaster.settings import Settings
from tests.bus.broker import Broker
from tests.bus.children import lines, start, take


def publish(bus: Bus, topic: str, values: list[bytes], partition: int = 0) -> None:
    with bus.producer("test") as producer:
        for value in values:
            producer.publish(topic, value, partition=partition)


def numbered(count: int) -> list[bytes]:
    return [f"{n}".encode() for n in range(count)]


def test_what_was_flushed_is_read_in_order_with_key_and_headers(bus: Bus, topic: str) -> None:
    bus.create(topic, 1)
    with bus.producer("test") as producer:
        producer.publish(topic, b"a", partition=0, key="ESH4", headers={"kind": "json", "n": "1"})
        producer.publish(topic, b"", partition=0)
        producer.publish(topic, bytes(range(256)), partition=0, key="é")
        producer.flush()
        with bus.reader(topic, {0: 0}) as reader:
            found = take(reader, 3)
    assert [m.value for m in found] == [b"a", b"", bytes(range(256))]
    assert [m.key for m in found] == ["ESH4", None, "é"]
    assert [dict(m.headers) for m in found] == [{"kind": "json", "n": "1"}, {}, {}]
    assert [(m.topic, m.partition, m.offset) for m in found] == [(topic, 0, n) for n in range(3)]
    assert all(m.time > 1_700_000_000_000_000_000 for m in found)


def test_topic_made_again_with_the_same_count_stays_as_it_is(bus: Bus, topic: str) -> None:
    bus.create(topic, 3)
    publish(bus, topic, [b"kept"], partition=2)
    bus.create(topic, 3)
    assert bus.partitions(topic) == 3
    assert bus.ends(topic) == {0: 0, 1: 0, 2: 1}
    with pytest.raises(BusError, match="has 3 partitions, not 4"):
        bus.create(topic, 4)
    assert bus.partitions(topic) == 3


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "x" * 250])
def test_topic_needs_a_name_that_kafka_takes(bus: Bus, name: str) -> None:
    with pytest.raises(BusError, match="is no name"):
        bus.create(name, 1)


def test_topic_that_nobody_made_is_refused_everywhere(bus: Bus, topic: str) -> None:
    with bus.producer("test") as producer, pytest.raises(BusError, match="there is no topic"):
        producer.publish(topic, b"a", partition=0)
    for asked in (bus.partitions, bus.ends, bus.begins, bus.groups):
        with pytest.raises(BusError, match="there is no topic"):
            asked(topic)
    with pytest.raises(BusError, match="there is no topic"):
        bus.reader(topic, {0: 0})
    with pytest.raises(BusError, match="there is no topic"):
        bus.report("g", topic, {0: 0})
    with pytest.raises(BusError, match="there is no topic"):
        bus.last(topic, 0)


def test_partition_that_a_topic_lacks_is_refused(bus: Bus, topic: str) -> None:
    bus.create(topic, 2)
    refused = pytest.raises(BusError, match="no partition 2; allowed: 0 to 1")
    with bus.producer("test") as producer, refused:
        producer.publish(topic, b"a", partition=2)
    for partition in (2, -1):
        with pytest.raises(BusError, match="no partition"):
            bus.reader(topic, {partition: 0})
        with pytest.raises(BusError, match="no partition"):
            bus.report("g", topic, {partition: 0})
        with pytest.raises(BusError, match="no partition"):
            bus.last(topic, partition)


def test_each_partition_counts_its_own_offsets(bus: Bus, topic: str) -> None:
    bus.create(topic, 3)
    sent: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    draw = random.Random(7)
    with bus.producer("test") as producer:
        for n in range(200):
            partition = draw.randrange(3)
            sent[partition].append(f"{n}".encode())
            producer.publish(topic, sent[partition][-1], partition=partition)
            if n % 17 == 0:
                producer.flush()
    assert bus.ends(topic) == {p: len(v) for p, v in sent.items()}
    with bus.reader(topic, {0: 0, 1: 0, 2: 0}) as reader:
        found = take(reader, 200)
    for partition, values in sent.items():
        mine = [m for m in found if m.partition == partition]
        assert [m.value for m in mine] == values
        assert [m.offset for m in mine] == list(range(len(values)))


def test_reader_starts_where_it_is_told_and_in_these_partitions_only(bus: Bus, topic: str) -> None:
    bus.create(topic, 2)
    publish(bus, topic, numbered(10), partition=0)
    publish(bus, topic, numbered(10), partition=1)
    with bus.reader(topic, {1: 7}) as reader:
        assert [(m.partition, m.offset) for m in take(reader, 3)] == [(1, 7), (1, 8), (1, 9)]
        assert reader.poll(timeout=0.2) == []


def test_reader_at_the_end_gets_what_comes_later(bus: Bus, topic: str) -> None:
    bus.create(topic, 1)
    publish(bus, topic, numbered(3))
    with bus.reader(topic, {0: 3}) as reader:
        assert reader.poll(timeout=0.2) == []
        publish(bus, topic, [b"new"])
        assert [(m.offset, m.value) for m in take(reader, 1)] == [(3, b"new")]


def test_reader_past_the_end_is_refused(bus: Bus, topic: str) -> None:
    bus.create(topic, 1)
    publish(bus, topic, numbered(3))
    with pytest.raises(BusError, match="ends at offset 3; 4 lies past it"):
        bus.reader(topic, {0: 4})


def test_poll_keeps_to_its_bytes_but_takes_one_message_at_least(bus: Bus, topic: str) -> None:
    bus.create(topic, 1)
    publish(bus, topic, [bytes([n]) * 1000 for n in range(20)])
    with bus.reader(topic, {0: 0}) as reader:
        sizes, found = [], []
        while len(found) < 20:
            got = reader.poll(max_bytes=3000, timeout=5)
            sizes.append(len(got))
            found += got
        assert max(sizes) == 3
        assert [m.offset for m in found] == list(range(20))
    with bus.reader(topic, {0: 0}) as reader:
        assert len(reader.poll(max_bytes=1, timeout=5)) == 1


def test_producer_that_ends_badly_drops_what_it_had_not_flushed(bus: Bus, topic: str) -> None:
    bus.create(topic, 1)

    def fails() -> None:
        with bus.producer("test") as producer:
            producer.publish(topic, b"flushed", partition=0)
            producer.flush()
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fails()
    assert bus.ends(topic) == {0: 1}


def test_message_that_is_too_large_is_refused_and_the_producer_goes_on(
    bus: Bus, topic: str
) -> None:
    bus.create(topic, 1)
    with bus.producer("test") as producer:
        with pytest.raises(BusError, match=r"allowed: 1,000,000 bytes \(bus.max_message_bytes\)"):
            producer.publish(topic, bytes(1_000_000), partition=0)
        largest = random.Random(1).randbytes(1_000_000 - 64)
        producer.publish(topic, largest, partition=0)
    found = bus.last(topic, 0)
    assert found is not None
    assert found.value == largest


def test_last_is_the_newest_message_below_an_offset(bus: Bus, topic: str) -> None:
    bus.create(topic, 2)
    assert bus.last(topic, 0) is None
    publish(bus, topic, numbered(30), partition=1)
    assert bus.last(topic, 0) is None

    def value(found: Message | None) -> bytes | None:
        return None if found is None else found.value

    assert value(bus.last(topic, 1)) == b"29"
    assert value(bus.last(topic, 1, before=10)) == b"9"
    assert value(bus.last(topic, 1, before=1)) == b"0"
    assert value(bus.last(topic, 1, before=0)) is None
    assert value(bus.last(topic, 1, before=1000)) == b"29"


def test_group_reports_are_kept_per_topic_and_forgotten_on_request(bus: Bus, topic: str) -> None:
    other = f"{topic}-b"
    bus.create(topic, 2)
    bus.create(other, 1)
    publish(bus, topic, numbered(5))
    publish(bus, other, numbered(5))
    engine, board = f"engine-{topic}", f"board-{topic}"
    assert bus.groups(topic) == []
    assert bus.reported(engine, topic) == {}
    bus.report(engine, topic, {0: 3})
    bus.report(engine, topic, {1: 0})
    bus.report(engine, other, {0: 1})
    bus.report(board, topic, {0: 5})
    bus.report(board, topic, {0: 4})
    assert bus.reported(engine, topic) == {0: 3, 1: 0}
    assert bus.reported(board, topic) == {0: 4}
    assert bus.groups(topic) == sorted([engine, board])
    assert bus.groups(other) == [engine]
    bus.drop_group(engine, topic)
    assert bus.groups(topic) == [board]
    assert bus.reported(engine, topic) == {}
    assert bus.reported(engine, other) == {0: 1}
    bus.drop_group(engine, topic)


@pytest.fixture
def thinned(
    kind: str, topic: str, request: pytest.FixtureRequest, settings: Settings
) -> Iterator[tuple[Bus, str]]:
    """A topic of ten messages that keeps those from offset 6 on."""
    if kind == "embedded":
        small = {"keep_bytes": 400, "max_bytes": 2000}
        plan = {"max_message_bytes": 300, "buffer_bytes": 300, "embedded": small}
        with open_bus(Settings.model_validate({"root": settings.root, "bus": plan})) as bus:
            bus.create(topic, 1)
            publish(bus, topic, [b"%03d" % n + bytes(33) for n in range(10)])
            yield bus, topic
        return
    broker: Broker = request.getfixturevalue("broker")
    with open_bus(settings) as bus:
        bus.create(topic, 1)
        publish(bus, topic, numbered(10))
        admin = AdminClient({"bootstrap.servers": broker.plain})
        for done in admin.delete_records([TopicPartition(topic, 0, 6)]).values():
            done.result()
        yield bus, topic


def test_offset_that_is_no_longer_kept_is_an_error_with_the_oldest(
    thinned: tuple[Bus, str],
) -> None:
    bus, topic = thinned
    assert bus.begins(topic) == {0: 6}
    assert bus.ends(topic) == {0: 10}
    with pytest.raises(BusError, match="no longer keeps offset 2; the oldest is 6"):
        bus.reader(topic, {0: 2})
    with bus.reader(topic, {0: 6}) as reader:
        assert [m.offset for m in take(reader, 4)] == [6, 7, 8, 9]
    found = bus.last(topic, 0, before=7)
    assert found is not None
    assert found.offset == 6
    assert bus.last(topic, 0, before=6) is None


def test_readers_in_other_processes_see_each_message_once_in_order(
    bus: Bus, settings: Settings, topic: str
) -> None:
    bus.create(topic, 1)
    readers = [start("consume", settings, topic, 300) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == '"ready"\n'
    with bus.producer("test") as producer:
        for n in range(300):
            producer.publish(topic, n.to_bytes(8, "little") * 500, partition=0, key="k")
            if n % 7 == 0:
                producer.flush()
    for reader in readers:
        assert lines(reader) == [[0, n, "k", n] for n in range(300)]


def test_two_producing_processes_at_once_lose_and_mix_nothing(
    bus: Bus, settings: Settings, topic: str
) -> None:
    bus.create(topic, 1)
    producers = [start("publish", settings, topic, name, 400, 3000, 4) for name in ("a", "b")]
    for producer in producers:
        assert lines(producer) == [4 * (n + 1) for n in range(100)]
    with bus.reader(topic, {0: 0}) as reader:
        found = take(reader, 800)
    assert [m.offset for m in found] == list(range(800))
    for name in ("a", "b"):
        mine = [int.from_bytes(m.value[:8], "little") for m in found if m.key == name]
        assert mine == list(range(400))
