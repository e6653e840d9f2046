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

#: Where it is noted which files were replaced: the next time they are removed.
_REPLACED = "lake/checkpoints/live/replaced.json"


def tidy(
    lake: Lake, tables: Sequence[str], partitions: Sequence[Mapping[str, str]], now: int
) -> None:
    """Make one file of each table's partition of a session. Only for the tables' one writer.

    A commit that changes no data. The files before stay until the next session is tidied, for
    those who read an older version meanwhile. `now` ns UTC. Local roots only.
    """
    if lake.place.local is None:
        return
    notes = lake.place.local / _REPLACED
    _remove(lake, _noted(notes))
    replaced: dict[str, list[str]] = {}
    for name in tables:
        if not lake.exists(name):
            continue
        for partition in partitions:
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
    temporary.write_text(json.dumps(replaced))
    temporary.rename(notes)


def _noted(notes: Path) -> dict[str, list[str]]:
    try:
        found: Any = json.loads(notes.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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
    files = read.files(lake.open(name)).to_pylist()
    old = sorted(
        f["path"] for f in files if all(str(f[f"partition.{k}"]) == v for k, v in where.items())
    )
    if len(old) < 2 or (not where and len(old) < 100):
        return []
    filters = where or None
    with lake.writer(name, stem="tidy") as writer:
        for batch in lake.batches(name, filters):
            writer.write(batch)
    try:
        swap(lake, name, old, writer.parts, now, keep=True)
    except BaseException:
        lake.discard(name, writer.parts)
        raise
    return old
