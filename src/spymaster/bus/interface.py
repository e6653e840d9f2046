"""What a bus is, whichever kind: topics of partitions of numbered messages, kept for a while."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Protocol, Self

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
#: What one poll returns at most, in bytes of values (one message always fits).
POLL_BYTES = 8_000_000
#: How long a poll waits for the first message, in seconds.
POLL_SECONDS = 1.0


class Message(NamedTuple):
    """One message as it lies in a topic. `time` is a trace: when it was published, ns UTC."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes
    headers: Mapping[str, str]
    time: int


class Producer(Protocol):
    """Writes messages. As a context manager it flushes at a good end, and drops the rest at a bad.

    One thread at a time. Messages of one producer keep their order within a partition.
    """

    def publish(
        self,
        topic: str,
        value: bytes,
        *,
        partition: int,
        key: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """Take a message; it may stay in memory until `flush`.

        Waits while the bus is full. Raises BusError when it cannot go on; the message is then
        not taken.
        """

    def flush(self) -> None:
        """Return when all that was published is durable and readable; else raise BusError."""

    def close(self) -> None:
        """Drop what was not flushed, and let go of the connection."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Reader(Protocol):
    """Reads a topic from given offsets on. One thread at a time."""

    def poll(self, max_bytes: int = POLL_BYTES, timeout: float = POLL_SECONDS) -> list[Message]:
        """The next messages, in offset order per partition; [] when none came in `timeout` s.

        Returns at once with what is there. Raises BusError when an offset is no longer kept.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Bus(Protocol):
    """Topics behind one seam. Every method raises BusError; a bus belongs to one process."""

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic. With the same count again: nothing; with another: BusError."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""

    def producer(self, name: str) -> Producer:
        """A producer; its name is for logs and brokers."""

    def reader(self, topic: str, start: Mapping[int, int]) -> Reader:
        """A reader of the partitions in `start`, each from that offset on."""

    def ends(self, topic: str) -> dict[int, int]:
        """The offset that each partition's next message will get."""

    def begins(self, topic: str) -> dict[int, int]:
        """The oldest offset that each partition still keeps."""

    def last(self, topic: str, partition: int, before: int | None = None) -> Message | None:
        """The newest message of a partition (below an offset), None where there is none."""

    def report(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Say how far a group is: the offset it reads next, per partition.

        It shows lag and holds retention. What was done with the messages is the group's to know.
        """

    def reported(self, group: str, topic: str) -> dict[int, int]:
        """What the group reported last; {} when it never did."""

    def groups(self, topic: str) -> list[str]:
        """The groups that reported on this topic, sorted."""

    def drop_group(self, group: str, topic: str) -> None:
        """Forget what a group reported on this topic; nothing when it never did."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
