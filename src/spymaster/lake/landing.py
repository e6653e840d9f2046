"""A vendor's file comes under the root, once, byte for byte, and is never touched again."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from spymaster.errors import LakeError, SourceError
from spymaster.lake.manifest import Manifest
from spymaster.lake.parquet import SAFE
from spymaster.lake.place import Place, fsync
from spymaster.lake.tables import Lake

log = logging.getLogger(__name__)

_CHUNK = 1 << 23
_FICLONE = 0x40049409
#: What a file system says that cannot share blocks between these two files.
_NO_REFLINK = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS)


@dataclass(frozen=True)
class Delivery:
    """What a file holds, as its reader found it."""

    dataset: str
    schema: str
    underlier: str
    instrument_type: str  #: the main one; it names the folder
    instrument_types: tuple[str, ...]
    yyyymmdd: str  #: UTC day
    start: int  #: ns UTC
    end: int | None = None
    batch_id: str | None = None  #: what its rows are called already; else the checksum's start


@dataclass(frozen=True)
class Landed:
    """A file under the root, and its row of the manifest."""

    path: str  #: under the root
    uri: str
    row: dict[str, Any]
    new: bool  #: False: this checksum had landed before


def land(lake: Lake, source: Path, delivery: Delivery, now: int) -> Landed:
    """Copy a file into ``raw-dbn/{underlier}/{instrument_type}/{yyyymmdd}/`` and note it.

    Through a temporary file, fsync and rename, checksum while copying; blocks are shared where
    the file system can. A known checksum is not landed twice. A landed path with other bytes
    is refused with LakeError, before anything is noted. ``now``: ns UTC.
    """
    if not source.is_file():
        raise SourceError(f"{source}: no such file. Name a .dbn or .dbn.zst file.")
    path = _target(source, delivery)
    manifest = Manifest(lake)
    known = manifest.rows()
    size = source.stat().st_size
    if any(row["bytes"] == size for row in known.values()):
        # Probably a repeat: the checksum is cheaper than a copy.
        again = manifest.by_sha256(_sha256_of(source))
        if again is not None and lake.place.size(again["path"]) == size:
            log.info("%s: known as %s", source, again["path"])
            return Landed(again["path"], lake.place.uri(again["path"]), again, new=False)
    sha256 = _copy(lake.place, source, path, known.get(path))
    row = known.get(path)
    if row is None:
        row = _row(path, sha256, size, delivery, now)
        manifest.add(row)
    log.info("%s: landed as %s, %d bytes", source, path, size)
    return Landed(path, lake.place.uri(path), row, new=True)


def _target(source: Path, delivery: Delivery) -> str:
    parts = (delivery.underlier, delivery.instrument_type, delivery.yyyymmdd, source.name)
    for part in parts:
        if not SAFE.fullmatch(part):
            raise LakeError(
                f"{source}: {part!r} cannot name a folder or file under the root. "
                "Allowed are letters, digits, '.', '_' and '-'."
            )
    return "/".join(("raw-dbn", *parts))


def landed_row(source: Path, path: str, delivery: Delivery, now: int) -> dict[str, Any]:
    """The manifest's row of a file that lies at its path under the root. `now` ns UTC."""
    return _row(path, _sha256_of(source), source.stat().st_size, delivery, now)


def _row(path: str, sha256: str, size: int, delivery: Delivery, now: int) -> dict[str, Any]:
    return {
        "path": path,
        "sha256": sha256,
        "bytes": size,
        "schema": delivery.schema,
        "dataset": delivery.dataset,
        "start": delivery.start,
        "end": delivery.end,
        "last_mark": None,
        "underlier": delivery.underlier,
        "instrument_types": list(delivery.instrument_types),
        "records": None,
        "batch_id": delivery.batch_id or sha256[:16],
        "landed_at": now,
        "status": "landed",
    }


def _copy(place: Place, source: Path, path: str, row: dict[str, Any] | None) -> str:
    """Bring the bytes to their place; a path that holds other bytes stays as it is."""
    there = _sha256_at(place, path)
    landed = there or (row["sha256"] if row else None)
    if landed is not None:
        sha256 = _sha256_of(source)
        if sha256 != landed:
            raise LakeError(
                f"{place.uri(path)}: landed with sha256 {landed[:16]}..., and {source} has "
                f"{sha256[:16]}.... What has landed never changes: give the new file another name, "
                "or compute in a new root."
            )
        if there is not None:
            return sha256
    return _copy_local(place, source, path) if place.local else _copy_remote(place, source, path)


def _copy_local(place: Place, source: Path, path: str) -> str:
    assert place.local is not None
    target = place.local / path
    place.make_folder(path.rpartition("/")[0])
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with source.open("rb") as taken, temporary.open("xb") as given:
            sha256 = _clone(taken, given) or _stream(taken, given)
            given.flush()
            os.fsync(given.fileno())
        temporary.rename(target)
        fsync(target.parent)
    except OSError as e:
        raise LakeError(f"{target}: cannot be written ({e.strerror or e}).") from e
    finally:
        temporary.unlink(missing_ok=True)
    return sha256


def _copy_remote(place: Place, source: Path, path: str) -> str:
    with (
        source.open("rb") as taken,
        place.filesystem().open_output_stream(path, compression=None) as given,
    ):
        return _stream(taken, given)


def _clone(taken: BinaryIO, given: BinaryIO) -> str | None:
    """Share the source's blocks; the checksum of the copy, None where that cannot be done."""
    try:
        fcntl.ioctl(given.fileno(), _FICLONE, taken.fileno())
    except OSError as e:
        if e.errno not in _NO_REFLINK:
            raise
        return None
    return _sha256_of(Path(given.name))


def _stream(taken: BinaryIO, given: Any) -> str:
    digest = hashlib.sha256()
    while chunk := taken.read(_CHUNK):
        digest.update(chunk)
        given.write(chunk)
    return digest.hexdigest()


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_at(place: Place, path: str) -> str | None:
    if place.size(path) is None:
        return None
    digest = hashlib.sha256()
    with place.filesystem().open_input_stream(path, compression=None) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
