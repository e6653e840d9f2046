"""Reads Kafka partitions from given offsets: no group, no rebalancing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, TopicPartition
from confluent_kafka import Message as KafkaMessage

from spymaster.bus import checks
from spymaster.bus.interface import NO_HEADERS, POLL_BYTES, POLL_SECONDS, Message
from spymaster.bus.kafka_errors import Heard, told
from spymaster.errors import BusError
from spymaster.settings import KafkaSettings

_TOO_OLD = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}
#: The client goes on by itself after these.
_PASSING = {
    KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE,
}  # fmt: skip


class KafkaReader:
    """One client. A broker that is away for a while is waited for: polls return []."""

    def __init__(
        self,
        topic: str,
        start: Mapping[int, int],
        client: Callable[[Heard], Consumer],
        begins: Callable[[str], dict[int, int]],
        kafka: KafkaSettings,
    ) -> None:
        self._topic, self._begins, self._kafka = topic, begins, kafka
        self._next = dict(start)
        self._heard = Heard()
        self._wrong: BusError | None = None
        self._client = client(self._heard)
        self._client.assign([TopicPartition(topic, p, offset) for p, offset in start.items()])

    def poll(self, max_bytes: int = POLL_BYTES, timeout: float = POLL_SECONDS) -> list[Message]:
        until, size = time.monotonic() + timeout, 0
        found: list[Message] = []
        while size < max_bytes and self._wrong is None:
            wait = 0.0 if found else max(0.0, until - time.monotonic())
            got = self._client.poll(wait)
            if got is None:
                if found or time.monotonic() >= until:
                    break
                continue
            if (error := got.error()) is not None:
                self._wrong = self._meaning(error, got)
                if self._wrong or (not found and time.monotonic() >= until):
                    break
                continue
            new = message(got)
            self._next[new.partition] = new.offset + 1
            found.append(new)
            size += len(new.value)
        if not found and self._heard.refused is not None:
            raise told(f"topic {self._topic} cannot be read", self._kafka, self._heard.refused)
        if not found and self._wrong is not None:
            raise self._wrong
        return found

    def _meaning(self, error: KafkaError, got: KafkaMessage) -> BusError | None:
        if error.code() in _TOO_OLD:
            partition = got.partition() or 0
            oldest = self._begins(self._topic)[partition]
            return checks.gone(self._topic, partition, self._next[partition], oldest)
        if error.code() in _PASSING:
            return None
        return told(f"topic {self._topic} cannot be read", self._kafka, error)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def message(got: KafkaMessage) -> Message:
    """A Kafka message as ours; bytes of foreign producers that are no UTF-8 are escaped."""
    kind, milliseconds = got.timestamp()
    topic, partition, offset = got.topic(), got.partition(), got.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    key, headers = got.key(), got.headers()
    return Message(
        topic,
        partition,
        offset,
        None if key is None else _text(key),
        _bytes(got.value()),
        {k: _text(v) for k, v in _pairs(headers)} if headers else NO_HEADERS,
        0 if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1_000_000,
    )


def _pairs(headers: Any) -> list[tuple[str, str | bytes | None]]:
    return list(headers)


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else (value or b"").decode(errors="backslashreplace")
