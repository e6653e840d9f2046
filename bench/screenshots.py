"""Pictures of the dashboard for docs/images/dashboard: `python -m bench.screenshots`.

Server, bus and browser are real; bars are made by a formula.
"""

from __future__ import annotations

import datetime as dt
import io
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.dashboard.feed import Market, Publisher, at, names
from tests.dashboard.running import ARGUMENTS, CHROMIUM, Looking, Running, looking
from tests.dashboard.test_page_screens import stored

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "dashboard"
MOST_BYTES = 250_000
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True,
                         "has_touch": True}  # fmt: skip
TALL: dict[str, Any] = {"viewport": {"width": 1280, "height": 1500}}


def save(look: Looking, name: str, *, whole: bool = False) -> None:
    """What is on the screen, as a small file."""
    look.page.wait_for_timeout(700)
    picture = Image.open(io.BytesIO(look.page.screenshot(full_page=whole))).convert("RGB")
    out = io.BytesIO()
    picture.quantize(255, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    assert len(out.getvalue()) < MOST_BYTES, f"{name}: {len(out.getvalue())} bytes"
    (FOLDER / f"{name}.png").write_bytes(out.getvalue())
    print(f"{name}.png {len(out.getvalue()) // 1000} kB")


class Studio:
    """A root with a dashboard, and pictures of it."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser, self.folder, self.log = browser, folder, folder / "log"
        self.root = folder / "spymaster-data"

    def run(self, take: Callable[[str], None], **environment: str) -> None:
        self.log.unlink(missing_ok=True)
        root = Path("./spymaster-data")
        running = Running(root, self.log, folder=self.folder, **environment)
        try:
            take(running.url)
        finally:
            running.stop()

    def screen(self, name: str, url: str, screen: str, **how: Any) -> None:
        with looking(self.browser, **how) as look:
            look.open(url)
            look.until(f"spymaster.root.dataset.screen === '{screen}'")
            save(look, name)

    def empty(self, url: str) -> None:
        self.screen("empty", url, "empty")
        self.screen("empty-phone", url, "empty", color_scheme="light", **PHONE)

    def nothing_live(self, url: str) -> None:
        self.screen("no-bus", url, "nobus")
        self.screen("absent", f"{url}?s=2020-02-03&u=ES", "absent")
        with looking(self.browser, **TALL) as look:
            look.open(f"{url}?s=2024-01-08&u=ES")
            look.until("spymaster.store.rows('movers').contract_id?.length")
            save(look, "history")
        publisher = Publisher(at(self.root))
        self.screen("waiting", url, "waiting")
        publisher.close()

    def live(self, url: str) -> None:
        publisher, market = Publisher(at(self.root)), Market(names(10))
        publisher.publish(market.levels())
        for _ in range(14):
            publisher.publish(market.bars(100))
        with socket.create_server(("127.0.0.1", 0)) as free:
            endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"

        def fresh(look: Looking) -> None:
            for _ in range(14):
                publisher.publish(market.next())
                look.page.wait_for_timeout(120)
            look.until("spymaster.pulse.feed === 'live'")

        def hover(look: Looking) -> None:
            box = look.page.locator("[data-pane=price] canvas").first.bounding_box()
            assert box is not None
            look.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)

        with looking(self.browser, **TALL) as look:
            look.open(url)
            fresh(look)
            hover(look)
            save(look, "live-dark")
        with looking(self.browser, color_scheme="light", **TALL) as look:
            look.open(url)
            fresh(look)
            save(look, "live-light")
        with looking(self.browser, color_scheme="dark", **PHONE) as look:
            look.open(url)
            fresh(look)
            save(look, "phone", whole=True)
        with looking(self.browser) as look:
            look.open(f"{url}?c={','.join(names(4))}&f=ofi,vpin,realized_vol_72&w=60")
            fresh(look)
            look.page.click(".sm-more")
            save(look, "compare")
            look.page.keyboard.press("Escape")
            look.page.click(".sm-help")
            save(look, "help")
        score = subprocess.Popen(
            [sys.executable, "-m", "spymaster", "score", "--model", "ES_MODEL", "--endpoint",
             endpoint, "--root", str(self.root)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with looking(self.browser, **TALL) as look:
                look.open(url)
                look.until("spymaster.pulse?.endpoint")
                fresh(look)
                save(look, "endpoint-down")
        finally:
            score.terminate()
            score.wait()
        publisher.close()

    def silent(self, url: str) -> None:
        with looking(self.browser) as look:
            look.open(url)
            look.until("spymaster.pulse?.feed === 'stale'")
            save(look, "stale")
        with looking(self.browser) as look:
            look.page.route("**/told/*", lambda route: None)
            look.page.goto(url)
            look.until("window.spymaster?.pulse")
            save(look, "loading")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        studio = Studio(browser, Path(temporary))
        studio.run(studio.empty)
        stored(studio.root, 1_560, dt.date(2024, 1, 8))
        studio.run(studio.nothing_live)
        shutil.rmtree(studio.root / "bus")
        studio.run(studio.live, SPYMASTER_DASHBOARD__STALE_S="60")
        studio.run(studio.silent)
        browser.close()


if __name__ == "__main__":
    main()
