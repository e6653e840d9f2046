"""A Delta table that is what its contract says, readable and writable by every engine."""

from __future__ import annotations

from typing import Any

from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from spymaster.contracts.arrow import arrow_schema
from spymaster.contracts.column import Table
from spymaster.errors import LakeError
from spymaster.lake import log
from spymaster.lake.place import Place

#: Reader 1, writer 2: what delta-rs, Spark and every reader of Delta know.
READER, WRITER = 1, 2
_FORBIDDEN = (
    "delta.enableDeletionVectors",
    "delta.columnMapping.mode",
    "delta.enableChangeDataFeed",
    "delta.enableRowTracking",
    "delta.checkpointPolicy",
)
#: With a commit every 10 s some 9,000 small files per table; Delta's own 30 days are 260,000.
#: Delta on Spark makes no table whose log is kept for less long than the files it took out.
_SHORT_LOG = {
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.checkpointInterval": "100",
}
_HARMLESS = {"false", "none", "classic"}


def folder(table: Table) -> str:
    """A table's place under the root, such as ``lake/silver/bar_5s``."""
    return f"lake/{table.path}"


def schema_of(table: Table) -> Schema:
    """The Delta schema, each column with its meaning as comment."""
    import pyarrow as pa

    def comment(field: Any) -> Any:
        column = table.by_name[field.name]
        unit = f" ({column.unit})" if column.unit else ""
        return field.with_metadata({"comment": column.meaning + unit})

    return Schema.from_arrow(pa.schema([comment(f) for f in arrow_schema(table)]))


def properties(table: Table) -> dict[str, str | None]:
    """Delta's properties of a table: what its contract means for every engine.

    Append-only makes Spark refuse to rewrite it. A table of many commits gets a checkpoint each
    100 of them, as delta-rs makes it by itself; what the log need not keep is removed then.
    """
    found: dict[str, str | None] = {"delta.appendOnly": "true"} if table.append else {}
    return {**found, **(_SHORT_LOG if table.often else {})}


def create(place: Place, table: Table) -> DeltaTable:
    """Make the table from its contract; an existing one is opened and checked instead."""
    place.make_folder(folder(table))
    try:
        DeltaTable.create(
            place.uri(folder(table)),
            schema_of(table),
            mode="ignore",
            partition_by=list(table.partition),
            name=table.name,
            description=table.meaning,
            configuration=properties(table),
            storage_options=place.options,
        )
    except (DeltaError, OSError) as e:
        raise LakeError(f"{table.name}: cannot be made at {place.root}: {e}") from e
    if place.local is not None:
        place.keep(f"{folder(table)}/_delta_log/{0:020d}.json")
        place.keep(f"{folder(table)}/_delta_log")
    opened = open_table(place, table)
    if opened is None:
        raise LakeError(f"{table.name}: was made at {place.root} and is not there.")
    return opened


def open_table(place: Place, table: Table) -> DeltaTable | None:
    """The table as it stands, checked against its contract; None if there is none."""
    uri = place.uri(folder(table))
    if place.local is not None and not (place.local / folder(table) / "_delta_log").is_dir():
        return None
    try:
        opened = DeltaTable(uri, storage_options=place.options)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as e:
        raise unreadable(place, table, e) from e
    if place.local is not None:
        found = log.newest_is_empty(place.local / folder(table) / "_delta_log", opened.version())
        if found:
            raise _damaged_log(place, table, found)
    check(opened, table, uri)
    return opened


def unreadable(place: Place, table: Table, error: Exception) -> LakeError:
    """A table that cannot be opened: the file that is to blame, where it can be told."""
    where = None if place.local is None else place.local / folder(table) / "_delta_log"
    found = None if where is None else log.fault(where)
    if found is not None:
        return _damaged_log(place, table, found)
    said = str(error).splitlines()[0]
    return LakeError(f"{table.name}: {place.uri(folder(table))} cannot be opened: {said}")


def _damaged_log(place: Place, table: Table, found: str) -> LakeError:
    if table.append:
        todo = (
            f"Move {place.uri('lake')} away and make it again of what has landed: "
            f"spymaster hist run {place.uri('raw-dbn')}/*/*/*/*"
        )
    else:
        todo = (
            f"Move {place.uri(folder(table))} away and make its sessions again: spymaster hist run"
        )
    return LakeError(f"{table.name}: its log is damaged: {found}. {todo}")


def unchanged(place: Place, table: Table, opened: DeltaTable) -> bool:
    """Whether an opened table's folder is still that table, not removed or made anew.

    Looks at the id in the log's first commit; where that is cleaned away, or on an object store,
    the table is believed.
    """
    if place.local is None:
        return True
    log = place.local / folder(table) / "_delta_log"
    first = log / f"{0:020d}.json"
    if not first.is_file():
        return log.is_dir() and any(log.iterdir())
    return str(opened.metadata().id) in first.read_text()


def check(opened: DeltaTable, table: Table, uri: str) -> None:
    """Raise LakeError naming the first thing that is not as the contract says."""
    todo = (
        "The table was written under another contract: read it with the version that wrote it, "
        "or move the folder away and compute it again."
    )
    want = {f.name: f for f in Schema.from_arrow(arrow_schema(table)).fields}
    have = {f.name: f for f in opened.schema().fields}
    for name in [*want, *(n for n in have if n not in want)]:
        if name not in have:
            raise LakeError(f"{table.name} at {uri}: column {name} is missing. {todo}")
        if name not in want:
            raise LakeError(f"{table.name} at {uri}: column {name} is not in the contract. {todo}")
        found, allowed = _kind(have[name]), _kind(want[name])
        if found != allowed:
            raise LakeError(
                f"{table.name} at {uri}: column {name} is {found}, the contract says {allowed}. "
                + todo
            )
    cut = opened.metadata().partition_columns
    if cut != list(table.partition):
        raise LakeError(
            f"{table.name} at {uri}: cut by {cut}, the contract says {list(table.partition)}. "
            + todo
        )
    _check_protocol(opened, table, uri)


def _kind(field: Any) -> str:
    text = field.type.type if hasattr(field.type, "type") else field.type
    if hasattr(field.type, "element_type"):
        text = f"array of {field.type.element_type.type}"
    return f"{text}{'' if field.nullable else ' not null'}"


def _check_protocol(opened: DeltaTable, table: Table, uri: str) -> None:
    protocol = opened.protocol()
    properties = opened.metadata().configuration
    newer = (protocol.min_reader_version, protocol.min_writer_version) != (READER, WRITER)
    switched = [k for k in _FORBIDDEN if properties.get(k, "false").lower() not in _HARMLESS]
    if newer or switched:
        raise LakeError(
            f"{table.name} at {uri}: protocol {protocol.min_reader_version}/"
            f"{protocol.min_writer_version} with {switched or 'no extra property'}. Allowed is "
            f"{READER}/{WRITER} and none, so that every engine can write it. Another program "
            "changed the table: move the folder away and compute it again."
        )
