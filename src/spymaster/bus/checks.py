"""What every kind of bus asks of names, offsets and sizes, said in the same words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from spymaster.errors import BusError

#: Kafka's rule for topic names.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
#: What a message costs besides key, headers and value, in bytes.
OVERHEAD = 64


def named(topic: str) -> str:
    """The topic's name, if it may be one."""
    if not _NAME.fullmatch(topic) or topic in {".", ".."}:
        raise BusError(
            f"bus: topic {topic!r} is no name; allowed: up to 249 of A-Z, a-z, 0-9, '.', '_', '-'."
        )
    return topic


def no_topic(topic: str, known: list[str]) -> BusError:
    there = ", ".join(sorted(known)) or "none"
    return BusError(f"bus: there is no topic {topic!r}; there are: {there}. Create it first.")


def counted(topic: str, found: int, asked: int) -> None:
    """A topic that exists has the partitions that are asked for."""
    if found != asked:
        raise BusError(
            f"bus: topic {topic} has {found} partitions, not {asked}; a topic's count does not "
            f"change. Set bus.partitions = {found}, or use another topic."
        )


def placed(topic: str, partition: int, partitions: int) -> None:
    """A partition that the topic has."""
    if not 0 <= partition < partitions:
        raise BusError(
            f"bus: topic {topic} has no partition {partition}; allowed: 0 to {partitions - 1}."
        )


def started(
    topic: str, start: Mapping[int, int], begins: Mapping[int, int], ends: Mapping[int, int]
) -> None:
    """Offsets from which a topic can be read."""
    for partition, offset in start.items():
        placed(topic, partition, len(ends))
        if offset < begins[partition]:
            raise gone(topic, partition, offset, begins[partition])
        if offset > ends[partition]:
            raise BusError(
                f"bus: topic {topic} partition {partition} ends at offset {ends[partition]}; "
                f"{offset} lies past it. The topic was made anew, or these offsets are of another "
                f"bus: start at {begins[partition]} to {ends[partition]}."
            )


def gone(topic: str, partition: int, offset: int, oldest: int) -> BusError:
    return BusError(
        f"bus: topic {topic} partition {partition} no longer keeps offset {offset}; the oldest is "
        f"{oldest}. What is missing must come from the landed files; then start at {oldest}. A "
        "group that reports its offsets holds them."
    )


def size(key: str | None, value: bytes, headers: Mapping[str, str]) -> int:
    """Bytes that a message takes, about."""
    told = _size(tuple(headers.items())) if headers else 0
    return OVERHEAD + len((key or "").encode()) + told + len(value)


@lru_cache(maxsize=1 << 10)
def _size(headers: tuple[tuple[str, str], ...]) -> int:
    """Bytes of headers; most messages have those of the one before."""
    return sum(len(k.encode()) + len(v.encode()) for k, v in headers)


def fits(topic: str, found: int, allowed: int) -> None:
    """A message that is not too large for the bus."""
    if found > allowed:
        raise BusError(
            f"bus: a message of {found:,} bytes for topic {topic} is too large; allowed: "
            f"{allowed:,} bytes (bus.max_message_bytes). Cut it into smaller ones, or raise the "
            "limit where the broker allows it (Event Hubs Standard: 1 MB)."
        )
