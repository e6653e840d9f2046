"""A scoring service that runs: a process, its address, what it has said."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from spymaster.settings import Settings
from tests.serving.models import COLUMNS, uri
from tests.serving.process import main

KEY = "not-a-secret-0123456789"
JSON = {"content-type": "application/json"}
_PATIENCE_S = 120.0

#: Real processes, forked from one that has read the libraries: that takes seconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.serving.process"])


def body(rows: NDArray[np.float64], **extra: Any) -> bytes:
    """A request for these vectors, NaN as null."""
    data = [[None if v != v else v for v in row] for row in rows.tolist()]
    table = {"columns": list(COLUMNS), "index": list(range(len(data))), "data": data}
    return json.dumps({"input_data": table, **extra}).encode()


def probabilities(answer: httpx.Response) -> NDArray[np.float64]:
    """[n, 3] of an answer."""
    assert answer.status_code == 200, answer.text
    names = ("p_break", "p_reject", "p_chop")
    return np.array([[record[name] for name in names] for record in answer.json()])


class Running:
    """Starts at once. `serving`: the settings' section; written again by `configure`."""

    def __init__(self, folder: Path, registry: Path, key: str = "", **serving: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._registry = uri(registry)
        self._config, self.log = folder / "spymaster.toml", folder / "serve.log"
        self.configure(**serving)
        self.process = _PROCESSES.Process(
            target=main, args=(self._config, self.log, key), daemon=True
        )
        self.log.touch()
        self.process.start()
        self.url = ""

    def configure(self, **serving: Any) -> None:
        values = {"serving": {"port": 0, **serving}, "ml": {"tracking_uri": self._registry}}
        self._config.write_text(Settings.model_validate(values).to_toml())

    def ready(self) -> Running:
        """Wait until it listens."""
        self.url = self.said(r"on (http://\S+)/score")
        return self

    def said(self, pattern: str, times: int = 1) -> str:
        """Wait until a line of its log matches; the last match's first group."""
        until = time.monotonic() + _PATIENCE_S
        while len(found := re.findall(pattern, self.log.read_text())) < times:
            assert self.process.is_alive() or re.search(pattern, self.log.read_text()), self.tail()
            assert time.monotonic() < until, f"{pattern}: {self.tail()}"
            time.sleep(0.02)
        return str(found[-1])

    def client(self, headers: Mapping[str, str] | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={**JSON, **(headers or {})}, timeout=60)

    def tail(self) -> str:
        return self.log.read_text()[-3000:]

    def send(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ended(self) -> int | None:
        """Wait for its end; the exit code."""
        self.process.join(_PATIENCE_S)
        return self.process.exitcode

    def stop(self) -> None:
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
