"""A Spark driver is two processes: its JVM may still be writing when its Python is dead.

So the JVM holds a lock of its own while a run is on, and whoever comes next waits for it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spymaster.errors import LakeError
from spymaster.lake.place import Place

LOCK = "lake/checkpoints/history/spark.lock"
_WAIT_S, _LOOK_S = 60.0, 0.05


@contextmanager
def held_by_jvm(spark: Any, place: Place) -> Iterator[None]:
    """The session's JVM holds the lock of a local root, until the end or until it dies."""
    if place.local is None:
        yield
        return
    place.make_folder(LOCK.rpartition("/")[0])
    file = spark.sparkContext._jvm.java.io.RandomAccessFile(place.uri(LOCK), "rw")
    try:
        if file.getChannel().tryLock() is None:
            raise _at_work(place)
        yield
    finally:
        file.close()


def wait_for_spark(place: Place, seconds: float = _WAIT_S) -> None:
    """Until no JVM holds the lock: one whose driver has died ends of itself, in seconds.

    LakeError when it does not.
    """
    if place.local is None or not (place.local / LOCK).exists():
        return
    until = time.monotonic() + seconds
    with (place.local / LOCK).open("r+b") as file:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > until:
                    raise _at_work(place) from None
            time.sleep(_LOOK_S)


def _at_work(place: Place) -> LakeError:
    return LakeError(
        f"{place.uri(LOCK)}: a JVM of Spark holds this lock, and its driver holds no lease. It "
        "may still write. Wait until it has ended, or end it."
    )
