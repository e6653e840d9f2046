"""Small tables that only grow: their many tiny files become one, so that a scan stays fast."""

from __future__ import annotations

import logging

from deltalake import DeltaTable

from spymaster.contracts.column import Table
from spymaster.contracts.stream import SUFFIX
from spymaster.errors import LakeError
from spymaster.lake import read
from spymaster.lake.swap import swap
from spymaster.lake.tables import Lake

log = logging.getLogger(__name__)

#: A scan opens every file; beyond so many it is felt.
MANY = 100
_AT_ONCE = 1 << 17


def compact(lake: Lake, now: int, many: int = MANY) -> list[str]:
    """Make one file of each small append-only table with more than `many`; the tables' names.

    A commit that changes no data, with the rows in the order of their commits. The files before
    stay for readers of an older version. Only for the holder of the lease. `now` ns UTC.
    """
    if lake.place.local is None:
        return []
    done = []
    for name, table in lake.tables.items():
        stream = name.endswith(SUFFIX)  # those are another pipeline's
        if not table.append or table.partition or stream or not lake.exists(name):
            continue
        opened = lake.snapshot(name)  # others may append: what is read is what is replaced
        old = sorted(read.files(opened)["path"].to_pylist())
        if len(old) > many:
            try:
                _one_file(lake, opened, table, old, now)
            except LakeError as error:
                # The run itself was good: a damaged file is for --verify to mend.
                log.warning("%s", error)
                continue
            done.append(name)
    return done


def _one_file(lake: Lake, opened: DeltaTable, table: Table, old: list[str], now: int) -> None:
    name = table.name
    # Named like a commit's file: it sorts behind what it holds and before what comes.
    with lake.writer(name, stem=f"{opened.version() + 1:020d}") as writer:
        for batch in read.batches(opened, lake.place, table, None, None, _AT_ONCE, False):
            writer.write(batch)
    try:
        swap(lake, name, old, writer.parts, now, keep=True)
    except BaseException:
        lake.discard(name, writer.parts)
        raise
    log.info("%s: %d files became one", name, len(old))
