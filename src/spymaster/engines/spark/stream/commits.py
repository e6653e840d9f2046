"""The commits of bronze.stream: which files each brought, and its word on what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.fs as pafs

from spymaster.contracts import TABLES
from spymaster.errors import LakeError
from spymaster.feed.topic import Gap
from spymaster.lake import Lake, delta

STREAM = "bronze.stream"


class Span(NamedTuple):
    """A venue's part in a commit: its first and last ts_recv (None: none), ns UTC.

    `since`: the first that the job which wrote it ever read; `book`: that began with a market
    snapshot; `mark`: what all partitions of the topic have passed, None: not known yet.
    """

    low: int | None
    high: int | None
    since: int | None
    book: bool
    mark: int | None


@dataclass(frozen=True)
class StreamCommit:
    """One commit with rows of the topic.

    `begins`: of each partition of the topic the offset at which it begins. `offsets`: those behind
    it. `contracts`: the ones that are new in it.
    """

    version: int
    files: Sequence[str]
    begins: Mapping[int, int]
    offsets: Mapping[int, int]
    venues: Mapping[str, Span]
    gaps: Sequence[tuple[Gap, int]]
    contracts: Sequence[str]


class StreamLog:
    """Reads the log of bronze.stream."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._folder = f"{delta.folder(TABLES[STREAM])}/_delta_log"

    def newest(self) -> int:
        """The table's version now; -1 when there is none."""
        version = self._lake.version(STREAM)
        return -1 if version is None else version

    def oldest(self) -> int:
        """The first version that the log still tells; 0 for a log that tells nothing."""
        found = self._lake.place.filesystem().get_file_info(
            pafs.FileSelector(self._folder, allow_not_found=True)
        )
        names = [f.base_name.partition(".") for f in found]
        return min((int(n) for n, _, end in names if end == "json" and n.isdigit()), default=0)

    def between(self, behind: int, upto: int) -> list[StreamCommit]:
        """The commits of versions (`behind`, `upto`] that hold rows of the topic."""
        found = [self._read(version) for version in range(behind + 1, upto + 1)]
        return [c for c in found if c is not None]

    def _read(self, version: int) -> StreamCommit | None:
        path = f"{self._folder}/{version:020d}.json"
        try:
            with self._lake.place.filesystem().open_input_stream(path) as file:
                lines = file.read().decode().splitlines()
        except FileNotFoundError as error:
            raise LakeError(
                f"{STREAM} version {version}: its log is gone, and with it the order of its rows: "
                "the job was behind for longer than the log is kept. Begin it anew."
            ) from error
        actions = [json.loads(line) for line in lines if line.strip()]
        files = [
            a["add"]["path"].rpartition("/")[2]
            for a in actions
            if "add" in a and a["add"].get("dataChange", True)
        ]
        info: dict[str, Any] = next((a["commitInfo"] for a in actions if "commitInfo" in a), {})
        if "userMetadata" not in info:
            if files:
                raise LakeError(
                    f"{STREAM} version {version}: not written by rt__mbo_raw_to_bronze, so it does "
                    "not tell what a contract needs to know. Begin behind it, by a handover."
                )
            return None
        told = json.loads(info["userMetadata"])
        return _commit(version, files, told) if "venues" in told else None


def _commit(version: int, files: Sequence[str], told: Mapping[str, Any]) -> StreamCommit:
    return StreamCommit(
        version=version,
        files=files,
        begins={int(p): int(o) for p, o in told["begins"].items()},
        offsets={int(p): int(o) for p, o in told["offsets"].items()},
        venues={
            venue: Span(v["low"], v["high"], v["since"], bool(v["with_book"]), v["mark"])
            for venue, v in told["venues"].items()
        },
        gaps=[
            (Gap(g["venue"], g["from_ts"], g["to_ts"], g["reason"]), int(g["partition"]))
            for g in told["gaps"]
        ],
        contracts=told["contracts"],
    )
