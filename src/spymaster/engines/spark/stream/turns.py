"""What a job has decided and where it stands, for good: under the lake, where tasks read it, too.

Of each micro-batch an intent is written before any task begins, under the names that Spark gives
query and batch, so that one which is repeated is the very same; and a state behind it, when all
its rows are in the tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import pyarrow.fs as pafs

from spymaster.engines.spark.contract_turn import Turn
from spymaster.engines.spark.extra import needed
from spymaster.errors import LakeError
from spymaster.lake.place import Place

#: Spark's names of what a task works for.
QUERY, BATCH = "sql.streaming.queryId", "streaming.sql.batchId"
_KEPT = 3


@dataclass(frozen=True)
class Intent:
    """Epoch `e`: a query's batch, what its contracts are told, and the driver's state then."""

    e: int
    query: str
    batch: int
    turn: Turn
    openings: Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """Where a job stands behind epoch `e`; `query` "" and `batch` -1 before the first."""

    e: int
    query: str
    batch: int
    start: int  #: the version of bronze.stream that it began with
    openings: Mapping[str, Any]


class TurnLog:
    """Intents and states of one job, in a folder of its lake.

    `check` raises when the job's lease has gone to another.
    """

    def __init__(self, place: Place, job: str, check: Callable[[], None]) -> None:
        self._place, self._check = place, check
        self._folder = f"{folder(job)}/turns"
        place.make_folder(self._folder)

    def intent(self, query: str, batch: int) -> Intent | None:
        """What was written down of a batch."""
        told = _read(self._place, self._path("intent", _name(query, batch)))
        return None if told is None else Intent(**{**told, "turn": Turn.from_json(told["turn"])})

    def write_intent(self, intent: Intent) -> None:
        """Write down what will be worked on."""
        told = {**vars(intent), "turn": intent.turn.to_json()}
        self._write(self._path("intent", _name(intent.query, intent.batch)), told)

    def state(self) -> State | None:
        """The newest state."""
        for name in sorted(self._names("state-"), reverse=True):
            told = _read(self._place, f"{self._folder}/{name}")
            if told is not None:
                return State(**told)
        return None

    def write_state(self, state: State) -> None:
        """Keep the state behind an epoch, and the one before it."""
        self._write(self._path("state", f"{state.e:012d}"), vars(state))
        for name in sorted(self._names("state-"), reverse=True)[_KEPT:]:
            self._place.remove(f"{self._folder}/{name}")
        if state.batch >= _KEPT:
            self._place.remove(self._path("intent", _name(state.query, state.batch - _KEPT)))

    def _path(self, kind: str, name: str) -> str:
        return f"{self._folder}/{kind}-{name}.json"

    def _names(self, prefix: str) -> list[str]:
        found = self._place.filesystem().get_file_info(
            pafs.FileSelector(self._folder, allow_not_found=True)
        )
        return [f.base_name for f in found if f.base_name.startswith(prefix)]

    def _write(self, path: str, told: Mapping[str, Any]) -> None:
        self._check()
        write(self._place, path, _sealed(json.dumps(told).encode()))


def folder(job: str) -> str:
    """Where a job keeps what it needs to go on, under the root."""
    return f"lake/checkpoints/{job}"


def write(place: Place, path: str, data: bytes) -> None:
    """A file for good, whole or not at all: by another name first on a disk, at once in a store."""
    files = place.filesystem()
    written = path if place.local is None else f"{path.rpartition('/')[0]}/.tmp"
    try:
        with files.open_output_stream(written) as out:
            out.write(data)
        if written != path:
            place.keep(written)
            files.move(written, path)
            place.keep(path)
    except OSError as e:
        raise LakeError(f"{place.uri(path)}: cannot be written ({e.strerror or e}).") from e


def _name(query: str, batch: int) -> str:
    return f"{query}-{batch:012d}"


def _sealed(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).hexdigest().encode() + b"\n" + body


def _read(place: Place, path: str) -> dict[str, Any] | None:
    """What a file tells; None where there is none, or it is not whole."""
    try:
        with place.filesystem().open_input_stream(path) as file:
            digest, _, body = bytes(file.read()).partition(b"\n")
    except FileNotFoundError:
        return None
    if blake2b(body, digest_size=16).hexdigest().encode() != digest:
        return None
    found: dict[str, Any] = json.loads(body)
    return found


def turn_of_task(root: str, job: str) -> Turn:
    """In a task: what its micro-batch tells every contract."""
    context = needed("pyspark").TaskContext.get()
    query, batch = context.getLocalProperty(QUERY), context.getLocalProperty(BATCH)
    return _turn(root, job, str(query), int(batch))


@lru_cache(maxsize=2)
def _turn(root: str, job: str, query: str, batch: int) -> Turn:
    path = f"{folder(job)}/turns/intent-{_name(query, batch)}.json"
    told = _read(Place(root), path)
    if told is None:
        raise LakeError(
            f"{root}/{path}: a task cannot read what its batch shall do. The root must be a place "
            "that every node of the cluster reaches under this name."
        )
    return Turn.from_json(told["turn"])
