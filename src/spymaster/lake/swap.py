"""Damaged files out, the same rows in: a commit that changes no data, even if append-only."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from typing import Any

from spymaster.errors import LakeError
from spymaster.lake import delta, read
from spymaster.lake.parquet import Part
from spymaster.lake.place import fsync
from spymaster.lake.tables import Lake


def swap(
    lake: Lake, name: str, old: Sequence[str], new: Sequence[Part], now: int, *, keep: bool = False
) -> int:
    """Name `new` in the place of the files `old` (paths under the table); the version made.

    `keep` leaves the old files where they are, for readers of the version before.

    Delta calls it a rearrangement (``dataChange`` false), which an append-only table allows;
    delta-rs offers none that takes files of our own, so the commit is written here, as one file
    that appears whole or not at all. Local roots only. `now` ns UTC.
    """
    place, table = lake.place, lake.table(name)
    if place.local is None:
        raise LakeError(
            f"{lake.uri(name)}: files are repaired under a local root only. Copy the root here, "
            "or compute it anew."
        )
    opened = lake.open(name)
    rows = {r["path"]: r for r in read.files(opened).to_pylist()}
    stamp, operation = now // 1_000_000, "OPTIMIZE" if keep else "REPAIR"
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": stamp, "operation": operation, "engineInfo": "spymaster"}}
    ]
    if gone := sorted(set(old) - rows.keys()):
        raise LakeError(
            f"{name} at {lake.uri(name)}: {gone[0]} is no longer named; another run has exchanged "
            "it. Nothing was changed."
        )
    for path in old:
        row = rows[path]
        values = {p: str(row[f"partition.{p}"]) for p in table.partition}
        actions.append(
            {
                "remove": {
                    "path": path,
                    "deletionTimestamp": stamp,
                    "dataChange": False,
                    "extendedFileMetadata": True,
                    "partitionValues": values,
                    "size": row["size_bytes"],
                }
            }
        )
    for part in new:
        actions.append(
            {
                "add": {
                    "path": part.path,
                    "partitionValues": dict(part.partition),
                    "size": part.size,
                    "modificationTime": part.modified_ms,
                    "dataChange": False,
                    "stats": part.stats,
                }
            }
        )
    version = opened.version() + 1
    log = place.local / delta.folder(table) / "_delta_log"
    temporary = log / f".{uuid.uuid4().hex}.tmp"
    try:
        temporary.write_text("".join(json.dumps(a) + "\n" for a in actions), encoding="utf-8")
        fsync(temporary)
        os.link(temporary, log / f"{version:020d}.json")
        fsync(log)
    except OSError as e:
        raise LakeError(f"{name} at {lake.uri(name)}: files were not exchanged: {e}") from e
    finally:
        temporary.unlink(missing_ok=True)
    for path in () if keep else old:
        place.remove(f"{delta.folder(table)}/{path}")
    return version
