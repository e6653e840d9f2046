"""Commands of ours as processes, for the demo and for a rehearsal."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spymaster.cli.console import tell
from spymaster.errors import SourceError
from spymaster.settings import CONFIG_VARIABLE

_INGEST = ("ingest", "--once", "--dataset", "GLBX.MDP3")


class Children:
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

    def service(self, model: str, root: Path) -> str:
        """The scoring endpoint of a model's champion, serving; its URL."""
        asked = ("--model", model, "--port", "0", "--root", str(root))
        process = self.start("serve", "serve", *asked, stdout=subprocess.PIPE)
        assert process.stdout is not None
        found = re.search(r"on (http://\S+)/score", process.stdout.readline())
        if found is None:
            raise SourceError("the scoring service did not start; what it said stands above")
        return found.group(1)

    def ended(self, name: str) -> bool:
        """Has it ended well? SourceError when it has failed."""
        code = self._running[name].poll()
        if code:
            raise SourceError(f"{name} failed (exit code {code}); what it said stands above")
        return code == 0

    def __enter__(self) -> Children:
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


def feed(
    files: Sequence[Path], root: Path, config: Path | None = None, begin: int | None = None
) -> None:
    """The gateway and the ingestor, each a process of its own, until the feed is at its end.

    `begin`: where the feed's clock starts, ns UTC.
    """
    with Children(config) as children:
        address = children.gateway(files, "max", begin)
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
