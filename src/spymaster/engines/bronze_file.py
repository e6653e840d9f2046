"""One landed file on its way into bronze: its rows as Parquet, shown by one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spymaster.engines.background import Background
from spymaster.feed.dbn import Chunk
from spymaster.lake import Lake, Part
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


@dataclass
class FileMade:
    """A whole file's rows, written and not yet shown."""

    row: Row
    read: FileRead
    parts: list[Part]
    refused: list[Row] = field(default_factory=list)


class BronzeFile:
    """Writes one file's rows for bronze.mbo, on a thread of its own, while it is being decoded."""

    def __init__(self, lake: Lake, row: Row, stage: BronzeProcessDBN, now: Callable[[], int]):
        self._row, self._stage, self._now = row, stage, now
        self._writer = lake.writer("bronze.mbo", stem=row["batch_id"])
        self._thread = Background("bronze")
        self._refused: list[Row] = []

    def write(self, chunk: Chunk, done: Processed) -> None:
        """Take a chunk of the file after bronze's stage."""
        for date, underlier, kind, at in self._stage.sessions(done.events):
            contracts = self._stage.contracts[:]
            self._thread.submit(self._write, chunk, done, contracts, (date, underlier, kind), at)
        for r in done.refused:
            self._refused.append(quarantined(self._row, chunk, r.index, r.reason))

    def _write(
        self, chunk: Chunk, done: Processed, contracts: Any, partition: tuple[Any, ...], at: Any
    ) -> None:
        date, underlier, kind = partition
        rows = envelope(
            chunk.records,
            done,
            at,
            contracts,
            self._row["dataset"],
            self._row["batch_id"],
            self._now(),
            (date, underlier, kind),
        )
        self._writer.write(
            rows, {"session_date": date, "underlier": underlier, "instrument_type": kind}
        )

    def close(self, read: FileRead) -> FileMade:
        """All of the file is read: its Parquet files, on disk for good."""
        self._thread.wait()
        return FileMade(self._row, read, self._writer.close(), self._refused)

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._thread.stop()
        self._writer.abandon()


def quarantined(row: Row, chunk: Chunk, index: int, reason: str) -> Row:
    """The row of bronze.quarantine for a refused record of a manifest row's file."""
    record = chunk.records[index]
    return {
        "source": row["path"],
        "offset": chunk.number(index),
        "reason": reason,
        "ts_recv": int(record["ts_recv"]),
        "instrument_id": int(record["instrument_id"]),
        "raw": record.tobytes().hex(),
        "batch_id": row["batch_id"],
    }


def show_file(lake: Lake, made: FileMade, now: int) -> FileRead:
    """Commit a file: rows, quarantine, gap, and `ingested` in the manifest last.

    A crash anywhere leaves nothing that a rerun would not find or repeat: each commit carries
    the file's batch_id as its application, so it happens once. `now` ns UTC.
    """
    row, read = made.row, made.read
    batch = row["batch_id"]
    if lake.append("bronze.mbo", made.parts, (f"bronze.mbo/{batch}", 1)).written:
        read.new = read.records - read.skipped - read.refused
    if made.refused:
        lake.append_rows("bronze.quarantine", made.refused, (f"bronze.quarantine/{batch}", 1))
    note_file(lake, row, read, now)
    return read


def note_file(lake: Lake, row: Row, read: FileRead, now: int) -> None:
    """All rows of a file are committed: its gap, and the manifest last."""
    if read.damage:
        batch = row["batch_id"]
        lake.append_rows("bronze.gaps", [gap_of(row, read)], (f"bronze.gaps/{batch}", 1))
    Manifest(lake).set_status(
        row["path"],
        "damaged" if read.damage else "ingested",
        now,
        records=read.records,
        last_mark=read.last_mark,
    )


def gap_of(row: Row, read: FileRead) -> Row:
    """The row of bronze.gaps for a file that is readable only up to some record."""
    start = read.last_mark or row["start"]
    return {
        "venue": row["dataset"],
        "underlier": row["underlier"],
        "from_ts": start,
        "to_ts": row["end"] or start,
        "reason": f"{row['path']} is readable up to {read.damage}",
        "batch_id": row["batch_id"],
    }
