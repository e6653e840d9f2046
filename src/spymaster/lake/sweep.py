"""What a run that died left behind: files that no commit names, and copies that never ended."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from spymaster.contracts import alerts, learning, scores, stream
from spymaster.lake import delta, read
from spymaster.lake.spark_files import unnamed
from spymaster.lake.tables import Lake

log = logging.getLogger(__name__)

#: Several pipelines append to these.
SHARED = (
    "bronze.manifest",
    "bronze.definitions",
    "bronze.quarantine",
    "bronze.gaps",
    "gold.vector_spec",
    *(t.name for t in (*scores.TABLES, *alerts.TABLES, *learning.TABLES)),
)
STREAMED = {t.name for t in stream.TABLES}
#: Under a table's log: a commit of ours, and one of delta-rs, before they got their number.
_LOOSE_COMMITS = (
    "_delta_log/.*.tmp",
    "_delta_log/*#*",
    "_delta_log/*.tmp",
    "_delta_log/.*.tmp.crc",
)


def sweep(
    lake: Lake, tags: Sequence[str], tables: Sequence[str] | None = None, *, loose: bool = True
) -> int:
    """Remove the unfinished files of the runs with these tags; how many there were.

    Only for the holder of the lease, while nothing is being written: nobody else may be at these
    files. `tables`: the pipeline's own, beside those that pipelines share; None: all but a
    stream's, and what had not landed. `loose`: also commits without a number whosever they are;
    else, in a shared table, only those that name a file of these runs. And what Spark had begun:
    its files' names tell no run.
    """
    if lake.place.local is None or not tags:
        return 0
    found = []
    mine = [n for n in lake.tables if n not in STREAMED]
    if tables is not None:
        mine = list(dict.fromkeys((*tables, *SHARED)))
    for name in mine:
        table = lake.table(name)
        folder = lake.place.local / delta.folder(table)
        paths = [p for tag in tags for p in folder.rglob(f"*-{tag}-*.parquet")]
        if paths:
            # A run may die before the first commit of a table: all of its files are loose.
            there = lake.exists(name)
            named = set(read.files(lake.open(name))["path"].to_pylist()) if there else set()
            found += [p for p in paths if p.relative_to(folder).as_posix() not in named]
        commits = [p for pattern in _LOOSE_COMMITS for p in folder.glob(pattern)]
        found += [p for p in commits if loose or name not in SHARED or _names(p, tags)]
    if tables is None and loose:
        for name in mine:
            if name not in SHARED:
                found += unnamed(lake, name)
        found += lake.place.local.glob("raw-dbn/*/*/*/.*")
        found += lake.place.local.glob("lake/.probe-*")
    for path in dict.fromkeys(found):
        log.info("removed %s, which a run that died had left", path)
        path.unlink(missing_ok=True)
    return len(found)


def _names(commit: Path, tags: Sequence[str]) -> bool:
    """Does a commit name a file of one of these runs?"""
    try:
        text = commit.read_text(errors="replace")
    except FileNotFoundError:  # it has got its number
        return False
    return any(f"-{tag}-" in text for tag in tags)
