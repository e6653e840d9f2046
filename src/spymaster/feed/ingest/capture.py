"""A connection's bytes as a DBN file, on disk before anybody hears of them."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from databento_dbn import Metadata

from spymaster.errors import LakeError, SourceError
from spymaster.feed.capture_name import capture_name, captured_batch
from spymaster.feed.dbn import DbnReader
from spymaster.feed.dbn_records import Bytes
from spymaster.feed.dbn_write import make_metadata

FOLDER = "raw-dbn/.capture"


class Capture:
    """A DBN file of version 3 without a schema, that grows: mapping, system, definition and MBO.

    Plain while it grows, so that a record is in it for good once `write` returns, whatever
    happens to this process or to the power. `start`: its metadata's, ns UTC; it names the UTC
    day. `records`: of any type.
    """

    def __init__(self, folder: Path, dataset: str, start: int, batch_id: str) -> None:
        self.batch_id, self.start, self.records = batch_id, start, 0
        self.path = folder / capture_name(dataset, start, batch_id)
        self.metadata: Metadata = make_metadata(dataset, {}, start, schema=None)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            self._put(self.metadata.encode())
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def write(self, data: Bytes, count: int) -> None:
        """Append `count` whole records. LakeError when the disk does not take them."""
        try:
            self._put(data.data)
            os.fdatasync(self._file)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.records += count

    def close(self) -> None:
        """The file is whole and survives a power cut."""
        try:
            os.fsync(self._file)
            os.close(self._file)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _put(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]


def unfinished(folder: Path) -> list[Path]:
    """The captures that no landing has taken away, in the order in which they began."""
    found = [p for p in folder.glob("*.dbn") if captured_batch(p)]
    return sorted(found, key=lambda path: (_start(path), path.name))


def mend(path: Path) -> int:
    """Cut off the half record with which a capture ends; how many whole MBO records it has.

    A capture without any is removed: nobody has heard of it.
    """
    try:
        with DbnReader(path) as reader:
            count = sum(len(chunk.records) for chunk in reader.chunks())
            damage = reader.damage
    except SourceError:
        path.unlink()
        return 0
    if count == 0:
        path.unlink()
    elif damage is not None:
        os.truncate(path, damage.offset)
    return count


def _start(path: Path) -> int:
    """The metadata's start, which lies at a fixed place."""
    with path.open("rb") as file:
        head = file.read(34)
    return int(struct.unpack_from("<Q", head, 26)[0]) if len(head) == 34 else 0


def _unwritable(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"{path}: the capture cannot be written ({error.strerror or error}). What it holds is "
        "kept. Free the disk or repair it, and start spymaster ingest again."
    )
