"""What a DBN file's bytes are, decompressed, up to where they are damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

ZSTD_MAGIC = bytes.fromhex("28b52ffd")
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_LONGEST_FRAME_HEADER = 18
_RLE = 1
_AT_ONCE = 1 << 20


class PlainBytes:
    """The bytes of an uncompressed file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.damage: str | None = None

    def readinto(self, view: memoryview) -> int:
        """Fill `view`; fewer bytes only at the end."""
        filled = 0
        while filled < len(view):
            got = self._file.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                break
            filled += got
        return filled

    def close(self) -> None:
        self._file.close()


class ZstdBytes:
    """The content of a zstd file, all its frames, up to where it is damaged.

    A block (128 KiB at most) is the unit in which zstd can be decoded. Whole runs of them are
    decoded straight into the caller's memory; where that fails, the file is gone through
    again one block at a time, so that nothing is lost which stands before the damaged one.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._given = 0
        self._salvage: Iterator[bytes] | None = None
        self._rest = b""
        self._pieces = Pieces(file)
        self._reader = zstandard.ZstdDecompressor().stream_reader(
            self._pieces,  # type: ignore[arg-type]  # all it asks for is read()
            read_across_frames=True,
            closefd=False,
        )

    @property
    def damage(self) -> str | None:
        return self._pieces.damage

    def readinto(self, view: memoryview) -> int:
        """Fill `view`; fewer bytes only at the end or where the damage begins."""
        filled = 0
        while filled < len(view):
            got = self._some(view[filled : filled + _AT_ONCE])
            if not got:
                break
            filled += got
            self._given += got
        return filled

    def _some(self, view: memoryview) -> int:
        if self._salvage is None:
            try:
                return self._reader.readinto(view)
            except zstandard.ZstdError:
                self._salvage = self._one_by_one(self._given)
        while not self._rest:
            block = next(self._salvage, None)
            if block is None:
                return 0
            self._rest = block
        got = min(len(view), len(self._rest))
        view[:got] = self._rest[:got]
        self._rest = self._rest[got:]
        return got

    def close(self) -> None:
        self._reader.close()  # type: ignore[no-untyped-call]
        self._file.close()

    def _one_by_one(self, skip: int) -> Iterator[bytes]:
        self._file.seek(0)
        self._pieces = pieces = Pieces(self._file)
        decoder = zstandard.ZstdDecompressor().decompressobj()
        while piece := pieces.read():
            if decoder.eof:
                decoder = zstandard.ZstdDecompressor().decompressobj()
            try:
                block = decoder.decompress(piece)
            except zstandard.ZstdError as error:
                words = str(error).removeprefix("zstd decompressor error: ").lower()
                pieces.damage = f"zstd cannot be decoded at byte {pieces.at} of the file: {words}"
                return
            yield block[skip:]
            skip = max(0, skip - len(block))


class Pieces:
    """A zstd file cut where it can be: frame headers, blocks, checksums.

    `at`: where in the file the last piece began. `damage` is set where the file ends early.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._cuts = self._cut()
        self.at = 0
        self.damage: str | None = None

    def read(self, _size: int = -1) -> bytes:
        """The next piece; empty at the end."""
        return next(self._cuts, b"")

    def _cut(self) -> Iterator[bytes]:
        while head := self._file.read(_LONGEST_FRAME_HEADER):
            if int.from_bytes(head[:4], "little") in _SKIPPABLE and len(head) >= 8:
                self.at += 8 + int.from_bytes(head[4:8], "little")
                self._file.seek(self.at)
                continue
            try:
                size = zstandard.frame_header_size(head)
                checksum = zstandard.get_frame_parameters(head).has_checksum
            except zstandard.ZstdError:
                self.damage = f"no zstd frame begins at byte {self.at} of the file"
                return
            yield head[:size]
            self._file.seek(self.at + size)
            yield from self._frame(self.at, 4 * checksum)
            if self.damage:
                return

    def _frame(self, start: int, checksum: int) -> Iterator[bytes]:
        last = False
        while not last:
            self.at = self._file.tell()
            header = self._file.read(3)
            word = int.from_bytes(header, "little")
            want = 1 if word >> 1 & 3 == _RLE else word >> 3
            body = self._file.read(want)
            last = bool(word & 1)
            if len(header) < 3 or len(body) < want:
                self.damage = (
                    f"the file ends at its byte {self._file.tell()}, inside the zstd frame "
                    f"that begins at byte {start}"
                )
                last = True
                checksum = 0
            yield header + body
        self.at = self._file.tell()
        if checksum:
            tail = self._file.read(checksum)
            if len(tail) < checksum:
                self.damage = f"the file ends before the checksum of the zstd frame at byte {start}"
            yield tail
            self.at = self._file.tell()


def open_bytes(path: Path) -> PlainBytes | ZstdBytes:
    """Open a file as plain or zstd, by its first bytes."""
    file = path.open("rb", buffering=1 << 20)
    head = file.read(4)
    file.seek(0)
    packed = head == ZSTD_MAGIC or int.from_bytes(head, "little") in _SKIPPABLE
    return ZstdBytes(file) if packed else PlainBytes(file)
