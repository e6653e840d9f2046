"""What the tests of the live way share: settings, and a stream's tables beside history's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from spymaster.contracts.stream import SUFFIX
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings

TABLES = (
    "silver.mbo_normalized", "silver.orderbook_state", "silver.bar_5s", "silver.level_book",
    "silver.feature_primitives", "silver.session_levels", "silver.level_approach_2m",
    "silver.contract_day", "silver.session_summary", "gold.feature_series", "gold.setup_vectors",
    "gold.labels",
)  # fmt: skip

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


def compare(
    streamed: Path, history: Path, unended: str = "", *, bronze: bool = True
) -> dict[str, int]:
    """Every table of every whole session is the same facts in both; rows of each table.

    `unended`: a session that its feed does not reach the end of; all but its last word is there.
    `bronze`: the topic's records too; not where captures overlap.
    """
    compared: Counter[str] = Counter()
    if bronze:
        found = diff(Lake(history), Lake(streamed), ("bronze.mbo", "bronze.stream"))
        assert found.equal, str(found)
        compared["bronze.mbo"] = found.rows["bronze.mbo / bronze.stream"][0]
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
