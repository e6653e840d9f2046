"""A topic as a stream engine takes it: by intents of whole messages, that can be taken again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from spymaster.bus import Bus, Message
from spymaster.engines.epoch import Intent
from spymaster.errors import BusError

#: Seconds to wait for messages that are known to be there.
_PATIENCE = 60.0
#: Takes a message; how much of an intent it fills.
Weigh = Callable[[Message], int]


class Intake:
    """Reads a topic's partitions from `offsets` on.

    `offsets`: of each partition the next message that is not yet part of an intent. `anew`: the
    command that begins without the old log.
    """

    def __init__(self, bus: Bus, topic: str, offsets: Mapping[int, int], anew: str) -> None:
        self.offsets = dict(offsets)
        self._bus, self._topic, self._anew = bus, topic, anew
        self._reader = bus.reader(topic, self.offsets)
        self._queue: dict[int, deque[Message]] = {p: deque() for p in self.offsets}

    @property
    def waiting(self) -> bool:
        """Messages have come that are not yet part of an intent."""
        return any(self._queue.values())

    def fill(self, timeout: float) -> None:
        """Take what has come; wait for it, where nothing waits already, `timeout` seconds."""
        for message in self._reader.poll(timeout=0 if self.waiting else timeout):
            self._queue[message.partition].append(message)

    def take(self, most: int, weigh: Weigh) -> dict[int, tuple[int, int]]:
        """Messages for one intent, until they weigh `most`: of each partition [from, to)."""
        ranges: dict[int, tuple[int, int]] = {}
        weight = 0
        for partition, queue in self._queue.items():
            begin = self.offsets[partition]
            while queue and weight < most:
                message = queue.popleft()
                weight += weigh(message)
                self.offsets[partition] = message.offset + 1
            if self.offsets[partition] > begin:
                ranges[partition] = (begin, self.offsets[partition])
        return ranges

    def again(self, intent: Intent) -> list[Message]:
        """The very messages of an intent that was written down. BusError when they do not come."""
        found: list[Message] = []
        since = time.monotonic()
        for partition, (_, end) in sorted(intent.ranges.items()):
            queue = self._queue[partition]
            while self.offsets[partition] < end:
                if not queue:
                    self.fill(1.0)
                    if not queue and time.monotonic() - since > _PATIENCE:
                        ends = {p: e for p, (_, e) in intent.ranges.items()}
                        raise self._absent(self.offsets, ends)
                    continue
                if queue[0].offset >= end:
                    self.offsets[partition] = end
                    break
                message = queue.popleft()
                found.append(message)
                self.offsets[partition] = message.offset + 1
        return found

    def between(
        self, begins: Mapping[int, int], ends: Mapping[int, int]
    ) -> Iterator[list[Message]]:
        """The topic's messages from offsets to offsets, once more."""
        at = {p: o for p, o in begins.items() if o < ends[p]}
        if not at:
            return
        with self._bus.reader(self._topic, at) as reader:
            while any(at[p] < ends[p] for p in at):
                messages = reader.poll(timeout=_PATIENCE)
                if not messages:
                    raise self._absent(at, ends)
                messages = [m for m in messages if m.offset < ends[m.partition]]
                for m in messages:
                    at[m.partition] = m.offset + 1
                yield messages

    def _absent(self, at: Mapping[int, int], ends: Mapping[int, int]) -> BusError:
        return BusError(
            f"{self._topic}: messages {dict(at)} to {dict(ends)} were written down and do not "
            f"come within {_PATIENCE:.0f} s. Is the bus well? Nothing is lost: start again, or, if "
            f"the topic was made anew, begin with it: {self._anew}"
        )

    def close(self) -> None:
        """Let go of the topic."""
        self._reader.close()


def check_offsets(bus: Bus, topic: str, offsets: Mapping[int, int], state: str, anew: str) -> None:
    """Raise BusError unless a state's offsets are messages the topic has, or will have next."""
    begins, ends = bus.begins(topic), bus.ends(topic)
    for p, offset in offsets.items():
        if not begins.get(p, 0) <= offset <= ends.get(p, -1):
            raise BusError(
                f"{topic}: partition {p} has messages {begins.get(p, 0)} to {ends.get(p, 0)}, "
                f"and the state of {state} goes on at {offset}: the topic was made anew, or kept "
                f"too little. Bring the bus of this root back, or begin anew: {anew}"
            )
