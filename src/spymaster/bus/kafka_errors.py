"""What Kafka's errors mean for who runs the bus."""

from __future__ import annotations

import logging
from collections.abc import Callable

from confluent_kafka import KafkaError

from spymaster.errors import BusError
from spymaster.settings import KafkaSettings

_log = logging.getLogger(__name__)


class Heard:
    """What a client heard beside its answers: lost brokers, refused log-ins."""

    def __init__(self) -> None:
        self._newest: KafkaError | None = None
        self.refused: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION or error.fatal():
            self.refused = error
        if self._newest is None or self._newest.code() != error.code():
            _log.warning("bus: %s", error.str())
        self._newest = error

    def newest(self, poll: Callable[[float], object]) -> KafkaError | None:
        """The cause to tell; `poll` has the client hand over what it heard."""
        poll(0)
        return self.refused or self._newest


def told(
    doing: str, kafka: KafkaSettings, error: KafkaError | None, heard: KafkaError | None = None
) -> BusError:
    """An error of the client as BusError; what it heard says more than a time-out."""
    vague = error is None or error.code() in {
        KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT,
    }  # fmt: skip
    cause = heard if vague and heard is not None else error
    said = cause.str() if cause is not None else "no answer in time"
    return BusError(f"bus: {kafka.servers}: {doing} ({said}). {_what_to_do(cause, kafka)}")


def _what_to_do(error: KafkaError | None, kafka: KafkaSettings) -> str:
    code = error.code() if error is not None else KafkaError._TRANSPORT
    refused = {
        KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }  # fmt: skip
    if code in refused:
        return f'Look at bus.kafka.auth = "{kafka.auth}", and at what this identity may do.'
    if code == KafkaError._SSL:
        return "Look at the certificate, and at bus.kafka.ca."
    if code in {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}:
        return "Lower bus.max_message_bytes to what the broker allows."
    return "Look whether bus.kafka.servers is right and the broker runs."
