"""Starts `faulty` and runs commands through it; looks at what a root holds afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spymaster
from spymaster.contracts import TABLES
from spymaster.engines.lease import HISTORY, lease_file
from spymaster.lake import delta

HOME = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """A clean environment in which this checkout's spymaster and tests are found."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SPYMASTER_")}
    paths = [str(Path(spymaster.__file__).parents[1]), str(HOME)]
    return {**clean, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200", **more}


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said on stdout and stderr."""

    code: int
    said: str


class Runner:
    """One warm process after the other is forked for the commands."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._n = folder, 0
        self._outs: dict[int, Path] = {}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.faulty"],
            cwd=HOME, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._answer()["ready"]
        self.pid = 0

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        return dict(json.loads(self._server.stdout.readline()))

    def start(self, *argv: str | Path, **more: Any) -> int:
        """Start a command; its pid is also that of its process group."""
        assert self._server.stdin is not None
        self._n += 1
        self._out = self._folder / f"said-{id(self)}-{self._n}.txt"
        asked = {"argv": [str(a) for a in argv], "out": str(self._out), **more}
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        self.pid = self._answer()["pid"]
        return self.pid

    def wait(self) -> Ended:
        code = self._answer()["code"]
        return Ended(code, self._out.read_text() if self._out.exists() else "")

    def run(self, *argv: str | Path, **more: Any) -> Ended:
        self.start(*argv, **more)
        return self.wait()

    def begin(self, *argv: str | Path) -> int:
        """Start a command beside others; its pid, by which `said` and `reap` know it."""
        pid = self.start(*argv, behind=True)
        self._outs[pid] = self._out
        return pid

    def said(self, pid: int) -> str:
        """What a command that was begun has said so far."""
        path = self._outs[pid]
        return path.read_text() if path.exists() else ""

    def reap(self, pid: int) -> Ended:
        """Wait for the end of a command that was begun."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"reap": pid}) + "\n")
        self._server.stdin.flush()
        return Ended(self._answer()["code"], self.said(pid))

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


def loose(root: Path) -> list[str]:
    """Files under a root that nobody will ever read: unnamed by any commit, or half made."""
    found = [str(p) for p in root.glob("raw-dbn/*/*/*/.*")]
    for table in TABLES.values():
        folder = root / delta.folder(table)
        named: set[str] = set()
        for log in folder.glob("_delta_log/*.json"):
            for line in log.read_text().splitlines():
                named.add(json.loads(line).get("add", {}).get("path", ""))
        found += [
            str(p) for p in folder.rglob("*.parquet")
            if "_delta_log" not in p.parts and p.relative_to(folder).as_posix() not in named
        ]  # fmt: skip
        found += [str(p) for p in folder.glob("_delta_log/*") if "#" in p.name or ".tmp" in p.name]
    return found + [str(p) for p in root.glob("lake/.*")]


def lease(root: Path) -> dict[str, Any]:
    path = root / lease_file(HISTORY)
    text = path.read_text() if path.exists() else ""
    return dict(json.loads(text)) if text else {}
