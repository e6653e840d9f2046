"""What a stream writes: the topic as it was read, and a twin of every table of a session.

A twin has the columns of its table and only ever grows; `spymaster diff` compares the two.
"""

from __future__ import annotations

from dataclasses import replace

from spymaster.contracts import bronze, gold, lineage, silver
from spymaster.contracts.column import PARTITION, Table, trace

SUFFIX = "_stream"

#: What a row of the topic's table has whether it is a record or a clock mark.
_ALWAYS = {"venue", "ts_recv", "is_snapshot", *PARTITION}

TOPIC = Table(
    "bronze.stream",
    "The topic mbo_raw as it was read: rows as in bronze.mbo, and clock marks (action null).",
    (
        *(c if c.name in _ALWAYS else replace(c, null=True) for c in bronze.MBO.columns),
        trace("topic_partition", "int32", "partition of the topic"),
        trace("topic_offset", "int64", "message that brought it"),
    ),
    PARTITION,
    append=True,
    often=True,
)


def twin(table: Table) -> Table:
    """The table that a stream writes in place of `table`."""
    meaning = f"The stream's {table.name}: {table.meaning}"
    return replace(table, name=table.name + SUFFIX, meaning=meaning, append=True, often=True)


_LINEAGE = twin(lineage.LINEAGE)
LINEAGE = replace(
    _LINEAGE,
    columns=(
        *_LINEAGE.columns,
        trace("opened", "string", "JSON: what the session was begun with: earlier facts, files"),
    ),
)

#: The tables of a session that a stream makes as history does.
TWINS = (
    *(twin(t) for t in (*silver.TABLES, gold.FEATURE_SERIES, gold.SETUP_VECTORS, gold.LABELS)),
    LINEAGE,
)

TABLES = (TOPIC, *TWINS)
