"""What the tests of the live way share: settings, and a stream's tables beside history's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa

from spymaster.contracts.stream import SUFFIX
from spymaster.lake import Lake
from spymaster.lake.diff import Difference, diff
from spymaster.settings import Settings
from tests.e2e.scenes import held

TABLES = (
    "silver.mbo_normalized", "silver.orderbook_state", "silver.bar_5s", "silver.level_book",
    "silver.feature_primitives", "silver.session_levels", "silver.level_approach_2m",
    "silver.contract_day", "silver.session_summary", "gold.feature_series", "gold.setup_vectors",
    "gold.labels",
)  # fmt: skip

#: What makes a record the one that it is, however often it comes.
IDENTITY = ("contract_id", "instrument_id", "ts_recv", "is_snapshot", "event_index")

AT_THE_END = ("silver.contract_day", "silver.session_summary")


def partitioned(settings: Settings, partitions: int) -> Settings:
    """The same settings with so many partitions of each topic."""
    bus = settings.bus.model_copy(update={"partitions": partitions})
    return settings.model_copy(update={"bus": bus})


def whole_sessions(root: Path) -> list[dict[str, str]]:
    """The sessions that the stream knew from their first window on, and has ended."""
    rows = Lake(root).scan("lineage_stream").to_pylist()
    return [
        {"session_date": r["session_date"].isoformat(), "underlier": r["underlier"]}
        for r in sorted(rows, key=lambda r: (r["underlier"], r["session_date"]))
        if json.loads(r["opened"])["cold"] is None
    ]


def compare(streamed: Path, history: Path, unended: str = "") -> dict[str, int]:
    """The topic's records and every table of every whole session are the same facts in both.

    Returns rows of each table. `unended`: a session that its feed does not reach the end of; all
    but its last word is there.
    """
    found = diff(Lake(history), Lake(streamed), ("bronze.mbo", "bronze.stream"))
    assert found.equal, str(found)
    compared = Counter({"bronze.mbo": found.rows["bronze.mbo / bronze.stream"][0]})
    sessions = whole_sessions(streamed)
    if unended:
        sessions.append({"session_date": unended})
    for where in sessions:
        for name in TABLES:
            if name in AT_THE_END and where.get("session_date") == unended:
                continue
            if not Lake(history).exists(name) and not Lake(streamed).exists(name + SUFFIX):
                continue
            found = diff(Lake(history), Lake(streamed), (name, name + SUFFIX), where=where)
            assert found.equal, f"{where}: {found}"
            compared[name] += found.rows[f"{name} / {name}{SUFFIX}"][0]
    return compared


def streams_differ(a: Path, b: Path) -> Difference:
    """What is not the same in two streams: every fact of every table of their sessions."""
    found = Difference()
    for name in TABLES:
        found.tables.update(diff(Lake(a), Lake(b), name + SUFFIX).tables)
    return found


def once(root: Path) -> tuple[pa.Table, int]:
    """bronze.stream with every record once, as it came first; how many came again."""
    table = held(root, "bronze.stream").sort_by(
        [("topic_partition", "ascending"), ("topic_offset", "ascending")]
    )
    table = table.filter(table["action"].is_valid())
    names = zip(*(table[name].to_pylist() for name in IDENTITY), strict=True)
    first: dict[tuple[object, ...], int] = {}
    for i, name in enumerate(names):
        first.setdefault(name, i)
    return table.take(list(first.values())), table.num_rows - len(first)
