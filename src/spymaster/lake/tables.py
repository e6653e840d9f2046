"""The lake: every table by name, rows in by whole files and one commit, rows out in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from spymaster.contracts import TABLES
from spymaster.contracts.arrow import arrow_schema
from spymaster.contracts.column import Table
from spymaster.errors import LakeError
from spymaster.lake import commit, delta, read
from spymaster.lake.commit import Commit
from spymaster.lake.parquet import ROW_GROUP, Part, PartWriter, partition_text
from spymaster.lake.place import Place

ATTEMPTS = 20


class Lake:
    """The tables under one root, a folder or ``abfss://...``, each as its contract says.

    Threads may share a Lake; processes make their own (and are spawned, not forked). ``tag`` is a
    part of the names of the files that this Lake writes, so that those of a run can be told.
    """

    def __init__(
        self,
        root: str | Path,
        storage_options: dict[str, str] | None = None,
        tables: Mapping[str, Table] | None = None,
        tag: str = "",
    ) -> None:
        self.place = Place(root, storage_options)
        self.tables = dict(TABLES if tables is None else tables)
        self._tag = f"-{tag}" if tag else ""
        self._opened: dict[str, DeltaTable] = {}
        self._lock = threading.RLock()

    # What there is

    @property
    def root(self) -> str:
        return self.place.root

    def table(self, name: str) -> Table:
        """The contract of a table."""
        if name not in self.tables:
            raise LakeError(f"{name} is no table. Tables are: {', '.join(self.tables)}.")
        return self.tables[name]

    def uri(self, name: str) -> str:
        return self.place.uri(delta.folder(self.table(name)))

    def exists(self, name: str) -> bool:
        return self._find(name) is not None

    def existing(self) -> list[str]:
        """The tables that are there, in the contracts' order."""
        return [name for name in self.tables if self.exists(name)]

    def version(self, name: str) -> int | None:
        """The newest version of a table, None if there is none."""
        found = self._find(name)
        return None if found is None else found.version()

    def transaction_version(self, name: str, app_id: str) -> int | None:
        """The last epoch that this writer committed to a table."""
        found = self._find(name)
        return None if found is None else found.transaction_version(app_id)

    def partitions(self, name: str) -> list[dict[str, str]]:
        """The partitions that hold files, sorted."""
        found = self._find(name)
        return [] if found is None else read.partitions(found, self.table(name))

    def open(self, name: str) -> DeltaTable:
        """The table as it stands now, or LakeError saying which tables exist and how to make it."""
        found = self._find(name)
        if found is None:
            raise LakeError(
                f"{self.uri(name)}: no table {name}. In {self.root} there are: "
                f"{', '.join(self.existing()) or 'none'}. "
                f"Make it with: spymaster hist {self.table(name).layer}"
            )
        return found

    def snapshot(self, name: str) -> DeltaTable:
        """The table as it stands now, an object of its own that no later commit moves."""
        return delta.open_table(self.place, self.table(name)) or self.open(name)

    def _find(self, name: str) -> DeltaTable | None:
        with self._lock:
            kept = self._opened.pop(name, None)
            if kept is not None and delta.unchanged(self.place, self.table(name), kept):
                try:
                    kept.update_incremental()
                except (DeltaError, OSError) as e:
                    raise delta.unreadable(self.place, self.table(name), e) from e
                self._opened[name] = kept
                return kept
            found = delta.open_table(self.place, self.table(name))
            if found is not None:
                self._opened[name] = found
            return found

    def create(self, name: str) -> DeltaTable:
        """The table, made from its contract if there is none."""
        with self._lock:
            found = self._find(name)
            if found is None:
                found = self._opened[name] = delta.create(self.place, self.table(name))
            return found

    def check_exists(self) -> None:
        """Raise LakeError when no lake lies at the root."""
        if not self.existing():
            raise LakeError(
                f"{self.root}: no lake lies here yet. Make one with: spymaster hist run FILE... "
                "or name another with --root."
            )

    def check_writable(self) -> None:
        """Raise LakeError, before any work is done, when nothing can be written here."""
        self.place.check_writable()

    # Rows in

    def writer(self, name: str, *, stem: str = "part", row_group: int = ROW_GROUP) -> PartWriter:
        """A writer of Parquet files in the table's folder; commit what its ``close`` gives."""
        table = self.table(name)
        return PartWriter(
            self.place, delta.folder(table), table, stem=f"{stem}{self._tag}", row_group=row_group
        )

    def discard(self, name: str, parts: Sequence[Part]) -> None:
        """Remove, of finished files, those that no commit names."""
        opened = self._find(name)
        named = set() if opened is None else commit.named(opened, parts)
        for part in parts:
            if part.path not in named:
                self.place.remove(f"{delta.folder(self.table(name))}/{part.path}")

    def append(
        self,
        name: str,
        parts: Sequence[Part],
        app: tuple[str, int] | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Add files in one commit.

        With ``app = (app_id, epoch)`` the commit happens once: where the table has the epoch, the
        files are removed and ``written`` is False; an epoch that leaves one out is refused.
        No files is a commit too (an epoch without rows). ``info`` is kept with the commit.
        """
        return self._commit(name, parts, None, app, info)

    def replace(
        self,
        name: str,
        partition: Mapping[str, Any],
        parts: Sequence[Part],
        app: tuple[str, int] | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Put these files in the place of a whole partition, in one commit; none empties it."""
        table = self.table(name)
        if table.append:
            raise LakeError(f"{name} is append-only; its rows are never replaced. Use append.")
        text = partition_text(table, partition)
        for part in parts:
            if dict(part.partition) != text:
                raise LakeError(f"{name}: {part.path} is not of the partition {text}.")
        return self._commit(name, parts, text, app, info)

    def append_rows(
        self,
        name: str,
        rows: list[dict[str, Any]] | pa.Table,
        app: tuple[str, int] | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Add a few rows to a small table; the file's name keeps the order of the commits."""
        if isinstance(rows, list):
            table = self.table(name)
            for row in rows:
                if wrong := set(row) ^ set(table.names):
                    raise LakeError(f"{name}: a row lacks or does not know {sorted(wrong)}.")
            try:
                rows = pa.Table.from_pylist(rows, arrow_schema(table))
            except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
                raise LakeError(f"{name}: the rows do not fit the contract: {e}") from e
        with self._lock:
            version = self.create(name).version() + 1
            with self.writer(name, stem=f"{version:020d}") as writer:
                writer.write(rows)
            return self.append(name, writer.parts, app, info)

    def _commit(
        self,
        name: str,
        parts: Sequence[Part],
        partition: dict[str, str] | None,
        app: tuple[str, int] | None,
        info: Mapping[str, Any] | None,
    ) -> Commit:
        with self._lock:
            for attempt in range(ATTEMPTS):
                opened = self.create(name)
                start = opened.version()
                if app and commit.has_epoch(opened, name, app):
                    self.discard(name, parts)
                    return Commit(start, written=False)
                try:
                    commit.write(opened, self.table(name), parts, partition, app, info)
                except (CommitFailedError, DeltaError, OSError) as e:
                    self._after_failure(name, start, e)
                    if parts and commit.named(self.create(name), parts):
                        return Commit(start + 1, written=True)
                    time.sleep(0.01 * attempt)
                    continue
                self.place.keep(
                    f"{delta.folder(self.table(name))}/_delta_log/{start + 1:020d}.json"
                )
                opened.update_incremental()
                return Commit(start + 1, written=True)
        raise LakeError(
            f"{name}: {ATTEMPTS} commits in a row met another writer's. One writer per pipeline is "
            "allowed: look for a second run on this root."
        )

    def _after_failure(self, name: str, start: int, error: Exception) -> None:
        # A conflict shows as a newer version; anything else will not heal by trying again.
        if self.create(name).version() == start:
            raise LakeError(f"{name} at {self.uri(name)}: the commit failed: {error}") from error

    # Rows out

    def scan(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        filters: read.Filters = None,
        *,
        missing_ok: bool = False,
    ) -> pa.Table:
        """Rows of a table, files in time order; partitions that cannot match are not opened.

        ``filters``: column -> value, or a list of values, or a pyarrow expression.
        """
        table = self.table(name)
        if missing_ok and not self.exists(name):
            return arrow_schema(table, columns).empty_table().select(columns or table.names)
        return read.scan(self.snapshot(name), self.place, table, columns, filters)

    def count(self, name: str, filters: read.Filters = None) -> int:
        """Rows of a table that match."""
        return read.count(self.snapshot(name), self.place, self.table(name), filters)

    def batches(
        self,
        name: str,
        filters: read.Filters = None,
        columns: Sequence[str] | None = None,
        batch_rows: int = 1 << 17,
        *,
        dictionary: bool = False,
        missing_ok: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Rows as record batches, file after file by their first ts_recv, then by name.

        Memory holds about one row group. ``dictionary`` leaves strings as codes.
        """
        if missing_ok and not self.exists(name):
            return iter(())
        table = self.table(name)
        return read.batches(
            self.snapshot(name), self.place, table, columns, filters, batch_rows, dictionary
        )
