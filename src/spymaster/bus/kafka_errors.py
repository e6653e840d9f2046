"""What Kafka's errors mean for who runs the bus."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from confluent_kafka import KafkaError

from spymaster.errors import BusError
from spymaster.settings import KafkaSettings

_log = logging.getLogger(__name__)

#: One kind of trouble is logged once in this time, in seconds.
_QUIET = 60.0


class Heard:
    """What a client heard beside its answers: lost brokers, refused log-ins."""

    def __init__(self) -> None:
        self._newest: KafkaError | None = None
        self._logged: dict[int, float] = {}
        self.refused: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION or error.fatal():
            self.refused = error
        now = time.monotonic()
        if now - self._logged.get(error.code(), -_QUIET) >= _QUIET:
            _log.warning("bus: %s", error.str())
            self._logged[error.code()] = now
        self._newest = error

    def newest(self, poll: Callable[[float], object]) -> KafkaError | None:
        """The cause to tell; `poll` has the client hand over what it heard."""
        poll(0)
        return self.refused or self._newest


def passes(error: object) -> bool:
    """Whether an error is one of brokers that start, stop or hand over."""
    return isinstance(error, KafkaError) and error.code() in {
        KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR, KafkaError._TRANSPORT,
    }  # fmt: skip


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
    if error is not None and "Message size too large" in error.str():
        return "Lower bus.max_message_bytes to what the broker allows."
    return "Look whether bus.kafka.servers is right and the broker runs."
