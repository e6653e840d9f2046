"""A browser for all tests of the page, and a dashboard with a session of its own for each file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Start = Callable[..., object]


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
