"""The demo's market once more, as a live feed, and its certificates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spymaster.bus import open_bus
from spymaster.cli.console import tell
from spymaster.cli.processes import feed
from spymaster.engines.parity import certify, streamed_sessions
from spymaster.engines.stream.live import LiveEngine
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings

_COMPARED = ("silver.bar_5s", "silver.level_approach_2m", "gold.setup_vectors", "gold.labels")


def live_replay(folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Play the files as a live feed in a process, take them in another, stream, certify.

    Returns what `demo/summary.json` says of it.
    """
    root = folder / "live-data"
    settings = Settings.load(root=str(root))
    tell("6. the same market live: gateway -> official client -> ingestor -> bus -> engine")
    feed(files, root)
    with open_bus(settings) as bus:
        counters = LiveEngine(settings, bus, quiet_s=1.0).run()
    tell(
        f"   {counters.records:,} records streamed, sessions: {', '.join(counters.sessions_ended)}"
    )
    sessions = certificates(settings)
    history = _against_history(folder, root)
    tell(f"   and the streamed vectors against those of step 2: {history}")
    return {"sessions": sessions, "history": history, "records": counters.records}


def certificates(settings: Settings) -> dict[str, dict[str, Any]]:
    """Certify every session that was streamed, and tell of each; by underlier and date."""
    sessions = {}
    for name, date in streamed_sessions(Lake(settings.root)):
        certificate = certify(settings, name, date)
        rows = sum(a for a, _ in certificate.difference.rows.values())
        verdict = "equal" if certificate.equal else "DIFFERENT"
        sessions[f"{name} {date}"] = {
            "equal": certificate.equal,
            "rows": rows,
            "vectors": certificate.row["vectors"],
        }
        tell(f"   certificate of {name} {date}: {verdict}, {rows:,} rows, "
             f"{certificate.row['vectors']:,} vectors")  # fmt: skip
    return sessions


def _against_history(folder: Path, root: Path) -> str:
    """Sessions that both know whole: the demo's history and its stream."""
    here, there = Lake(folder / "spymaster-data"), Lake(root)
    rows = 0
    for name, date in streamed_sessions(there):
        where = {"underlier": name, "session_date": date}
        for table in _COMPARED:
            found = diff(here, there, (table, f"{table}_stream"), where=where)
            if not found.equal:
                return f"different: {found.lines()[-1].strip()}"
            rows += sum(a for a, _ in found.rows.values())
    return f"equal, {rows:,} rows"
