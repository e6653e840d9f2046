"""The lineage row of a session that Spark streamed."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from spymaster.engines.spark.stream.openings import Ended
from spymaster.engines.spark.stream.session_at_work import reasons
from spymaster.lake import lineage as provenance
from spymaster.settings import Settings


def lineage_row(
    settings: Settings,
    ended: Ended,
    layers: Sequence[str],
    run_id: str,
    epoch: int,
    now: int,
) -> dict[str, Any]:
    """As the local stream engine writes it; `silver` where gold is another job's. `now` ns UTC."""
    at_work, opened = ended.session, ended.session.opened
    missing = reasons(at_work.missing)
    status = "complete" if "gold" in layers else "silver"
    return {
        "session_date": dt.date.fromisoformat(at_work.date),
        "underlier": ended.underlier,
        "status": "incomplete" if missing else status,
        "data_version": opened["data_version"],
        "files": list(opened["files"]),
        "inputs_hash": opened["inputs_hash"],
        "opened": json.dumps(opened, sort_keys=True),
        "code_version": provenance.code_version(),
        "config_hash": settings.config_hash(ended.underlier),
        "contracts_version": provenance.contracts_version(),
        "table_versions": json.dumps(dict(opened["versions"])),
        "rows": json.dumps(dict(at_work.rows)),
        "counters": json.dumps({**at_work.counters, "missing": missing}),
        "run_id": run_id,
        "epoch": epoch,
        "machine": provenance.machine(),
        "committed_at": now,
    }
