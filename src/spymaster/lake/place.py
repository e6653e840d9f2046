"""Where the lake lies: a folder or an object store, behind one small seam for files."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

from spymaster.errors import LakeError


class Place:
    """A root and the files under it, by relative path with ``/``.

    On a local disk what was promised is fsynced; an object store's write is durable when it ends.
    """

    def __init__(self, root: str | Path, storage_options: dict[str, str] | None = None) -> None:
        text = str(root)
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        self.local = None if "://" in text else Path(text).absolute()
        self.root = text.rstrip("/") if self.local is None else str(self.local)
        self.options = storage_options

    def uri(self, relative: str) -> str:
        return f"{self.root}/{relative}"

    def filesystem(self, relative: str = "") -> Any:
        """A pyarrow file system whose root is this folder."""
        if self.local is not None:
            return pafs.SubTreeFileSystem(self.uri(relative).rstrip("/"), pafs.LocalFileSystem())
        return pafs.PyFileSystem(_ObjectStore(self.uri(relative).rstrip("/"), self.options))

    def make_folder(self, relative: str) -> None:
        """Make a folder so that it survives a power cut; object stores have none."""
        if self.local is None:
            return
        folder = self.local / relative
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            fsync(made.parent)

    def keep(self, relative: str) -> None:
        """A finished file and its name in the folder survive a power cut."""
        if self.local is not None:
            fsync(self.local / relative)
            fsync((self.local / relative).parent)

    def size(self, relative: str) -> int | None:
        """Bytes of a file, None if there is none."""
        info = self.filesystem().get_file_info(relative)
        return int(info.size) if info.is_file else None

    def modified_ms(self, relative: str) -> int:
        info = self.filesystem().get_file_info(relative)
        return int((info.mtime_ns or 0) // 1_000_000)

    def remove(self, relative: str) -> None:
        if self.size(relative) is not None:
            self.filesystem().delete_file(relative)

    def check_writable(self) -> None:
        """Raise LakeError, before any work is done, when nothing can be written under the root."""
        probe = f"lake/.probe-{uuid.uuid4().hex}"
        try:
            self.make_folder("lake")
            with self.filesystem().open_output_stream(probe) as out:
                out.write(b"spymaster")
            self.keep(probe)
            self.remove(probe)
        except OSError as e:
            raise LakeError(
                f"{self.root}: cannot be written ({e.strerror or e}). A root is a folder that this "
                "user may write, or an object store. Free it, or name another with --root."
            ) from e


class _ObjectStore(DeltaStorageHandler):
    """delta-rs' object store, whose streams take bytes where pyarrow hands out buffers."""

    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> Any:
        return pa.PythonFile(_BytesOnly(self._handler.open_output_stream(path, metadata)), mode="w")


class _BytesOnly:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def write(self, data: Any) -> None:
        self._stream.write(bytes(data))

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def fsync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
