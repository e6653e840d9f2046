"""A topic for several engines: the very same messages, as one connection would have sent them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spymaster.bus import Message, open_bus
from spymaster.engines.local import LocalEngine
from spymaster.engines.stream.live import LiveEngine
from spymaster.feed.topic import TOPIC, Gap, encode
from spymaster.settings import Settings
from tests.live.posting import post
from tests.parity.stream_table import by_time, publish


def topic_of(
    settings: Settings, files: Iterable[Path], batch: int = 200, **how: Any
) -> list[Message]:
    """Messages of files, by time; definitions and files are landed in the settings' root."""
    with open_bus(settings) as bus:
        post(bus, settings, files, batch, **how)
        return by_time(bus)


def landed(settings: Settings, files: Iterable[Path]) -> Settings:
    """The same settings; what is known before a session is in their root."""
    LocalEngine(settings).land([f for f in files if "definition" in f.name])
    LocalEngine(settings).land([f for f in files if "definition" not in f.name])
    return settings


def live(settings: Settings, messages: Sequence[Message], **how: Any) -> list[Message]:
    """What the local engine makes of messages; they come back as its topic had them."""
    with open_bus(settings) as bus:
        bus.create(TOPIC, settings.bus.partitions)
        publish(bus, messages)
        LiveEngine(settings, bus, quiet_s=0.3, **how).run()
        return in_order(messages)


def in_order(messages: Sequence[Message]) -> list[Message]:
    """Messages with the offsets that they have in a topic to which they are published so."""
    ends: dict[int, int] = {}
    found = []
    for m in messages:
        offset = ends.get(m.partition, 0)
        ends[m.partition] = offset + 1
        found.append(m._replace(offset=offset))
    return found


def gap_messages(gap: Gap, partitions: Iterable[int]) -> list[Message]:
    """The gap told in these partitions of the topic."""
    value, headers = encode(gap)
    return [Message(TOPIC, p, 0, None, value, headers, 0) for p in partitions]
