"""A session's finished files become visible: one commit per table, lineage around them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from spymaster.engines.session_run import TABLES, SessionMade
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.lake import lineage as provenance
from spymaster.stages.vector_spec import spec_hash, vector_spec_rows

Row = dict[str, Any]


def check_gold_fits(name: str, data_version: str, before: Mapping[str, Any]) -> None:
    """Gold alone may only be made of silver of the same making; LakeError says what to run."""
    fits = before.get("status") in ("silver", "complete")
    if not fits or before.get("data_version") != data_version:
        underlier, _, date = name.partition(" ")
        raise LakeError(
            f"gold of {underlier} {date}: its silver is not there, or of other input, code or "
            f"settings. Run: spymaster hist silver --session {date}"
        )


def show_session(
    lake: Lake, made: SessionMade, before: Mapping[str, Any], now: Callable[[], int], run_id: str
) -> Row:
    """Commit a session's tables, each partition in one commit; returns its lineage row.

    The row `started` comes first and hides the session from readers until the last one says
    `complete` (silver and gold of one making) or `silver`.
    """
    started = begin_session(made, before, now, run_id)
    lake.append_rows("lineage", [started])
    if "gold" in made.layers:
        show_spec(lake, made)
    info = {"data_version": made.inputs.data_version, "run_id": run_id}
    versions: dict[str, int] = {}
    for layer in ("silver", "gold"):
        for name in TABLES[layer] if layer in made.layers else ():
            versions.update(_replace(lake, name, made, info))
    done = end_session(made, before, started, versions, now)
    lake.append_rows("lineage", [done])
    return done


def begin_session(
    made: SessionMade, before: Mapping[str, Any], now: Callable[[], int], run_id: str
) -> Row:
    """The lineage row that hides a session from readers; `before` is the row before it."""
    s = made.inputs.session
    # The latest row counts: its time is past that of the row before, whatever the clock does.
    at = max(now(), int(before.get("committed_at") or 0) + 1)
    return {
        "session_date": s.session_date,
        "underlier": s.underlier,
        "data_version": made.inputs.data_version,
        **made.inputs.facts,
        "rows": json.dumps(made.outcome.rows),
        "counters": json.dumps({"duplicates": made.outcome.duplicates, **made.outcome.quality}),
        "run_id": run_id,
        "epoch": None,
        "machine": provenance.machine(),
        "status": "started",
        "table_versions": "{}",
        "committed_at": at,
    }


def show_spec(lake: Lake, made: SessionMade) -> None:
    """What the vectors' columns mean, once for each spec."""
    app = f"gold.vector_spec/{spec_hash(made.spec)}"
    lake.append_rows("gold.vector_spec", vector_spec_rows(made.spec), app=(app, 1))


def end_session(
    made: SessionMade,
    before: Mapping[str, Any],
    started: Row,
    versions: Mapping[str, int],
    now: Callable[[], int],
) -> Row:
    """The lineage row that shows a session: all its tables are committed, at these versions."""
    return {
        **started,
        "status": _status(made, before),
        "table_versions": json.dumps(versions),
        "rows": json.dumps(_rows(made, before)),
        "committed_at": max(now(), started["committed_at"] + 1),
    }


def _status(made: SessionMade, before: Mapping[str, Any]) -> str:
    """`complete` when silver and gold of the session are of one making, else `silver`."""
    if "gold" in made.layers:
        return "complete"
    same = before.get("data_version") == made.inputs.data_version
    return "complete" if same and before.get("status") == "complete" else "silver"


def _rows(made: SessionMade, before: Mapping[str, Any]) -> dict[str, int]:
    """Rows of all the session's tables of this making, also of a layer that was made before."""
    same = before.get("data_version") == made.inputs.data_version
    return {**(json.loads(before["rows"]) if same else {}), **made.outcome.rows}


def _replace(lake: Lake, name: str, made: SessionMade, info: Mapping[str, Any]) -> dict[str, int]:
    s = made.inputs.session
    here = {"session_date": s.session_date.isoformat(), "underlier": s.underlier}
    parts = made.parts.get(name, [])
    # Kinds of contract with new rows, or with old ones that have to go.
    old = [p for p in lake.partitions(name) if p.items() >= here.items()]
    kinds = {p["instrument_type"] for p in old} | {p.partition["instrument_type"] for p in parts}
    versions = {}
    for kind in sorted(kinds):
        mine = [p for p in parts if p.partition["instrument_type"] == kind]
        partition = {**here, "instrument_type": kind}
        versions[name] = lake.replace(name, partition, mine, info=info).version
    return versions
