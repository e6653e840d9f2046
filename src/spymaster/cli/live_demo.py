"""The demo's last part: the market again, live, and the proof that the numbers are the same."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spymaster.bus import open_bus
from spymaster.cli.console import tell
from spymaster.engines.parity import certify, streamed_sessions
from spymaster.engines.stream.live import LiveEngine
from spymaster.errors import SourceError
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
    _feed(files, root)
    with open_bus(settings) as bus:
        counters = LiveEngine(settings, bus, quiet_s=1.0).run()
    tell(
        f"   {counters.records:,} records streamed, sessions: {', '.join(counters.sessions_ended)}"
    )
    sessions = {}
    for name, date in streamed_sessions(Lake(root)):
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
    history = _against_history(folder, root)
    tell(f"   and the streamed vectors against those of step 2: {history}")
    return {"sessions": sessions, "history": history, "records": counters.records}


def _feed(files: Sequence[Path], root: Path) -> None:
    """The gateway and the ingestor, each a process of its own."""
    me = [sys.executable, "-m", "spymaster"]
    played = [*me, "replay", *map(str, files), "--speed", "max", "--port", "0"]
    gateway = subprocess.Popen(
        [*played, "--at-end", "close", "--once"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert gateway.stdout is not None
        said = gateway.stdout.readline()
        found = re.search(r"listening on (\S+:\d+)", said)
        if found is None:
            raise SourceError(
                f"demo: the gateway did not start: {said.strip() or 'it said nothing'}"
            )
        taken = [*me, "ingest", "--once", "--dataset", "GLBX.MDP3", "--root", str(root)]
        done = subprocess.run(
            [*taken, "--gateway", found.group(1)],
            env={**os.environ, "DATABENTO_API_KEY": f"db-{secrets.token_hex(14)}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SourceError(f"demo: the ingestor failed: {done.stderr.strip()[-500:]}")
        tell(f"   {done.stdout.strip().splitlines()[-1]}")
    finally:
        gateway.terminate()
        gateway.wait()


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
