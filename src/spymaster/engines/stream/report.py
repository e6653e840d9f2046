"""What a process of the live way says of itself, for `spymaster status` and health checks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

from spymaster.engines.lease import held
from spymaster.feed.ingest.recovery import replace_json
from spymaster.feed.ingest.status import FOLDER

_EVERY = 1.0
#: Older than this a status is of a process that hangs or has died, in seconds.
STALE = 10.0

Facts = Callable[[], Mapping[str, Any]]


class Rate:
    """Records per second since it was asked last."""

    def __init__(self) -> None:
        self._at, self._records, self._rate = time.monotonic(), 0, 0.0

    def per_second(self, records: int) -> float:
        """The rate, over half a second at least."""
        seconds = time.monotonic() - self._at
        if seconds >= 0.5:
            self._rate = (records - self._records) / seconds
            self._at, self._records = time.monotonic(), records
        return self._rate


class StatusFile:
    """Writes `facts()` into a small JSON file every second, whole or not at all.

    As a context manager: a thread of its own, and a last word at the end. `mine`: whether the
    file is ours to write; another process of that name may be at work. `pipeline`: whose lease it
    holds, where that is not `name`.
    """

    def __init__(
        self,
        root: str | Path,
        name: str,
        facts: Facts,
        mine: Callable[[], bool] = lambda: True,
        pipeline: str | None = None,
    ) -> None:
        self._path = Path(root) / FOLDER / f"{name}.json"
        self._name, self._facts, self._mine = pipeline or name, facts, mine
        self._stop = Event()
        self._thread = Thread(target=self._run, name="status", daemon=True)
        self._error = ""

    def told(self) -> dict[str, Any]:
        """What is said now."""
        return {
            "pid": os.getpid(),
            "pipeline": self._name,
            "written_at": time.time_ns(),
            **self._facts(),
        }

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self.write()

    def write(self, **more: Any) -> None:
        """Write it now. A full disk must not stop the work: the file grows old and shows it."""
        if not self._mine():
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_json(self._path, {**self.told(), **more})
        except OSError as error:
            self._error = str(error)

    def __enter__(self) -> StatusFile:
        self.write()
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._stop.set()
        self._thread.join(5)
        state = "stopped" if error is None else "failed"
        self.write(state=state, last_error=str(error) if error else None)


def _died(root: str | Path, told: Mapping[str, Any]) -> bool:
    """Its lease, which the system drops when a process dies, is held by nobody."""
    of_feed = f"ingest/{told['dataset']}" if "dataset" in told else ""
    pipeline = str(told.get("pipeline") or of_feed)
    return bool(pipeline) and not held(Path(root), pipeline)


def forget_status(root: str | Path, name: str) -> None:
    """Take away what a process that is no more said last; nothing where it said nothing."""
    if "://" not in str(root):
        (Path(root) / FOLDER / f"{name}.json").unlink(missing_ok=True)


def read_statuses(root: str | Path) -> list[dict[str, Any]]:
    """What every process of a root said last, with `age_s` and whether it `runs`."""
    found = []
    for path in sorted((Path(root) / FOLDER).glob("*.json")):
        try:
            told = {"process": path.stem, **json.loads(path.read_text())}
        except (OSError, ValueError):
            continue
        told["age_s"] = max(0.0, (time.time_ns() - int(told["written_at"])) / 1e9)
        ended = told.get("state") in ("stopped", "failed")
        told["runs"] = not ended and told["age_s"] < STALE and not _died(root, told)
        found.append(told)
    return found
