"""One commit: files in or out at once, an epoch at most once, from the version that was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction

from spymaster.contracts.column import Table
from spymaster.errors import LakeError
from spymaster.lake import read
from spymaster.lake.parquet import Part


@dataclass(frozen=True)
class Commit:
    """What a commit came to: the table's version, and whether these rows are new in it."""

    version: int
    written: bool


def has_epoch(opened: DeltaTable, name: str, app: tuple[str, int]) -> bool:
    """Whether this writer's epoch is in the table; one that leaves an epoch out is refused."""
    app_id, epoch = app
    stored = opened.transaction_version(app_id)
    if stored is not None and stored < epoch - 1:
        raise LakeError(
            f"{name}: {app_id} stands at epoch {stored}, and epoch {epoch} was offered. "
            f"Epochs come one by one: replay from {stored + 1} first."
        )
    return stored is not None and stored >= epoch


def named(opened: DeltaTable, parts: Iterable[Part]) -> set[str]:
    """Of these files, those that the table names."""
    paths = set(read.files(opened)["path"].to_pylist())
    return {p.path for p in parts if p.path in paths}


def write(
    opened: DeltaTable,
    table: Table,
    parts: Sequence[Part],
    partition: dict[str, str] | None,
    app: tuple[str, int] | None,
    info: Mapping[str, Any] | None,
) -> None:
    """Make the commit, or raise when another came first; ``partition`` is what it replaces."""
    opened.create_write_transaction(
        [AddAction(p.path, p.size, p.partition, p.modified_ms, True, p.stats) for p in parts],
        "append" if partition is None else "overwrite",
        opened.schema(),
        list(table.partition),
        None if partition is None else [(k, "=", v) for k, v in partition.items()],
        commit_properties=CommitProperties(
            custom_metadata=dict(info) if info else None,
            # Commit from the version that was read, or not at all: delta-rs would slip an append
            # in behind another writer's without asking for its epoch again.
            max_commit_retries=0,
            app_transactions=[Transaction(*app)] if app else None,
        ),
    )
