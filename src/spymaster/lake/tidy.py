"""When a streamed session has ended its many small files become one per table."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spymaster.errors import LakeError
from spymaster.lake import delta, read
from spymaster.lake.swap import swap
from spymaster.lake.tables import Lake

log = logging.getLogger(__name__)

#: Where a pipeline notes which files were replaced, and of which sessions, for the next time.
_NOTES = "lake/checkpoints/{}/replaced.json"


_AT_ONCE = 1 << 17


def tidy(
    lake: Lake,
    tables: Sequence[str],
    partitions: Sequence[Mapping[str, str]],
    now: int,
    pipeline: str,
) -> None:
    """Make one file of each table's partition of a session. Only one at a time may do so.

    A commit that changes no data. The files before stay until the next session is tidied, for
    those who read an older version meanwhile; and what came for a session after its windows, till
    the next one began, becomes one file then. `now` ns UTC. Local roots only.
    """
    if lake.place.local is None:
        return
    notes = lake.place.local / _NOTES.format(pipeline)
    replaced_before, ended = _noted(notes)
    _remove(lake, replaced_before)
    replaced: dict[str, list[str]] = {}
    again = [p for p in ended if p not in partitions]
    for name in tables:
        if not lake.exists(name):
            continue
        for partition in (*again, *partitions):
            try:
                old = _one_file(lake, name, partition, now)
            except LakeError as error:
                log.warning("%s stays in small files: %s", name, error)
                continue
            replaced.setdefault(name, []).extend(old)
        opened = lake.open(name)
        opened.create_checkpoint()
        opened.cleanup_metadata()
    notes.parent.mkdir(parents=True, exist_ok=True)
    temporary = notes.with_suffix(".tmp")
    told = {"replaced": replaced, "ended": _latest([*again, *map(dict, partitions)])}
    temporary.write_text(json.dumps(told))
    temporary.rename(notes)


def _noted(notes: Path) -> tuple[dict[str, list[str]], list[dict[str, str]]]:
    """The files that were replaced, and the last sessions that were tidied."""
    try:
        told: Any = json.loads(notes.read_text())
        return dict(told["replaced"]), [dict(p) for p in told["ended"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}, []


def _latest(ended: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Of each underlier the last session."""
    by_date = sorted(ended, key=lambda p: p["session_date"])
    return list({p["underlier"]: dict(p) for p in by_date}.values())


def _remove(lake: Lake, replaced: Mapping[str, Sequence[str]]) -> None:
    for name, paths in replaced.items():
        if not lake.exists(name):
            continue
        named = set(read.files(lake.open(name))["path"].to_pylist())
        for path in paths:
            if path not in named:
                lake.place.remove(f"{delta.folder(lake.table(name))}/{path}")


def _one_file(lake: Lake, name: str, partition: Mapping[str, str], now: int) -> list[str]:
    table = lake.table(name)
    where = {k: v for k, v in partition.items() if k in table.partition}
    opened = lake.snapshot(name)  # others may append meanwhile: what is read is what is replaced
    files = read.files(opened).to_pylist()
    old = sorted(
        f["path"] for f in files if all(str(f[f"partition.{k}"]) == v for k, v in where.items())
    )
    if len(old) < 2 or (not where and len(old) < 100):
        return []
    filters = where or None
    with lake.writer(name, stem="tidy") as writer:
        for batch in read.batches(opened, lake.place, table, None, filters, _AT_ONCE, False):
            writer.write(batch)
    try:
        swap(lake, name, old, writer.parts, now, keep=True)
    except BaseException:
        lake.discard(name, writer.parts)
        raise
    return old
