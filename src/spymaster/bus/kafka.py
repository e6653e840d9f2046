"""The bus on Kafka brokers, or Azure Event Hubs, which speaks Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import RLock
from types import TracebackType
from typing import Any, Self

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from spymaster.bus import checks
from spymaster.bus.interface import Message
from spymaster.bus.kafka_errors import Heard, passes, told
from spymaster.bus.kafka_producer import KafkaProducer
from spymaster.bus.kafka_reader import KafkaReader, message
from spymaster.bus.kafka_security import Security
from spymaster.errors import BusError
from spymaster.settings import BusSettings

_log = logging.getLogger(__name__)

#: Consumers need a group's name even where they are in none.
_NO_GROUP = "spymaster-none"


class KafkaBus:
    """Topics on brokers. Raises BusError when no broker answers within `wait_s` seconds."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings, self._kafka = settings, settings.kafka
        self._security = Security(settings.kafka)
        self._lock = RLock()
        self._last: Consumer | None = None
        self._heard = Heard()
        self._counts: dict[str, int] = {}
        try:
            # With an Entra identity this waits for the first token.
            self._admin = AdminClient(self._config(self._heard))
        except KafkaException as e:
            raise told("no client can be made", self._kafka, e.args[0]) from e
        self._topics()

    def create(self, topic: str, partitions: int) -> None:
        checks.named(topic)
        if partitions < 1:
            raise BusError(f"bus: topic {topic} needs 1 partition or more, not {partitions}.")
        found = self._topics().get(topic)
        if found is None:
            self._make(topic, partitions)
            found = self._topics()[topic]
        checks.counted(topic, found, partitions)

    def partitions(self, topic: str) -> int:
        if topic not in self._counts:
            found = self._topics()
            if topic not in found:
                raise checks.no_topic(topic, [t for t in found if not t.startswith("__")])
            self._counts[topic] = found[topic]
        return self._counts[topic]

    def producer(self, name: str) -> KafkaProducer:
        with self._telling(f"producer {name} cannot be made"):
            return KafkaProducer(self._settings, name, self._config, self.partitions)

    def reader(self, topic: str, start: Mapping[int, int]) -> KafkaReader:
        checks.started(topic, start, self.begins(topic), self.ends(topic))
        with self._telling(f"topic {topic} cannot be read"):
            return KafkaReader(topic, start, self._consumer, self.begins, self._kafka)

    def ends(self, topic: str) -> dict[int, int]:
        return self._offsets(topic, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def begins(self, topic: str) -> dict[int, int]:
        return self._offsets(topic, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def last(self, topic: str, partition: int, before: int | None = None) -> Message | None:
        checks.placed(topic, partition, self.partitions(topic))
        begin, end = self.begins(topic)[partition], self.ends(topic)[partition]
        if before is not None:
            end = min(end, before)
        back = 1
        with self._lock:
            # Not every offset need have a message: transactions and compaction leave holes.
            while end > begin:
                at = max(begin, end - back)
                found = self._between(topic, partition, at, end)
                if found is not None or at == begin:
                    return found
                back *= 4
        return None

    def report(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        for partition in offsets:
            checks.placed(topic, partition, self.partitions(topic))
        places = [TopicPartition(topic, p, offset) for p, offset in offsets.items()]
        self._commit(group, places)

    def reported(self, group: str, topic: str) -> dict[int, int]:
        asked = [TopicPartition(topic, p) for p in range(self.partitions(topic))]
        return {tp.partition: tp.offset for tp in self._committed(group, asked)}

    def groups(self, topic: str) -> list[str]:
        self.partitions(topic)
        found = self._ask("groups cannot be listed", self._admin.list_consumer_groups)
        return sorted(g.group_id for g in found.valid if self.reported(g.group_id, topic))

    def drop_group(self, group: str, topic: str) -> None:
        if not self.reported(group, topic):
            return
        # Kafka forgets whole groups only: what they reported on other topics is said again.
        others = [tp for tp in self._committed(group, None) if tp.topic != topic]
        self._ask(
            f"group {group} cannot be dropped",
            lambda: self._admin.delete_consumer_groups([group])[group],
        )
        if others:
            self._commit(group, others)

    def close(self) -> None:
        with self._lock:
            if self._last is not None:
                self._last.close()
                self._last = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _config(self, heard: Heard) -> dict[str, Any]:
        return {
            "bootstrap.servers": self._kafka.servers,
            "client.id": "spymaster",
            # Azure drops connections that were idle for four minutes.
            "connections.max.idle.ms": 180_000,
            "metadata.max.age.ms": 180_000,
            "socket.keepalive.enable": True,
            # `heard` tells the same, once; the client's own lines come ten times a second.
            "log_level": 2,
            "logger": logging.getLogger("spymaster.bus.librdkafka"),
            "error_cb": heard,
            **self._security.config(),
        }

    def _consumer(self, heard: Heard) -> Consumer:
        return Consumer(
            {
                **self._config(heard),
                "group.id": _NO_GROUP,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": 32_768,
            }
        )

    def _topics(self) -> dict[str, int]:
        """Every topic and its partitions; asking for one by name might make it."""
        with self._telling("no broker answers"):
            self._admin.poll(0)
            topics = self._admin.list_topics(timeout=self._settings.wait_s).topics
        return {name: len(t.partitions) for name, t in topics.items() if t.error is None}

    def _make(self, topic: str, partitions: int) -> None:
        if not self._kafka.create_topics:
            raise BusError(
                f"bus: there is no topic {topic} on {self._kafka.servers}, and "
                f"bus.kafka.create_topics is false. Make the event hub beforehand, with "
                f"{partitions} partitions."
            )
        new = NewTopic(topic, num_partitions=partitions, replication_factor=-1)
        try:
            self._ask(
                f"topic {topic} cannot be made", lambda: self._admin.create_topics([new])[topic]
            )
        except BusError as e:
            cause = e.__cause__
            if not isinstance(cause, KafkaException) or _code(cause) != (
                KafkaError.TOPIC_ALREADY_EXISTS
            ):
                raise
        until = time.monotonic() + self._settings.wait_s
        while topic not in self._topics():
            if time.monotonic() >= until:
                raise BusError(f"bus: topic {topic} was made, but no broker shows it. Try again.")
            time.sleep(0.05)

    def _offsets(self, topic: str, spec: OffsetSpec) -> dict[int, int]:
        asked = {TopicPartition(topic, p): spec for p in range(self.partitions(topic))}
        doing = f"offsets of topic {topic} cannot be read"
        futures = dict(self._admin.list_offsets(asked))

        def of(place: TopicPartition) -> Any:
            return futures.pop(place, None) or self._admin.list_offsets({place: spec})[place]

        return {tp.partition: self._ask(doing, partial(of, tp)).offset for tp in asked}

    def _committed(self, group: str, asked: list[TopicPartition] | None) -> list[TopicPartition]:
        wanted = [ConsumerGroupTopicPartitions(group, asked)]
        found = self._ask(
            f"offsets of group {group} cannot be read",
            lambda: self._admin.list_consumer_group_offsets(wanted)[group],
            _partitions,
        )
        return [tp for tp in found if tp.offset >= 0]

    def _commit(self, group: str, places: list[TopicPartition]) -> None:
        wanted = [ConsumerGroupTopicPartitions(group, places)]
        self._ask(
            f"offsets of group {group} cannot be reported",
            lambda: self._admin.alter_consumer_group_offsets(wanted)[group],
            _partitions,
        )

    def _between(self, topic: str, partition: int, begin: int, end: int) -> Message | None:
        """The newest message with begin <= offset < end."""
        if self._last is None:
            self._last = self._consumer(self._heard)
        found: Message | None = None
        until = time.monotonic() + self._settings.wait_s
        with self._telling(f"topic {topic} cannot be read"):
            self._last.assign([TopicPartition(topic, partition, begin)])
            try:
                while time.monotonic() < until:
                    got = self._last.poll(0.5)
                    if got is None:
                        continue
                    if (error := got.error()) is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            return found
                        raise KafkaException(error)
                    new = message(got)
                    if new.offset >= end:
                        return found
                    found = new
                    if new.offset == end - 1:
                        return found
            finally:
                self._last.unassign()
        raise BusError(
            f"bus: topic {topic} partition {partition} sent nothing for "
            f"{self._settings.wait_s:g} s. Look at the broker."
        )

    def _ask(
        self, doing: str, call: Callable[[], Any], take: Callable[[Any], Any] = lambda found: found
    ) -> Any:
        """What `take` makes of a call's future; asked again while brokers change places."""
        until = time.monotonic() + self._settings.wait_s
        with self._telling(doing):
            while True:
                try:
                    return take(call().result(timeout=self._settings.wait_s))
                except KafkaException as e:
                    if not passes(e.args[0]) or time.monotonic() >= until:
                        raise
                # The client keeps what it knew of the old place until it is told anew.
                self._topics()
                time.sleep(0.05)

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as e:
            raise told(doing, self._kafka, None, self._heard.newest(self._admin.poll)) from e
        except KafkaException as e:
            error = e.args[0] if isinstance(e.args[0], KafkaError) else None
            raise told(doing, self._kafka, error, self._heard.newest(self._admin.poll)) from e


def _partitions(found: ConsumerGroupTopicPartitions) -> list[TopicPartition]:
    """A group's partitions, if none of them is an error."""
    places = found.topic_partitions or []
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)
    return places


def _code(error: KafkaException) -> int | None:
    return error.args[0].code() if isinstance(error.args[0], KafkaError) else None
