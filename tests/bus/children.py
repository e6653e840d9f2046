"""What the tests run in other processes: `python -m tests.bus.children VERB SETTINGS.json ...`."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import spymaster
from spymaster.bus import Bus, Message, Reader, open_bus
from spymaster.settings import Settings

HOME = Path(__file__).resolve().parents[2]


def start(verb: str, settings: Settings, *given: object) -> subprocess.Popen[str]:
    """Start a verb below; it says JSON lines on stdout."""
    paths = os.pathsep.join([str(Path(spymaster.__file__).parents[1]), str(HOME)])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bus.children", verb, settings.model_dump_json(),
         *(str(g) for g in given)],
        cwd=HOME, env={**os.environ, "PYTHONPATH": paths}, text=True, stdout=subprocess.PIPE,
    )  # fmt: skip


def lines(child: subprocess.Popen[str]) -> list[Any]:
    """All it said, once it has ended well."""
    said, _ = child.communicate()
    assert child.returncode == 0, said
    return [json.loads(line) for line in said.splitlines()]


def take(reader: Reader, count: int, seconds: float = 60.0) -> list[Message]:
    """The next messages, at least `count`, or what there is when the time is over."""
    found: list[Message] = []
    until = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        found += reader.poll(timeout=0.5)
    return found


def say(told: object) -> None:
    print(json.dumps(told), flush=True)


def value(number: int, size: int) -> bytes:
    """A message's content that shows whether it is whole."""
    return number.to_bytes(8, "little") + random.Random(number).randbytes(size - 8)


def publish(bus: Bus, topic: str, name: str, count: str, size: str, every: str) -> None:
    """Numbered messages, a flush after every so many; says the number up to which it flushed."""
    with bus.producer(name) as producer:
        for n in range(int(count)):
            producer.publish(topic, value(n, int(size)), partition=0, key=name)
            if (n + 1) % int(every) == 0:
                producer.flush()
                say(n + 1)


def consume(bus: Bus, topic: str, count: str) -> None:
    """Read from the beginning; says `ready`, then each message's offset, key and number."""
    with bus.reader(topic, dict.fromkeys(range(bus.partitions(topic)), 0)) as reader:
        say("ready")
        for m in take(reader, int(count)):
            say([m.partition, m.offset, m.key, int.from_bytes(m.value[:8], "little")])


def hold(bus: Bus, topic: str, *_: str) -> None:
    """Open a producer, say so, and wait to be stopped."""
    with bus.producer("holder"):
        say("ready")
        sys.stdin.read()


def main(verb: str, settings: str, *given: str) -> None:
    with open_bus(Settings.model_validate_json(settings)) as bus:
        {"publish": publish, "consume": consume, "hold": hold}[verb](bus, *given)


if __name__ == "__main__":
    main(*sys.argv[1:])
