"""How fast a bus is: MB/s with three reading processes, and the latency publish -> poll.

    python -m bench.bus [SETTINGS.toml]

Messages of 250 KB as the feed's batches are; each reader checks their order. A message carries
the monotonic time of its publishing, which all processes of a machine share.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import sys
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from spymaster.bus import open_bus
from spymaster.settings import Settings

READERS = 3
SIZE = 250_000
FLUSHED = 8
TOTAL = 1_500_000_000
PACED = 500
PACE_S = 0.01


def read(settings: Settings, topic: str, wanted: int, ready: Any, said: Queue[Any]) -> None:
    """Read a topic to its end as one group; tell when that was, and each message's age."""
    name = f"reader-{os.getpid()}"
    with open_bus(settings) as bus, bus.reader(topic, {0: 0}) as reader:
        bus.report(name, topic, {0: 0})
        reader.poll(timeout=0.1)
        ready.wait()
        n, ages, reported = 0, [], time.monotonic()
        while n < wanted:
            for message in reader.poll():
                assert message.offset == n
                ages.append(time.monotonic_ns() - int.from_bytes(message.value[:8], "little"))
                n += 1
            if time.monotonic() - reported > 1:
                bus.report(name, topic, {0: n})
                reported = time.monotonic()
    said.put((time.monotonic(), ages))


def run(settings: Settings, topic: str, size: int, count: int, pace: float) -> tuple[float, Any]:
    """Seconds until the slowest reader had all, and the ages in ns, sorted."""
    context = mp.get_context("spawn")
    ready, said = context.Barrier(READERS + 1), context.Queue()
    with open_bus(settings) as bus, bus.producer("bench") as producer:
        bus.create(topic, 1)
        asked = (settings, topic, count, ready, said)
        readers = [context.Process(target=read, args=asked) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        ready.wait()
        rest = random.Random(1).randbytes(size - 8)
        began = time.monotonic()
        for n in range(count):
            if pace:
                time.sleep(pace)
            value = time.monotonic_ns().to_bytes(8, "little") + rest
            producer.publish(topic, value, partition=0)
            if pace or n % FLUSHED == FLUSHED - 1:
                producer.flush()
        producer.flush()
        written = time.monotonic() - began
        told = [said.get() for _ in readers]
        for reader in readers:
            reader.join()
    print(f"  written in {written:.2f} s", flush=True)
    return max(end for end, _ in told) - began, sorted(age for _, ages in told for age in ages)


def main(config: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(Path(config) if config else None, root=folder)
        kind, stamp = settings.bus.kind, time.time_ns()
        count = TOTAL // SIZE
        seconds, _ = run(settings, f"speed-{stamp}", SIZE, count, 0)
        print(f"{kind}: {count * SIZE / seconds / 1e6:.0f} MB/s, {SIZE} bytes, {READERS} readers")
        files = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
        if files:
            print(f"{kind}: {files / 1e6:.0f} MB of files after {count * SIZE / 1e6:.0f} MB")
        for size in (200, SIZE):
            _, ages = run(settings, f"late-{stamp}-{size}", size, PACED, PACE_S)
            p50, p99 = ages[len(ages) // 2] / 1e6, ages[len(ages) * 99 // 100] / 1e6
            print(f"{kind}: publish -> poll {size} bytes: p50 {p50:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
