"""What the embedded bus may let go: read by every group, and too old or too much."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing
from heapq import merge
from typing import NamedTuple

from spymaster.bus.database import PAGE, offset_of, row_id
from spymaster.settings import EmbeddedBusSettings

#: Free space that is kept for reuse before the file is made smaller, in pages.
_SPARE = (64 << 20) // PAGE
#: How much the file is made smaller by in one transaction, in pages.
_GIVEN_BACK = 256


class _Old(NamedTuple):
    time: int
    row: int
    size: int
    lane: int


def held_bytes(db: sqlite3.Connection, topic: int) -> int:
    """Bytes that a topic takes in the file."""
    found = db.execute("SELECT sum(bytes) FROM lane WHERE topic = ?", (topic,)).fetchone()[0]
    return int(found or 0)


def trim(
    db: sqlite3.Connection,
    topic: int,
    limits: EmbeddedBusSettings,
    now: int,
    coming: int,
    piece: int,
) -> int:
    """Delete a topic's oldest messages within the open transaction; bytes that were freed.

    Only what every group is past, never a partition's newest; while they are older than
    `keep_hours`, or the topic with `coming` bytes more is above `keep_bytes`. About `piece` bytes
    at most. `now` ns UTC.
    """
    excess = held_bytes(db, topic) + coming - limits.keep_bytes
    oldest = now - int(limits.keep_hours * 3_600_000_000_000)
    freed: dict[int, int] = {}
    past: dict[int, int] = {}
    total = 0
    with ExitStack() as walks:
        lanes = [walks.enter_context(closing(walk)) for walk in _free_to_go(db, topic)]
        for old in merge(*lanes):
            if total >= piece or (old.time >= oldest and total >= excess):
                break
            total += old.size
            freed[old.lane] = freed.get(old.lane, 0) + old.size
            past[old.lane] = offset_of(old.row) + 1
    for lane, begin in past.items():
        db.execute(
            "DELETE FROM message WHERE id >= ? AND id < ?", (row_id(lane, 0), row_id(lane, begin))
        )
        db.execute(
            "UPDATE lane SET begin = ?, bytes = bytes - ? WHERE id = ?", (begin, freed[lane], lane)
        )
    return total


def _free_to_go(db: sqlite3.Connection, topic: int) -> list[Generator[_Old, None, None]]:
    """Per partition, the messages below every group's offset and the newest, oldest first."""
    lanes = db.execute(
        "SELECT l.id, l.begin, min(l.next - 1, coalesce(min(r.next), l.next)) FROM lane l"
        " LEFT JOIN reported r ON r.lane = l.id WHERE l.topic = ? GROUP BY l.id",
        (topic,),
    ).fetchall()
    return [_rows(db, lane, begin, end) for lane, begin, end in lanes if end > begin]


def _rows(db: sqlite3.Connection, lane: int, begin: int, end: int) -> Generator[_Old, None, None]:
    asked = (row_id(lane, begin), row_id(lane, end))
    with closing(db.cursor()) as rows:
        rows.execute(
            "SELECT time, id, size FROM message WHERE id >= ? AND id < ? ORDER BY id", asked
        )
        for time, row, size in rows:
            yield _Old(time, row, size, lane)


def give_back(db: sqlite3.Connection) -> None:
    """Make the file a little smaller where most of it is free; the rest is used again."""
    free = db.execute("PRAGMA freelist_count").fetchone()[0]
    if free > _SPARE and 2 * free > db.execute("PRAGMA page_count").fetchone()[0]:
        for _ in range(_GIVEN_BACK):
            # The module takes one step of this statement, which is one page.
            db.execute("PRAGMA incremental_vacuum(1)")


def holder(db: sqlite3.Connection, topic: int) -> str:
    """Who keeps a topic from letting go, as half a sentence."""
    found = db.execute(
        "SELECT r.team, l.partition, r.next, l.next, l.next - r.next FROM lane l"
        " JOIN reported r ON r.lane = l.id WHERE l.topic = ? ORDER BY 5 DESC LIMIT 1",
        (topic,),
    ).fetchone()
    if found is None:
        return "no group has reported, and each partition's newest message stays"
    team, partition, at, end, behind = found
    return (
        f"group {team} holds it, at offset {at} of {end} in partition {partition}, "
        f"{behind} messages behind"
    )
