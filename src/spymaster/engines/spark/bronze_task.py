"""A task's work on a landed file: decoded in bounded chunks by bronze's stage."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.engines.bronze_file import FileRead, quarantined
from spymaster.engines.source import bronze_stage, decode
from spymaster.engines.spark.staged import Piece, as_batch, packed, told
from spymaster.errors import SourceError, SpymasterError
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.envelope import envelope

Row = dict[str, Any]
MBO, QUARANTINE = "bronze.mbo", "bronze.quarantine"
#: Refused records that wait for their piece.
_REFUSED = 1 << 14


def bronze_task(
    row: Row,
    settings: Settings,
    instruments: Sequence[Instrument],
    chunk_records: int,
    now: int,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that Spark calls, in one task, for a manifest row's file; `now`: ns UTC."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:  # one row that says no more than: begin
            place = 0
            for pieces in pieces_of(row, settings, Instruments(instruments), chunk_records, now):
                yield as_batch(row["batch_id"], 0, place, pieces)
                place += len(pieces)

    return run


def pieces_of(
    row: Row, settings: Settings, instruments: Instruments, chunk_records: int, now: int
) -> Iterator[list[Piece]]:
    """What a landed file comes to; last what reading it came to, or the error that ended it."""
    read, stage = FileRead(row["path"]), bronze_stage(row, instruments, settings)
    try:
        with fetched(Lake(settings.root), row["path"]) as path:
            for chunk, done in decode(path, stage, settings, chunk_records, read):
                pieces = []
                for date, underlier, kind, at in stage.sessions(done.events):
                    rows = envelope(
                        chunk.records, done, at, stage.contracts, row["dataset"],
                        row["batch_id"], now, (date, underlier, kind),
                    )  # fmt: skip
                    pieces.append(packed(kind, MBO, rows))
                for first in range(0, len(done.refused), _REFUSED):
                    refused = [
                        quarantined(row, chunk, r.index, r.reason)
                        for r in done.refused[first : first + _REFUSED]
                    ]
                    pieces.append(packed("", QUARANTINE, _as_rows(refused)))
                yield pieces
    except (SpymasterError, OSError) as error:
        yield [told("", "error", str(error))]
        return
    yield [told("", "read", vars(read))]


def _as_rows(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, arrow_schema(TABLES[QUARANTINE]))


@contextmanager
def fetched(lake: Lake, path: str) -> Iterator[Path]:
    """A landed file on this machine: where it lies, or a copy of what an object store has."""
    if lake.place.local is not None:
        yield lake.place.local / path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.rpartition("/")[2]
        try:
            with (
                lake.place.filesystem().open_input_stream(path, compression=None) as source,
                copy.open("wb") as out,
            ):
                shutil.copyfileobj(source, out)
        except OSError as e:
            raise SourceError(f"{lake.place.uri(path)}: cannot be read ({e}). Is it there?") from e
        yield copy
