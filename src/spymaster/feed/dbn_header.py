"""What a DBN file says of itself at its head, and which files are refused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

from databento_dbn import DBNError, Metadata, VersionUpgradePolicy

from spymaster.errors import SourceError
from spymaster.feed.dbn_bytes import PlainBytes, ZstdBytes, open_bytes

SCHEMAS = ("mbo", "definition")
_ASK = "Request schema='mbo' (or 'definition') with encoding='dbn' from Databento."
_AGAIN = "Download the file again."
_MOST_METADATA = 1 << 30
Source = PlainBytes | ZstdBytes
_UNDEF_TIME = 2**64 - 1


def file_day(metadata: Metadata, path: str | Path) -> date:
    """The UTC day a file belongs to: its metadata's start, else the date in its name."""
    if 0 < metadata.start < _UNDEF_TIME:
        return datetime.fromtimestamp(metadata.start // 10**9, UTC).date()
    for digits in re.findall(r"(?<!\d)(20\d{6})(?!\d)", Path(path).name):
        try:
            return datetime.strptime(digits, "%Y%m%d").date()
        except ValueError:
            continue
    raise SourceError(
        f"{path}: the metadata has no start and the file's name has no date; allowed: a start, "
        "or a name with yyyymmdd such as glbx-mdp3-20231225.mbo.dbn.zst. Rename the file."
    )


def open_source(path: Path) -> Source:
    """The file's bytes; SourceError where there are none to read."""
    try:
        return open_bytes(path)
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be opened ({error.strerror}); a readable DBN file is needed. "
            "Check the path."
        ) from error


def read_metadata(path: Path, source: Source) -> tuple[Metadata, int]:
    """The metadata at a file's head, in the file's own version, and its length in bytes.

    Raises SourceError: empty, not DBN, another version, truncated or corrupt.
    """
    head = _read(source, 8)
    _require_dbn(path, head, source)
    length = int.from_bytes(head[4:], "little")
    body = _read(source, min(length, _MOST_METADATA))
    if len(head) < 8 or len(body) < length:
        whole = 8 + length if len(head) == 8 else "8 or more"
        why = f" ({source.damage})" if source.damage else ""
        raise SourceError(
            f"{path}: the metadata header is truncated, {len(head) + len(body)} of {whole} bytes "
            f"are there{why}; a whole DBN file is needed. {_AGAIN}"
        )
    try:
        as_is = VersionUpgradePolicy.AS_IS
        metadata = Metadata.decode(head + body, as_is)  # type: ignore[arg-type]
    except DBNError as error:
        raise SourceError(
            f"{path}: the metadata header is corrupt ({error}); a whole DBN file is needed. "
            f"{_AGAIN}"
        ) from error
    return metadata, 8 + length


def schema_of(path: Path, metadata: Metadata) -> str | None:
    """The file's schema, None for a mixed capture; SourceError if no table takes it."""
    schema = None if metadata.schema is None else str(metadata.schema)
    if schema is not None and schema not in SCHEMAS:
        raise SourceError(
            f"{path}: schema {schema!r}, which no table takes; allowed: {', '.join(SCHEMAS)}, "
            f"or a live capture of mixed records. {_ASK}"
        )
    return schema


def _require_dbn(path: Path, head: bytes, source: Source) -> None:
    inside = "zstd that holds " if isinstance(source, ZstdBytes) else ""
    if not head:
        found = source.damage or f"{inside}no bytes"
        raise SourceError(f"{path}: {found}; allowed is DBN, plain or zstd. {_AGAIN}")
    if not b"DBN".startswith(head[:3]):
        found = f"{inside}no DBN, it begins with {head!r}"
        raise SourceError(f"{path}: {found}; allowed is DBN, plain or zstd. {_ASK}")
    if len(head) == 8 and head[3] not in (1, 2, 3):
        raise SourceError(
            f"{path}: DBN version {head[3]}; allowed are 1, 2, 3. "
            "Update spymaster and databento-dbn, or download the file again."
        )


def _read(source: Source, want: int) -> bytes:
    pieces: list[bytes] = []
    while want:
        piece = bytearray(min(want, 1 << 20))
        got = source.readinto(memoryview(piece))
        pieces.append(bytes(piece[:got]))
        want -= got
        if got < len(piece):
            break
    return b"".join(pieces)
