"""A browser for all tests of the page, and a dashboard with a session of its own for each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    pytest.importorskip("playwright", reason="playwright is missing: pip install playwright")
    from playwright.sync_api import sync_playwright

    from tests.dashboard.running import ARGUMENTS, CHROMIUM

    if not Path(CHROMIUM).exists():
        pytest.skip("no browser; run as root once: apt-get install -y chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A Kafka broker of its own."""
    from tests.bus.broker import CONNECTION, VARIABLE, Broker

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, CONNECTION)
        running = Broker(tmp_path_factory.mktemp("broker"))
        yield running
        running.stop()
