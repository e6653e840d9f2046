"""Writes to Kafka: idempotent, in order, acknowledged by all replicas."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from spymaster.bus import checks
from spymaster.bus.interface import NO_HEADERS
from spymaster.bus.kafka_errors import Heard, told
from spymaster.errors import BusError
from spymaster.settings import BusSettings

_log = logging.getLogger(__name__)


class KafkaProducer:
    """One client. A message that was lost ends it: a later one must not be read before it."""

    def __init__(
        self,
        settings: BusSettings,
        name: str,
        config: Callable[[Heard], dict[str, Any]],
        partitions: Callable[[str], int],
    ) -> None:
        self.name = name
        self._settings, self._partitions = settings, partitions
        self._lost: KafkaError | None = None
        self._heard = Heard()
        self._client = Producer(
            {
                **config(self._heard),
                "client.id": f"spymaster-{name}",
                "acks": "all",
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,
                "compression.type": settings.kafka.compression,
                "message.max.bytes": settings.max_message_bytes,
                "message.timeout.ms": int(settings.wait_s * 1000),
                "linger.ms": 5,
                "queue.buffering.max.kbytes": max(1, settings.buffer_bytes // 1024),
            }
        )

    def publish(
        self,
        topic: str,
        value: bytes,
        *,
        partition: int,
        key: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        size = checks.size(key, value, headers)
        checks.fits(topic, size, self._settings.max_message_bytes)
        checks.placed(topic, partition, self._partitions(topic))
        told_headers: list[tuple[str, str | bytes | None]] = [
            (k, v.encode()) for k, v in headers.items()
        ]
        until, waits = time.monotonic() + self._settings.wait_s, False
        while True:
            self._serve(self._client.poll, 0.05 if waits else 0)
            self._go_on()
            try:
                self._client.produce(
                    topic, value, key, partition, on_delivery=self._delivered, headers=told_headers
                )
                return
            except BufferError:
                if not waits:
                    _log.debug("bus: producer %s waits for its brokers", self.name)
                waits = True
            except KafkaException as e:
                raise self._error(e.args[0]) from e
            if time.monotonic() >= until:
                raise self._error(None)

    def flush(self) -> None:
        # Each message has its own limit of wait_s; the client tells of it a little later.
        until = time.monotonic() + self._settings.wait_s + 5
        while left := self._serve(self._client.flush, 0.5):
            self._go_on()
            if time.monotonic() >= until:
                break
        self._go_on()
        if left:
            raise self._error(None)

    def close(self) -> None:
        self._serve(self._client.purge)
        self._serve(self._client.flush, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    def _delivered(self, error: KafkaError | None, _: KafkaMessage) -> None:
        if error is not None:
            self._lost = self._lost or error

    def _serve(self, call: Callable[..., int | None], *given: float) -> int:
        """Have the client tell what came of messages.

        A fatal error is raised out of its callbacks, through SystemError where several were due,
        which may have lost what it was.
        """
        try:
            return call(*given) or 0
        except (KafkaException, SystemError) as e:
            cause = e if isinstance(e, KafkaException) else e.__cause__
            if isinstance(cause, KafkaException):
                self._lost = self._lost or cause.args[0]
            elif isinstance(e, SystemError) and self._lost is None:
                with suppress(KafkaException, SystemError):
                    self._client.poll(0.1)  # what came of the messages is told after it
                self._lost = self._lost or KafkaError(KafkaError._FAIL, str(e))
            return len(self._client)

    def _poll(self, seconds: float) -> None:
        self._serve(self._client.poll, seconds)

    def _go_on(self) -> None:
        if self._lost is not None:
            raise self._error(self._lost)

    def _error(self, error: KafkaError | None) -> BusError:
        doing = (
            f"producer {self.name} could not deliver within {self._settings.wait_s:g} s, and "
            "publishes no more; a new one may go on after the last message that was flushed"
        )
        return told(doing, self._settings.kafka, error, self._heard.newest(self._poll))
