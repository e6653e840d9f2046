"""Where a day's events come from: the landed DBN file, or bronze. Both give the same events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from spymaster.engines.bronze_file import BronzeFile, FileMade, FileRead
from spymaster.errors import SourceError
from spymaster.feed.capture_name import captured_batch
from spymaster.feed.control import Control
from spymaster.feed.dbn import Chunk, DbnReader
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN, Processed
from spymaster.stages.envelope import EVENT_COLUMNS, events_of

Events = tuple[Sequence[Instrument], NDArray[Any]]
Row = dict[str, Any]


class Source(Protocol):
    """A day's file as events in feed order; `last_read` after the last of them."""

    last_read: FileRead
    made: list[FileMade]

    def events(self, row: Row, now: Callable[[], int]) -> Iterator[Events]:
        """(contracts, events indexing them) of a manifest row's file."""
        ...


class DbnSource:
    """Decodes a landed file into bronze on the way; one that is in bronze is read from there.

    What was learnt since a file came into bronze (a definition that came late) changes nothing
    that bronze has. `made` gathers the files whose rows wait to be shown; of those in `seen`
    somebody else makes the rows. `into`: another lake, for those rows.
    """

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        instruments: Instruments,
        chunk_records: int,
        seen: Sequence[str] = (),
        into: Lake | None = None,
    ) -> None:
        self.last_read = FileRead("")
        self.made: list[FileMade] = []
        self._instruments = instruments
        self._lake, self._settings, self._chunk = lake, settings, chunk_records
        self._bronze = BronzeSource(lake, instruments, chunk_records)
        self._seen, self._into = seen, into or lake

    def events(self, row: Row, now: Callable[[], int]) -> Iterator[Events]:
        """The events of a landed file. SourceError when it is gone or not what landed."""
        if row["status"] != "landed":
            yield from self._bronze.events(row, now)
            self.last_read = self._bronze.last_read
            return
        self.last_read = read = FileRead(row["path"])
        stage = bronze_stage(row, self._instruments, self._settings)
        into = None if row["path"] in self._seen else BronzeFile(self._into, row, stage, now)
        try:
            path = local_path(self._lake, row["path"])
            for chunk, done in decode(path, stage, self._settings, self._chunk, read):
                if into is not None:
                    into.write(chunk, done)
                yield stage.contracts, done.events
            if into is not None:
                self.made.append(into.close(read))
        except BaseException:
            if into is not None:
                into.abandon()
            raise


def bronze_stage(row: Row, instruments: Instruments, settings: Settings) -> BronzeProcessDBN:
    """The stage that a manifest row's file goes through."""
    batch = captured_batch(row["path"])
    if batch is not None:
        # A capture's own word holds from its place on, as it did when it was live.
        instruments = instruments.without(batch)
    return BronzeProcessDBN(row["dataset"], instruments, settings.underlier)


def decode(
    path: Path, stage: BronzeProcessDBN, settings: Settings, chunk_records: int, read: FileRead
) -> Iterator[tuple[Chunk, Processed]]:
    """A landed file, at `path`, through its stage; `read.path` is its place under the root.

    `read` takes what reading comes to: all of it after the last chunk.
    """
    with DbnReader(path) as reader:
        mixed = reader.metadata.schema is None
        control = Control(reader.metadata, settings.underlier, captured_batch(read.path))
        for chunk in reader.chunks(chunk_records):
            learnt = control.take(chunk) if mixed else ()
            done = stage.advance(chunk.records, learnt)
            read.records += len(chunk.records)
            read.skipped += done.skipped
            read.refused += len(done.refused)
            yield chunk, done
        if reader.damage is not None:
            read.damage = f"record {reader.damage.record}: {reader.damage.reason}"
    read.last_mark = stage.last_mark


def local_path(lake: Lake, path: str) -> Path:
    """A landed file's place on this machine."""
    if lake.place.local is None:
        raise SourceError(
            f"{lake.place.uri(path)}: landed files are decoded from a local root only. "
            "Use a folder as root, or the Spark engine."
        )
    return lake.place.local / path


class BronzeSource:
    """Reads bronze.mbo back, file by file as they landed, in the feed's order.

    `only`: columns and values; rows that have others are left where they are.
    """

    def __init__(
        self,
        lake: Lake,
        instruments: Instruments,
        chunk_records: int,
        only: Mapping[str, Any] | None = None,
    ) -> None:
        self.last_read = FileRead("")
        self.made: list[FileMade] = []
        self._lake, self._chunk = lake, chunk_records
        self._known = instruments.by_contract()
        self._steps = {k: int(v.price_step or 1) for k, v in self._known.items()}
        self._only = dict(only or {})

    def events(self, row: Row, now: Callable[[], int]) -> Iterator[Events]:
        """The events of one landed file, from its rows in bronze."""
        self.last_read = read = FileRead(row["path"])
        if row["status"] == "landed":
            raise SourceError(
                f"{row['path']} has landed and is not in bronze. Run: spymaster hist bronze"
            )
        names: list[str] = []
        for batch in self._lake.batches(
            "bronze.mbo",
            {"batch_id": row["batch_id"], **self._only},
            EVENT_COLUMNS,
            self._chunk,
            dictionary=True,
        ):
            events = events_of(batch, names, self._steps)
            read.records += len(events)
            yield [self._known[n] for n in names], events
        read.last_mark = row["last_mark"]
        if row["status"] == "damaged":
            read.damage = f"record {row['records']}: see bronze.gaps"
