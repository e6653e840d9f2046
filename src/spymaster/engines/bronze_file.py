"""One landed file on its way into bronze: all of its rows in one commit, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spymaster.feed.dbn import Chunk
from spymaster.lake import Lake
from spymaster.lake.manifest import Manifest
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN, Processed
from spymaster.stages.envelope import envelope

Row = dict[str, Any]


@dataclass
class FileRead:
    """What reading one landed file came to."""

    path: str
    records: int = 0
    new: int = 0
    skipped: int = 0
    refused: int = 0
    last_mark: int | None = None
    damage: str | None = None


class BronzeFile:
    """Rows of one file for bronze.mbo and bronze.quarantine; the manifest says `ingested` last.

    A crash anywhere leaves nothing that a rerun would not find or repeat: each commit carries
    the file's batch_id as its application, so it happens once.
    """

    def __init__(self, lake: Lake, row: Row, stage: BronzeProcessDBN, now: Callable[[], int]):
        self._lake, self._row, self._stage, self._now = lake, row, stage, now
        self._writer = lake.writer("bronze.mbo", stem=row["batch_id"])
        self._refused: list[Row] = []

    def write(self, chunk: Chunk, done: Processed) -> None:
        """Take a chunk of the file after bronze's stage."""
        for date, underlier, kind, at in self._stage.sessions(done.events):
            rows = envelope(
                chunk.records[done.sources[at]],
                done.events[at],
                self._stage.contracts,
                self._row["dataset"],
                self._row["batch_id"],
                self._now(),
                (date, underlier, kind),
            )
            self._writer.write(
                rows, {"session_date": date, "underlier": underlier, "instrument_type": kind}
            )
        for r in done.refused:
            self._refused.append(self._quarantined(chunk, r.index, r.reason))

    def _quarantined(self, chunk: Chunk, index: int, reason: str) -> Row:
        record = chunk.records[index]
        return {
            "source": self._row["path"],
            "offset": chunk.number(index),
            "reason": reason,
            "ts_recv": int(record["ts_recv"]),
            "instrument_id": int(record["instrument_id"]),
            "raw": record.tobytes().hex(),
            "batch_id": self._row["batch_id"],
        }

    def commit(self, read: FileRead) -> None:
        """All of the file is read: make it visible."""
        batch, lake = self._row["batch_id"], self._lake
        parts, self._writer = self._writer.close(), lake.writer("bronze.mbo")
        if lake.append("bronze.mbo", parts, (f"bronze.mbo/{batch}", 1)).written:
            read.new = read.records - read.skipped - read.refused
        if self._refused:
            lake.append_rows("bronze.quarantine", self._refused, (f"bronze.quarantine/{batch}", 1))
        if read.damage:
            lake.append_rows("bronze.gaps", [self._gap(read)], (f"bronze.gaps/{batch}", 1))
        Manifest(lake).set_status(
            self._row["path"],
            "damaged" if read.damage else "ingested",
            self._now(),
            records=read.records,
            last_mark=read.last_mark,
        )

    def _gap(self, read: FileRead) -> Row:
        row = self._row
        start = read.last_mark or row["start"]
        return {
            "venue": row["dataset"],
            "underlier": row["underlier"],
            "from_ts": start,
            "to_ts": row["end"] or start,
            "reason": f"{row['path']} is readable up to {read.damage}",
            "batch_id": row["batch_id"],
        }

    def abandon(self) -> None:
        """Remove what is not committed."""
        self._writer.abandon()
