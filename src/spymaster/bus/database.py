"""The embedded bus's file: its tables, how it is opened, and what SQLite's errors mean."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from spymaster.errors import BusError
from spymaster.lake.place import fsync

VERSION = 1
#: Large pages carry large values faster; a commit writes whole pages, so not the largest.
PAGE = 16_384
#: A log of this many bytes is moved into the file after a commit.
CHECKPOINT = 16 << 20
#: An offset has 40 bits of a row's number, the lane (a topic's partition) what is above.
OFFSET_BITS = 40

_TABLES = """
CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL);
CREATE TABLE lane (
    id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, partition INTEGER NOT NULL,
    begin INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, partition)
);
CREATE TABLE message (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, size INTEGER NOT NULL,
    key TEXT, headers TEXT, value BLOB NOT NULL
);
CREATE TABLE reported (
    team TEXT NOT NULL, lane INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (team, lane)
) WITHOUT ROWID;
"""


def row_id(lane: int, offset: int) -> int:
    """The number of a lane's message in the one table of messages."""
    return lane << OFFSET_BITS | offset


def offset_of(row: int) -> int:
    return row & (1 << OFFSET_BITS) - 1


def make(path: Path) -> None:
    """Make the file where there is none, once, whoever else is about to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with telling(path), closing(_connection(path)) as db:
                if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    _make_tables(db)
        fsync(path.parent)
        fsync(path.parent.parent)
    except OSError as e:
        raise BusError(
            f"{path}: cannot be written ({e.strerror or e}). The embedded bus lies under the root: "
            "free it, or name another with --root."
        ) from e


def _make_tables(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA page_size = {PAGE}")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN EXCLUSIVE")
    for statement in _TABLES.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def connect(path: Path, sync: Literal["FULL", "NORMAL"] = "NORMAL") -> sqlite3.Connection:
    """A connection to the file; with FULL a commit has reached the disk when it returns."""
    with telling(path):
        db = _connection(path)
        try:
            found = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute(f"PRAGMA synchronous = {sync}")
            db.execute("PRAGMA secure_delete = OFF")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT // PAGE}")
        except BaseException:
            db.close()
            raise
    if found != VERSION:
        db.close()
        raise BusError(
            f"{path}: is a bus of version {found}; allowed: {VERSION}. Read it to its end with the "
            "version that wrote it, then move it away."
        )
    return db


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)


@contextmanager
def writing(db: sqlite3.Connection, path: Path, wait_s: float) -> Iterator[None]:
    """One transaction, all or nothing; other writers are waited for, at most `wait_s` seconds."""
    with telling(path):
        _begin(db, wait_s)
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _begin(db: sqlite3.Connection, wait_s: float) -> None:
    """SQLite's own waiting sleeps up to 100 ms; writers here hold the file for a few."""
    until = time.monotonic() + wait_s
    db.execute("PRAGMA busy_timeout = 4")
    try:
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as e:
                if not _code(e).startswith("SQLITE_BUSY") or time.monotonic() >= until:
                    raise
                time.sleep(0.0005)
    finally:
        db.execute("PRAGMA busy_timeout = 5000")


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """SQLite's errors as BusError, with what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.Error as e:
        raise BusError(f"{path}: {_meaning(_code(e))} ({e}).") from e


def _code(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


def _meaning(code: str) -> str:
    meanings = {
        "SQLITE_FULL": "there is no space left. Make room on its disk, then go on: nothing that "
        "was flushed is lost, and what was not was not written",
        "SQLITE_READONLY": "cannot be written. Let this user write the folder and its files, or "
        "name another root",
        "SQLITE_CANTOPEN": "cannot be opened. Let this user read and write the folder and its "
        "files, and look whether the disk is full or read-only",
        "SQLITE_BUSY": "is locked by another process. Look who holds it open (fuser), and end "
        "that process",
        "SQLITE_LOCKED": "is locked by another process. Look who holds it open (fuser), and end "
        "that process",
        "SQLITE_CORRUPT": "is damaged. Stop all that uses the bus, move its folder away, and "
        "start again: history comes from the landed files, and offsets begin at 0",
        "SQLITE_NOTADB": "is damaged, or no bus. Stop all that uses the bus, move its folder away, "
        "and start again: history comes from the landed files, and offsets begin at 0",
        "SQLITE_IOERR": "the disk failed. Look at the system's log; nothing that was flushed is "
        "lost if the disk keeps it",
    }
    for name, meaning in meanings.items():
        if code.startswith(name):
            return meaning
    return "cannot be used. If it was altered, move the bus's folder away and start again"
