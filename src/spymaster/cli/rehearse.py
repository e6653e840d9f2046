"""`spymaster rehearse`: files played as a live day through every process of the way."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spymaster.cli.console import tell
from spymaster.cli.live_demo import certificates
from spymaster.cli.processes import Children
from spymaster.contracts.event import NS
from spymaster.engines.parity import streamed_sessions
from spymaster.engines.stream.report import read_statuses
from spymaster.errors import SourceError
from spymaster.feed.dbn import DbnReader
from spymaster.lake import Lake
from spymaster.market.clock import DAY_NS
from spymaster.market.sessions import sessions_touched
from spymaster.settings import Settings


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
    datasets, begin = played(files, settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tell(f"playing {len(files)} files at {speed} into {root}: gateway -> official client -> "
         "ingestor -> bus -> engine; Ctrl-C ends it")  # fmt: skip
    with Children(config) as children:
        address = children.gateway(files, speed, begin)
        for name in datasets:
            told = ("--dataset", name, "--root", str(root), "--gateway", address)
            children.start(f"ingest {name}", "ingest", "--once", *told)
        children.start("live", "live", "--root", str(root))
        try:
            _watch(children, [f"ingest {name}" for name in datasets], root, every_s)
        except KeyboardInterrupt:
            tell("draining")
    if not certificates(settings):
        tell("   no session was played to its end")
    tell(f"   look at it: spymaster status --root {root}; spymaster explain HASH --root {root}")


def _watch(children: Children, ingestors: Sequence[str], root: Path, every_s: float) -> None:
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


def played(files: Sequence[Path], settings: Settings) -> tuple[list[str], int | None]:
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
