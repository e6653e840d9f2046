"""The command line in a process that can be stopped at a named point: what the fault tests start.

As a module it serves: each line on stdin is a command to run in a fork of this warm process, in a
process group of its own. The points are patched here, in the driver; src/ knows nothing of them.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spymaster.engines.local as local
from spymaster.bus.embedded_producer import EmbeddedProducer
from spymaster.cli import main
from spymaster.engines import epoch
from spymaster.engines.stream import committer, sessions
from spymaster.engines.warm import warm_up
from spymaster.lake import commit, landing, parquet, swap
from spymaster.lake.compact import compact
from spymaster.lake.manifest import Manifest
from spymaster.lake.place import Place
from spymaster.lake.tables import Lake

VARIABLE = "E2E_FAULT"
_counts: dict[str, int] = {}
_fault: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))


def here(point: str) -> None:
    """Count the point; at its turn, die with the whole group, or wait until told to go on."""
    if _fault.get("worker") and multiprocessing.parent_process() is None:
        return
    _counts[point] = _counts.get(point, 0) + 1
    if _fault.get("point") != point or _counts[point] != _fault["nth"]:
        return
    mark = Path(_fault["mark"])
    if _fault.get("once") and mark.exists():
        return  # another process was there before
    mark.write_text(str(os.getpid()))
    if _fault.get("hold"):
        until = time.monotonic() + 600  # whoever holds us may have died
        while not mark.with_suffix(".go").exists() and time.monotonic() < until:
            time.sleep(0.02)
        return
    os.kill(os.getpid(), signal.SIGKILL) if _fault.get("alone") else os.killpg(0, signal.SIGKILL)
    time.sleep(60)


def _around(owner: Any, name: str, before: str = "", after: str = "") -> None:
    real: Callable[..., Any] = getattr(owner, name)

    def patched(*given: Any, **named: Any) -> Any:
        if before:
            here(before)
        made = real(*given, **named)
        if after:
            here(after)
        return made

    setattr(owner, name, patched)


def _stream(taken: Any, given: Any, real: Callable[..., str] = landing._stream) -> str:
    """Half of the bytes, then the point, then all of them."""
    data = taken.read()
    given.write(data[: len(data) // 2])
    given.flush()
    here("landing")
    taken.seek(0)
    given.seek(0)
    return real(taken, given)


def _write(opened: Any, *given: Any, real: Callable[..., None] = commit.write) -> None:
    """A commit: before it, with its temporary file there, anywhere inside, and after it."""
    here("commit-before")
    log = Path(opened.table_uri.removeprefix("file://")) / "_delta_log"
    staged = log / f"{opened.version() + 1:020d}.json#1"
    if _fault.get("point") == "commit-staged":
        staged.write_text('{"commitInfo":{"timest')
        here("commit-staged")
        staged.unlink()
    inside = _fault.get("point") == "commit-inside"
    if inside:
        _counts["commit-inside"] = _counts.get("commit-inside", 0) + 1
        inside = _counts["commit-inside"] == _fault["nth"]
    if inside:
        # The kernel ends the process wherever it is, in Rust or in a system call.
        Path(_fault["mark"]).write_text("inside")
        signal.setitimer(signal.ITIMER_REAL, _fault["after"])
    real(opened, *given)
    if inside:
        signal.setitimer(signal.ITIMER_REAL, 0)
        Path(_fault["mark"]).unlink()
    here("commit-after")


def _keep(self: Place, relative: str, real: Callable[..., None] = Place.keep) -> None:
    if relative.endswith(".parquet"):
        here("parquet-close")
    real(self, relative)


def _put(path: Path, data: bytes, real: Callable[..., None] = epoch.put) -> None:
    """A state: half of it, then the point, then all of it."""
    path.write_bytes(data[: len(data) // 2])
    here("state-write")
    real(path, data)


def install_live() -> None:
    """The points of the stream's protocol."""
    epoch.put = _put
    _around(epoch.EpochLog, "intent", before="intent-before", after="intent-after")
    _around(epoch.EpochLog, "epoch", before="epoch-before", after="epoch-after")
    _around(epoch.EpochLog, "save", before="state-before", after="state-after")
    _around(EmbeddedProducer, "flush", before="bus-before", after="bus-after")
    _around(committer, "tidy", before="tidy-before", after="tidy-after")
    _around(sessions.OpenSessions, "_begin", before="session-opens")
    _around(sessions.OpenSessions, "_end", after="session-ends")


def install() -> None:
    """Patch the points in; small row groups and early compaction, so that there are many."""
    landing._stream, landing._clone = _stream, lambda *_: None
    commit.write, Place.keep = _write, _keep
    _around(parquet._OpenPart, "_flush", after="row-group")
    _around(Lake, "replace", before="between-tables")
    _around(Manifest, "set_status", before="manifest-after-rows")
    _around(Manifest, "add", before="manifest-add")
    _around(local, "sweep", before="sweep-before", after="sweep-after")
    _around(swap.os, "link", before="swap-before", after="swap-after")
    real = parquet.PartWriter.__init__

    def small(self: Any, *given: Any, **named: Any) -> None:
        real(self, *given, **{**named, "row_group": 150})

    parquet.PartWriter.__init__ = small  # type: ignore[method-assign]
    local.compact = lambda lake, now: compact(lake, now, many=6)  # type: ignore[assignment]


def _child(asked: dict[str, Any]) -> int:
    os.setsid()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    out = os.open(asked["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for name in [n for n in os.environ if n.startswith("SPYMASTER_")]:
        del os.environ[name]
    os.environ.update(COLUMNS="200", **{VARIABLE: json.dumps(asked.get("fault") or {})})
    _fault.update(asked.get("fault") or {})
    sys.argv = ["spymaster", *asked["argv"]]
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    sys.stdout.flush()
    if asked.get("counts"):
        Path(asked["counts"]).write_text(json.dumps(_counts))
    return code


def _forked(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        code = 99
        with contextlib.suppress(BaseException):
            code = _child(asked)
        os._exit(code)
    return pid


def serve() -> None:
    """{"argv", "out", "fault", "counts", "behind"} per line; answers with pid, then exit code.

    `behind`: without waiting for its end, of which {"reap": pid} tells.
    """
    warm_up()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "reap" in asked:
            pid = asked["reap"]
        else:
            pid = _forked(asked)
            print(json.dumps({"pid": pid}), flush=True)
        if not asked.get("behind"):
            _, status = os.waitpid(pid, 0)
            print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ in ("__main__", "__mp_main__"):  # the driver, and the workers that it spawns
    install()
    install_live()
if __name__ == "__main__":
    serve()
