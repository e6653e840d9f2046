"""What is Kafka's own: log-in, restarts, limits of brokers, messages of other producers."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Thread

import pytest
from confluent_kafka import Producer as KafkaClient
from confluent_kafka.admin import AdminClient, NewTopic

from spymaster.bus import open_bus, partition_of
from spymaster.errors import BusError
from spymaster.settings import Settings
from tests.bus.broker import CONNECTION, VARIABLE, Broker, free_ports
from tests.bus.children import take
from tests.bus.cloud import identity, identity_variables


def changed(settings: Settings, **kafka: object) -> Settings:
    told = settings.model_dump()
    told["bus"]["kafka"].update(kafka)
    return Settings.model_validate(told)


def test_managed_identity_reads_and_writes_with_its_token(
    broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with identity() as who:
        for name, value in identity_variables(who).items():
            monkeypatch.setenv(name, value)
        with open_bus(broker.settings("entra")) as bus:
            bus.create(topic, 1)
            with bus.producer("test") as producer:
                producer.publish(topic, b"hello", partition=0)
            with bus.reader(topic, {0: 0}) as reader:
                assert [m.value for m in take(reader, 1)] == [b"hello"]
            assert bus.ends(topic) == {0: 1}
        assert set(who.asked) == {"https://127.0.0.1"}


def test_identity_without_a_token_is_told(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{free_ports(1)[0]}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "proof")
    with pytest.raises(BusError, match="no client can be made") as caught:
        open_bus(broker.settings("entra", wait_s=5.0))
    assert "bus.kafka.auth" in str(caught.value)


def test_wrong_connection_string_is_refused_and_shown_nowhere(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(VARIABLE, CONNECTION[:-4] + "AAAA")
    with pytest.raises(BusError, match="no broker answers") as caught:
        open_bus(broker.settings(wait_s=3.0))
    assert 'Look at bus.kafka.auth = "connection_string"' in str(caught.value)
    assert "AAAA" not in str(caught.value) + repr(caught.value.__cause__) + caplog.text


def test_no_object_of_the_bus_shows_the_connection_string(
    broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = broker.settings()
    with open_bus(settings) as bus:
        bus.create(topic, 1)
        with bus.producer("test") as producer, bus.reader(topic, {0: 0}) as reader:
            shown = [bus, producer, reader, *vars(bus).values(), *vars(producer).values()]
            text = " ".join(map(repr, shown)) + settings.model_dump_json() + caplog.text
    assert "SharedAccessKey=" not in text


def test_certificate_that_nobody_vouches_for_is_refused(broker: Broker) -> None:
    with pytest.raises(BusError, match="no broker answers") as caught:
        open_bus(changed(broker.settings(wait_s=3.0), ca=""))
    assert "bus.kafka.ca" in str(caught.value)


def test_broker_without_log_in_serves_on_one_machine(broker: Broker, topic: str) -> None:
    with open_bus(broker.settings("none")) as bus:
        bus.create(topic, 1)
        with bus.producer("test") as producer:
            producer.publish(topic, b"a", partition=0)
        assert bus.ends(topic) == {0: 1}


def test_no_broker_there_is_one_clear_error() -> None:
    plan = {"kind": "kafka", "wait_s": 1.0, "kafka": {"servers": f"127.0.0.1:{free_ports(1)[0]}"}}
    with pytest.raises(BusError, match=r"no broker answers .*\. Look whether bus.kafka.servers"):
        open_bus(Settings.model_validate({"bus": plan}))


def test_topic_is_only_checked_where_making_is_not_ours(broker: Broker, topic: str) -> None:
    with open_bus(changed(broker.settings(), create_topics=False)) as bus:
        with pytest.raises(BusError, match="Make the event hub beforehand, with 2 partitions"):
            bus.create(topic, 2)
        with open_bus(broker.settings()) as other:
            other.create(topic, 2)
        bus.create(topic, 2)
        with pytest.raises(BusError, match="has 2 partitions, not 1"):
            bus.create(topic, 1)


def test_keys_go_where_kafkas_own_partitioner_puts_them(broker: Broker, topic: str) -> None:
    keys = [f"{root}{n}" for root in ("ES", "TSLA", "é", "") for n in range(50)]
    with open_bus(broker.settings()) as bus:
        bus.create(topic, 7)
        client = KafkaClient({"bootstrap.servers": broker.plain, "partitioner": "murmur2"})
        for key in keys:
            client.produce(topic, b"", key)
        assert client.flush(30) == 0
        with bus.reader(topic, dict.fromkeys(range(7), 0)) as reader:
            found = {m.key: m.partition for m in take(reader, len(keys))}
    assert found == {key: partition_of(key, 7) for key in keys}
    assert set(found.values()) == set(range(7))


def test_compressed_messages_come_out_as_they_went_in(broker: Broker, topic: str) -> None:
    with open_bus(changed(broker.settings(), compression="gzip")) as bus:
        bus.create(topic, 1)
        with bus.producer("test") as producer:
            producer.publish(topic, b"a" * 900_000, partition=0)
        found = bus.last(topic, 0)
    assert found is not None
    assert found.value == b"a" * 900_000
    stored = sum(f.stat().st_size for f in (broker.folder / "data" / f"{topic}-0").glob("*.log"))
    assert 0 < stored < 90_000


def test_message_that_the_broker_finds_too_large_ends_the_producer(
    broker: Broker, topic: str
) -> None:
    admin = AdminClient({"bootstrap.servers": broker.plain})
    small = NewTopic(topic, 1, 1, config={"max.message.bytes": "10000"})
    admin.create_topics([small])[topic].result()
    with open_bus(broker.settings()) as bus:
        producer = bus.producer("test")
        producer.publish(topic, b"x", partition=0)
        producer.flush()
        producer.publish(topic, bytes(50_000), partition=0)
        with pytest.raises(BusError, match=r"Lower bus\.max_message_bytes"):
            producer.flush()
        with pytest.raises(BusError, match="publishes no more"):
            producer.publish(topic, b"y", partition=0)
        producer.close()
        assert bus.ends(topic) == {0: 1}


def test_message_of_a_foreign_producer_is_taken_as_it_is(broker: Broker, topic: str) -> None:
    with open_bus(broker.settings()) as bus:
        bus.create(topic, 1)
        client = KafkaClient({"bootstrap.servers": broker.plain})
        client.produce(topic, None, b"\xff", 0, headers=[("h", b"\xfe"), ("n", None)])
        assert client.flush(30) == 0
        found = bus.last(topic, 0)
    assert found is not None
    assert (found.value, found.key, dict(found.headers)) == (b"", "\\xff", {"h": "\\xfe", "n": ""})


def test_broker_killed_in_mid_publish_loses_doubles_and_reorders_nothing(
    broker: Broker, topic: str
) -> None:
    count, size = 3000, 20_000
    with open_bus(broker.settings(wait_s=90.0, buffer_bytes=2_000_000)) as bus:
        bus.create(topic, 1)
        published = 0

        def publish() -> None:
            nonlocal published
            with bus.producer("test") as producer:
                for n in range(count):
                    producer.publish(topic, n.to_bytes(8, "little") + bytes(size), partition=0)
                    published = n + 1

        with bus.reader(topic, {0: 0}) as reader:
            thread = Thread(target=publish)
            thread.start()
            found = take(reader, 200)
            broker.kill()
            broken_at = published
            broker.start()
            found += take(reader, count - len(found), seconds=90)
            thread.join()
        assert bus.ends(topic) == {0: count}
    print(f"killed after {broken_at} of {count} were published")
    assert broken_at < count
    assert [m.offset for m in found] == list(range(count))
    assert [int.from_bytes(m.value[:8], "little") for m in found] == list(range(count))


def test_producer_waits_while_its_broker_is_away_and_gives_up_in_the_end(
    broker: Broker, topic: str
) -> None:
    with open_bus(broker.settings(wait_s=2.0, buffer_bytes=1_000_000)) as bus:
        bus.create(topic, 1)
        producer = bus.producer("test")
        producer.publish(topic, b"kept", partition=0)
        producer.flush()
        broker.kill()
        taken = 0

        def publish() -> None:
            nonlocal taken
            for _ in range(1000):
                producer.publish(topic, bytes(100_000), partition=0)
                taken += 1

        with pytest.raises(BusError, match=r"could not deliver within 2 s.*Look whether"):
            publish()
        assert 5 <= taken <= 12
        producer.close()
        broker.start()
    with open_bus(broker.settings()) as bus:
        found = bus.last(topic, 0)
        assert found is not None
        assert found.value == b"kept"


def test_kafka_without_its_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "spymaster.bus.kafka")
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(BusError, match=r"pip install 'spymaster\[live\]'"):
        open_bus(Settings.model_validate({"root": str(tmp_path), "bus": {"kind": "kafka"}}))
