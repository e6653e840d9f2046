"""One writer per pipeline: all historical runs of a root are one, and the second is refused.

Whatever else may run only once has a lease of its own, at a path of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from spymaster.errors import LakeError
from spymaster.lake.place import Place

HISTORY = "history"
_TRIES, _MOMENT_S = 20, 0.01


def lease_file(pipeline: str) -> str:
    """Where a pipeline's lease lies under the root."""
    return f"lake/checkpoints/{pipeline}/lease.json"


class Lease:
    """A pipeline's lease, held by a lock that the operating system drops when the process dies.

    The file tells who holds it (process, host, since) and counts the holders (`fence`). What
    holders that died left behind is found by their `owner`: `unfinished` are those names, kept
    until `swept` is called, however many runs die in a row.
    An object store has no locks: there the lease is not taken, and Delta's own conflict check
    is what stands between two writers.
    """

    def __init__(
        self, place: Place, owner: str, now: Callable[[], int], pipeline: str = HISTORY
    ) -> None:
        self.unfinished: list[str] = []
        self._path, self._pipeline = lease_file(pipeline), pipeline
        self._place, self._owner, self._now = place, owner, now
        self._file: TextIO | None = None
        self._row: dict[str, Any] = {}

    def __enter__(self) -> Lease:
        if self._place.local is None:
            return self
        path = self._place.local / self._path
        self._place.make_folder(self._path.rpartition("/")[0])
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")
        except OSError as e:
            raise LakeError(f"{path}: cannot be written ({e.strerror or e}).") from e
        if not _taken(file):
            told = self._read(file)
            file.close()
            raise LakeError(
                f"{self._place.root}: another {_called(self._pipeline)} is at work on this root: "
                f"{_holder(told)}. One writer at a time is allowed; wait until it ends, or stop "
                "it. Nothing was changed."
            )
        before = self._read(file)
        self.unfinished = list(before.get("unfinished", []))
        if "owner" in before and before.get("ended") is None:
            self.unfinished.append(before["owner"])
        self._file = file
        self._row = {
            "owner": self._owner,
            "fence": int(before.get("fence", 0)) + 1,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": self._now(),
            "ended": None,
            "unfinished": self.unfinished,
        }
        try:
            self._write()
        except BaseException:
            self._file = None
            file.close()
            raise
        return self

    @property
    def fence(self) -> int:
        """How many have held it so far: a later holder has a higher one."""
        return int(self._row.get("fence", 0))

    def check(self) -> None:
        """Raise LakeError when the lease is no longer ours: a later holder has taken it."""
        if self._place.local is None:
            return
        path = self._place.local / self._path
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            told = {}
        if (told.get("owner"), told.get("fence")) != (self._owner, self.fence):
            raise LakeError(
                f"{path}: this process held fence {self.fence}, and {_holder(told)} has fence "
                f"{told.get('fence', 'none')} now. It writes nothing more; start it again only "
                "when the other has ended."
            )

    def swept(self) -> None:
        """What the dead had left is gone."""
        self.unfinished = []
        self._row["unfinished"] = []
        self._write()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        try:
            # A run that did not end well may have left files: the next holder looks for them.
            if kind is None:
                self._row["ended"] = self._now()
                self._write()
        finally:
            self._file.close()
            self._file = None

    @staticmethod
    def _read(file: TextIO) -> dict[str, Any]:
        file.seek(0)
        try:
            found = json.loads(file.read() or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self) -> None:
        assert self._file is not None
        try:
            # Over what is there, and cut afterwards: a full disk or a kill leaves the old fence.
            self._file.seek(0)
            self._file.write(json.dumps(self._row))
            self._file.flush()
            self._file.truncate()
            os.fsync(self._file.fileno())
        except OSError as e:
            raise LakeError(
                f"{self._place.uri(self._path)}: cannot be written ({e.strerror or e})."
            ) from e


def _taken(file: TextIO) -> bool:
    """The lock, now or in a moment: who asks whether others are at work holds it for an instant."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(_MOMENT_S)
    return False


def others_at_work(place: Place, pipeline: str) -> bool:
    """Does a process hold the lease of another pipeline of this root?"""
    if place.local is None:
        return True
    mine = place.local / lease_file(pipeline)
    found = (place.local / "lake/checkpoints").glob("**/lease.json")
    return any(_locked(path) for path in found if path != mine)


def held(root: Path, pipeline: str) -> bool:
    """Does a process hold the lease of this pipeline of a local root?"""
    path = root / lease_file(pipeline)
    return path.exists() and _locked(path)


def _locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _called(pipeline: str) -> str:
    """What a person calls the holder."""
    what, _, of = pipeline.partition("/")
    name = {HISTORY: "run", "live": "stream engine", "ingest": "ingestor"}.get(what, what)
    return f"{name} of {of}" if of else name


def _holder(row: dict[str, Any]) -> str:
    if not {"pid", "host", "since"} <= set(row):
        return "process unknown"
    since = datetime.fromtimestamp(int(row["since"]) / 1e9, UTC)
    return f"process {row['pid']} on {row['host']} since {since:%Y-%m-%d %H:%M:%S}Z"
