"""A stream that begins in the middle of a session: what landed files tell of it so far.

A book needs its last market snapshot, and levels need the session from its first window on. Where
the files that have landed reach from before that window to past the stream's first record, the
session begins with them, and the topic goes on; what both bring is dropped by its identity.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from spymaster.engines.captured_gaps import CapturedGaps
from spymaster.engines.source import DbnSource, Row, local_path
from spymaster.feed.dbn import DbnReader
from spymaster.lake import Lake
from spymaster.lake.manifest import Manifest, utc_day, without_replaced
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session
from spymaster.settings import Settings

_SCHEMAS = ("mbo", "mixed")
_CHUNK = 250_000


def files_before(lake: Lake, session: Session, since: int) -> list[Row]:
    """Landed files with which the session is known up to `since` (ns UTC); [] when they are short.

    In the order of the feed.
    """
    days = {f"{d:%Y%m%d}" for d in session.utc_days()}
    rows = [
        r
        for r in without_replaced(Manifest(lake).rows().values())
        if r["schema"] in _SCHEMAS
        and r["underlier"] == session.underlier
        and utc_day(r) in days
        and r["start"] <= since
    ]
    rows.sort(key=lambda r: (r["start"], r["path"]))
    if not rows or rows[0]["start"] > session.hull.start or any(_broken(r) for r in rows):
        return []
    return rows if _last(lake, rows[-1]) >= since else []


def _broken(row: Row) -> bool:
    return bool(row["status"] == "damaged")


def _last(lake: Lake, row: Row) -> int:
    """The last ts_recv of a landed file, ns UTC."""
    if row["last_mark"] is not None:
        return int(row["last_mark"])
    last = -1
    with DbnReader(local_path(lake, row["path"])) as reader:
        for chunk in reader.chunks(_CHUNK):
            if len(chunk.records):
                last = max(last, int(chunk.records["ts_recv"].max()))
    return last


def events_before(
    lake: Lake, settings: Settings, paths: Sequence[str]
) -> Iterator[tuple[Sequence[Instrument], NDArray[Any]] | list[Row]]:
    """(contracts, events) of landed files; before each file its gaps, rows of bronze.gaps."""
    manifest = Manifest(lake).rows()
    known = lake.scan("bronze.definitions", missing_ok=True).to_pylist()
    instruments = Instruments(Instrument.from_row(r) for r in known)
    gaps = CapturedGaps(lake)
    for path in paths:
        source = DbnSource(lake, settings, instruments, _CHUNK, seen=[path])
        yield gaps.before(manifest[path])
        yield from source.events({**manifest[path], "status": "landed"}, time.time_ns)
