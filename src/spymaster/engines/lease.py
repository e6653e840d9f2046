"""One writer per pipeline: all historical runs of a root are one, and the second is refused."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from spymaster.errors import LakeError
from spymaster.lake.place import Place

HISTORY = "lake/checkpoints/history/lease.json"


class Lease:
    """A root's lease, held by a lock that the operating system drops when the process dies.

    The file tells who holds it (process, host, since) and counts the holders (`fence`). What a
    holder that died left behind is found by its `owner`: `unfinished` is that name, or None.
    An object store has no locks: there the lease is not taken, and Delta's own conflict check
    is what stands between two writers.
    """

    def __init__(self, place: Place, owner: str, now: Callable[[], int]) -> None:
        self.unfinished: str | None = None
        self._place, self._owner, self._now = place, owner, now
        self._file: TextIO | None = None
        self._row: dict[str, Any] = {}

    def __enter__(self) -> Lease:
        if self._place.local is None:
            return self
        path = self._place.local / HISTORY
        self._place.make_folder(HISTORY.rpartition("/")[0])
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as e:
            raise LakeError(f"{path}: cannot be written ({e.strerror or e}).") from e
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            told = self._read(file)
            file.close()
            raise LakeError(
                f"{self._place.root}: another run is at work on this root: {_holder(told)}. One "
                "writer at a time is allowed; wait until it ends, or stop it. Nothing was changed."
            ) from None
        before = self._read(file)
        self.unfinished = before.get("owner") if before.get("ended") is None else None
        self._file = file
        self._row = {
            "owner": self._owner,
            "fence": int(before.get("fence", 0)) + 1,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": self._now(),
            "ended": None,
        }
        self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        # A run that was interrupted may have left files: the next holder looks for them.
        if kind is None or issubclass(kind, Exception):
            self._row["ended"] = self._now()
            self._write()
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
            self._file.seek(0)
            self._file.truncate()
            self._file.write(json.dumps(self._row))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as e:
            raise LakeError(
                f"{self._place.uri(HISTORY)}: cannot be written ({e.strerror or e})."
            ) from e


def _holder(row: dict[str, Any]) -> str:
    if not row:
        return "process unknown"
    since = datetime.fromtimestamp(int(row["since"]) / 1e9, UTC)
    return f"process {row['pid']} on {row['host']} since {since:%Y-%m-%d %H:%M:%S}Z"
