"""A market played live on one machine: the demo's last part, and `spymaster rehearse`."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spymaster.bus import open_bus
from spymaster.cli.console import tell
from spymaster.contracts.event import NS
from spymaster.engines.parity import certify, streamed_sessions
from spymaster.engines.stream.live import LiveEngine
from spymaster.engines.stream.report import read_statuses
from spymaster.errors import SourceError
from spymaster.feed.dbn import DbnReader
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.market.clock import DAY_NS
from spymaster.market.sessions import sessions_touched
from spymaster.settings import CONFIG_VARIABLE, Settings

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
    sessions = _certificates(settings)
    history = _against_history(folder, root)
    tell(f"   and the streamed vectors against those of step 2: {history}")
    return {"sessions": sessions, "history": history, "records": counters.records}


def _certificates(settings: Settings) -> dict[str, dict[str, Any]]:
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


def rehearse(
    files: Sequence[Path], settings: Settings, config: Path | None, speed: str, every_s: float
) -> None:
    """Gateway, ingestors and engine as processes, and how they are every so often, until Ctrl-C.

    Plays from just before the first session whose windows lie in the files. Ends by itself when
    the files are at their end and all of them is streamed; then each session gets its
    certificate. SourceError when one of them fails, or the root holds a stream already.
    """
    root = Path(settings.root)
    if streamed_sessions(Lake(root)) or (root / "run").exists():
        raise SourceError(
            f"{root}: a stream lies here already, and a rehearsal begins with nothing. Name an "
            "empty folder with --root, or remove this one."
        )
    datasets, begin = _played(files, settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tell(f"playing {len(files)} files at {speed} into {root}: gateway -> official client -> "
         "ingestor -> bus -> engine; Ctrl-C ends it")  # fmt: skip
    with _Children(config) as children:
        address = children.gateway(files, speed, begin)
        for name in datasets:
            told = ("--dataset", name, "--root", str(root), "--gateway", address)
            children.start(f"ingest {name}", "ingest", "--once", *told)
        children.start("live", "live", "--root", str(root))
        try:
            _watch(children, [f"ingest {name}" for name in datasets], root, every_s)
        except KeyboardInterrupt:
            tell("draining")
    if not _certificates(settings):
        tell("   no session was played to its end")
    tell(f"   look at it: spymaster status --root {root}; spymaster explain HASH --root {root}")


def _watch(children: _Children, ingestors: Sequence[str], root: Path, every_s: float) -> None:
    """Tell how far it is, until all that the files held is streamed."""
    fed_at: int | None = None
    said: set[str] = set()
    while not (fed_at and _drained(root, fed_at)):
        time.sleep(min(every_s, 1.0) if fed_at else every_s)
        for line in _progress(root):
            if line not in said:
                tell(line)
                said.add(line)
        if children.ended("live"):
            return
        if fed_at is None and all(children.ended(name) for name in ingestors):
            fed_at = time.time_ns()


def _progress(root: Path) -> list[str]:
    """What went wrong, and one line: the feed's time, and how far each process is."""
    statuses = read_statuses(root)
    parts, last, lines = [], 0, []
    for told in statuses:
        text = (
            f"{told['process']} {told.get('state', '?')}, {int(told.get('records') or 0):,} records"
        )
        if told["process"] == "live" and "behind_messages" in told:
            open_ = ", ".join(told["sessions"]) or "none"
            text += f", {told['vectors']:,} vectors, open sessions: {open_}"
        parts.append(text)
        last = max(last, int(told.get("last_ts_recv") or 0))
        if told.get("last_error"):
            lines.append(f"   {told['process']} says: {told['last_error']}")
    at = f"{np.datetime64(last, 'ns').astype('datetime64[s]')}Z" if last else "no record yet"
    return [*lines, f"   {at}: {'; '.join(parts) or 'the processes are starting'}"]


def _played(files: Sequence[Path], settings: Settings) -> tuple[list[str], int | None]:
    """The files' datasets, and a minute before the first session that lies in them, ns UTC."""
    datasets: set[str] = set()
    begins = []
    for path in files:
        with DbnReader(path) as reader:
            meta = reader.metadata
        datasets.add(str(meta.dataset))
        for name, u in settings.underlier.items():
            if u.venue == str(meta.dataset) and str(meta.schema) == "mbo":
                for s in sessions_touched(u, name, int(meta.start), int(meta.start) + DAY_NS):
                    if int(meta.start) <= s.hull.start:
                        begins.append(s.hull.start - 60 * NS)
    return sorted(datasets), min(begins, default=None)


def _drained(root: Path, since: int) -> bool:
    """The engine has read all that the topic has had since then, ns UTC; it looks each second."""
    return any(
        s["process"] == "live"
        and s.get("state") == "live"
        and s.get("behind_messages") == 0
        and s["written_at"] > since + 3 * NS
        for s in read_statuses(root)
    )


_INGEST = ("ingest", "--once", "--dataset", "GLBX.MDP3")


class _Children:
    """Commands of ours as processes, ended in the order of the way with the block."""

    def __init__(self, config: Path | None = None) -> None:
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._env = {**os.environ, "DATABENTO_API_KEY": f"db-{secrets.token_hex(14)}"}
        if config is not None:
            self._env[CONFIG_VARIABLE] = str(config)

    def start(self, name: str, *arguments: str, **how: Any) -> subprocess.Popen[str]:
        """A command of ours, by the same Python."""
        command = [sys.executable, "-m", "spymaster", *arguments]
        self._running[name] = subprocess.Popen(
            command, env=self._env, text=True, start_new_session=True, **how
        )
        return self._running[name]

    def gateway(self, files: Sequence[Path], speed: str, begin: int | None = None) -> str:
        """The gateway, listening; its address. `begin`: where the feed's clock starts, ns UTC."""
        played = ["replay", *map(str, files), "--speed", speed, "--port", "0"]
        if begin is not None:
            played += ["--from", str(np.datetime64(begin, "ns").astype("datetime64[s]"))]
        process = self.start(
            "gateway",
            *played,
            "--at-end",
            "close",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"listening on (\S+:\d+)", said)
        if found is None:
            said = said.strip() or "it said nothing"
            raise SourceError(f"the replay gateway did not start: {said}")
        return found.group(1)

    def ended(self, name: str) -> bool:
        """Has it ended well? SourceError when it has failed."""
        code = self._running[name].poll()
        if code:
            raise SourceError(f"{name} failed (exit code {code}); what it said stands above")
        return code == 0

    def __enter__(self) -> _Children:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _feed(files: Sequence[Path], root: Path) -> None:
    """The gateway and the ingestor, each a process of its own, until the feed is at its end."""
    with _Children() as children:
        address = children.gateway(files, "max")
        ingestor = children.start(
            "ingest",
            *_INGEST,
            "--root",
            str(root),
            "--gateway",
            address,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, errors = ingestor.communicate()
        if ingestor.returncode:
            raise SourceError(f"the ingestor failed: {errors.strip()[-500:]}")
        tell(f"   {said.strip().splitlines()[-1]}")


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
