"""What a run that died left behind: files that no commit names, and copies that never ended."""

from __future__ import annotations

import logging

from spymaster.lake import delta, read
from spymaster.lake.tables import Lake

log = logging.getLogger(__name__)


def sweep(lake: Lake, tag: str) -> int:
    """Remove the unfinished files of the run with this tag; how many there were.

    Only for the holder of the lease, before it writes: nobody else may be at these files.
    """
    if lake.place.local is None or not tag:
        return 0
    found = []
    for name in lake.existing():
        folder = lake.place.local / delta.folder(lake.table(name))
        mine = [p.relative_to(folder).as_posix() for p in folder.rglob(f"*-{tag}-*.parquet")]
        if mine:
            named = set(read.files(lake.open(name))["path"].to_pylist())
            found += [folder / path for path in mine if path not in named]
    found += lake.place.local.glob("raw-dbn/*/*/*/.*")
    found += lake.place.local.glob("lake/.probe-*")
    for path in found:
        log.info("removed %s, which a run that died had left", path)
        path.unlink(missing_ok=True)
    return len(found)
