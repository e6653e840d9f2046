"""A dashboard that runs, and a real browser that looks at it."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

from tests.dashboard.process import main

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_S = 120.0
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.dashboard.process"])


class Running:
    """Starts at once, on a port that the system chooses; `folder`: where, for a relative root."""

    def __init__(
        self, root: Path, log: Path, *more: str, folder: Path | None = None, **environment: str
    ) -> None:
        self.log = log
        log.touch()
        told = ("dashboard", "--root", str(root), "--port", "0", *more)
        self.process = _PROCESSES.Process(
            target=main, args=(told, log, environment, folder), daemon=True
        )
        self.process.start()

    @property
    def url(self) -> str:
        """Where it listens; waits until it does."""
        until = time.monotonic() + PATIENCE_S
        while not (found := re.search(r"dashboard: (http://\S+)", self.said())):
            assert self.process.is_alive(), self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.02)
        return found[1]

    def said(self) -> str:
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ended(self) -> int | None:
        """Wait for its end; the exit code."""
        self.process.join(PATIENCE_S)
        return self.process.exitcode

    def stop(self) -> None:
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Looking:
    """A page in a browser; what it asked for and what it complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_S * 1e3)
        self.complaints: list[str] = []
        self.hosts: set[str | None] = set()
        self.received: list[int] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        context.on("request", lambda r: self._host(r.url))
        self.page.on("websocket", self._socket)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname)

    def _socket(self, socket: Any) -> None:
        self._host(socket.url)
        socket.on("framereceived", lambda payload: self.received.append(len(payload)))

    def open(self, url: str) -> Looking:
        """Wait until it is drawn, or says why there is nothing to draw."""
        self.page.goto(url)
        self.until("window.spymaster && (window.spymaster.meta || spymaster.root.dataset.screen "
                   "!== 'loading')")  # fmt: skip
        return self

    def until(self, condition: str) -> None:
        self.page.wait_for_function(f"() => {condition}")

    def ask(self, expression: str) -> Any:
        return self.page.evaluate(f"() => {expression}")

    def series(self, pane: str, name: str) -> list[list[Any]]:
        """The numbers of a chart's series, as the chart itself has them."""
        self.ask("spymaster.drawing.finish()")
        found = self.ask(
            f"spymaster.panes.find((p) => p.id === '{pane}').chart.getOption().series"
            f".find((s) => s.id === '{name}')?.data"
        )
        assert found is not None, f"{pane} has no series {name}"
        return list(found)

    def clean(self) -> None:
        """Nothing was complained of, and nobody else was asked."""
        assert self.complaints == []
        assert self.hosts == {"127.0.0.1"}


@contextmanager
def looking(browser: Browser, **how: Any) -> Iterator[Looking]:
    """A fresh browser window of 1280 x 800, dark, that complained of nothing."""
    values: Mapping[str, Any] = {
        "viewport": {"width": 1280, "height": 800},
        "color_scheme": "dark",
        "accept_downloads": True,
        **how,
    }
    context = browser.new_context(**values)
    try:
        found = Looking(context)
        yield found
        found.clean()
    finally:
        context.close()
