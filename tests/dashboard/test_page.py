"""The page in a real browser: what is published is what is drawn, and stays what was chosen."""

from __future__ import annotations

import csv
import io
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route

from spymaster.anomaly import series_decompose_anomalies
from spymaster.contracts.event import BAR_NS
from tests.dashboard.feed import Market, Publisher, at, names
from tests.dashboard.running import Looking, Running, looking

BARS, OFFSET_MS = 240, -5 * 3_600_000
CONTRACTS = names(3)
MAIN = CONTRACTS[0]


class Feed:
    """A session that goes on as tests want it, and all series rows that were published."""

    def __init__(self, root: Path) -> None:
        self.market = Market(CONTRACTS)
        self.publisher = Publisher(at(root))
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self.publish(self.market.levels())
        told = list(self.market.bars(BARS))
        mine = [row for _, kind, row in told if kind == "series" and row["contract_id"] == MAIN]
        mine[100]["ofi"], mine[170]["ofi"] = 2600, -3100
        self.publish(told)

    def publish(self, told: list[Any]) -> None:
        for _, kind, row in told:
            if kind == "series":
                self.rows[row["contract_id"], row["bar_start"]] = row
        self.publisher.publish(told)

    def of(self, contract: str) -> list[dict[str, Any]]:
        """A contract's bars, in order."""
        return [row for (c, _), row in sorted(self.rows.items()) if c == contract]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page") / "root"


@pytest.fixture(scope="module")
def feed(root: Path) -> Iterator[Feed]:
    made = Feed(root)
    yield made
    made.publisher.close()


@pytest.fixture(scope="module")
def dashboard(root: Path, feed: Feed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = Running(root, tmp_path_factory.mktemp("log") / "log")
    yield running.url
    running.send(signal.SIGTERM)
    assert running.ended() == 0, running.said()


def candles(look: Looking) -> list[list[float]]:
    """[time in New York's ms, open, close, low, high] of every candle."""
    return [[float(x) for x in c] for c in look.series("price", "candles")]


def as_candle(row: dict[str, Any]) -> list[float]:
    at = row["bar_start"] // 10**6 + OFFSET_MS
    return [float(at), row["open"], row["close"], row["low"], row["high"]]


def test_every_bar_that_was_published_is_a_candle(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        assert candles(look) == [as_candle(row) for row in feed.of(MAIN)]
        volume = [y for _, y in look.series("price", "buy")]
        assert volume == [row["buy_volume"] for row in feed.of(MAIN)]
        ofi = [y for _, y in look.series("features", f"feature:ofi/{MAIN}")]
        assert ofi == [row["ofi"] for row in feed.of(MAIN)]


def test_a_state_that_did_not_arrive_is_asked_for_again(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    asked = []

    def lost(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(body="null", content_type="application/json")
        else:
            route.continue_()

    with looking(browser) as look:
        look.page.route("**/told/*", lost)
        look.open(dashboard)
        assert candles(look) == [as_candle(row) for row in feed.of(MAIN)]
    assert len(set(asked)) == len(asked) >= 2


def test_a_browser_without_idle_callbacks_draws_what_is_out_of_sight(
    browser: Browser, dashboard: str
) -> None:
    """Safari has none."""
    with looking(browser, viewport={"width": 390, "height": 640}) as look:
        look.page.add_init_script("window.requestIdleCallback = window.cancelIdleCallback = null")
        look.open(dashboard)
        look.until("spymaster.rates.chart?.getOption()?.series?.length")
        look.until("!spymaster.drawing.owed.size")


def test_a_value_changed_in_the_topic_is_that_number_in_the_chart_and_seen(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        before = len(candles(look))
        told = feed.market.next()
        (bar,) = [row for _, kind, row in told if kind == "series" and row["contract_id"] == MAIN]
        bar |= {"open": 4801.5, "close": 4823.75, "high": 4824.0, "low": 4801.25, "ofi": 4321}
        feed.publish(told)
        look.until(f"spymaster.store.rows('price', '{MAIN}').close.at(-1) === 4823.75")
        assert candles(look)[-1] == as_candle(bar)
        assert len(candles(look)) == before + 1
        assert look.series("features", f"feature:ofi/{MAIN}")[-1][1] == 4321
        assert colour_at(look, bar, 4812.0) == (46, 189, 133)  # a long green candle

        # The same bar comes again with another value: it is replaced, not added.
        again = {**bar, "close": 4779.25, "low": 4779.0}
        feed.publish([("features_gold", "series", again)])
        look.until(f"spymaster.store.rows('price', '{MAIN}').close.at(-1) === 4779.25")
        assert candles(look)[-1] == as_candle(again)
        assert len(candles(look)) == before + 1
        assert colour_at(look, again, 4790.0) == (246, 70, 93)
        assert "4,779.25" in look.page.inner_text("[data-pane=price] .sm-legend")


def colour_at(look: Looking, bar: dict[str, Any], price: float) -> tuple[int, ...]:
    """What a screenshot shows where a candle is at a price."""
    x, y = look.ask(
        "{ const p = spymaster.price; p.chart.getZr().flush(); const r = p.chart.getDom()"
        ".getBoundingClientRect(); const [x, y] = p.chart.convertToPixel({gridIndex: 0}, "
        f"[{bar['bar_start'] // 10**6 + OFFSET_MS}, {price}]); return [x + r.left, y + r.top]; }}"
    )
    picture = Image.open(io.BytesIO(look.page.screenshot())).convert("RGB")
    near = [picture.getpixel((round(x) + d, round(y))) for d in (-1, 0, 1)]
    return max(((c, near.count(c)) for c in near), key=lambda found: sum(found[0]))[0]


def test_a_bar_costs_a_message_of_some_kilobytes(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        whole = look.ask(
            "performance.getEntriesByType('resource').find((r) => r.name.includes('/told/'))"
            ".decodedBodySize"
        )
        look.until("spymaster.pulse")
        look.page.wait_for_timeout(1500)
        look.received.clear()
        last = look.ask("spymaster.last")
        feed.publish(feed.market.next())
        look.until(f"spymaster.drawn.last > {last}")
        assert max(look.received) < whole / 5


def test_what_was_chosen_is_in_the_address_and_comes_back(browser: Browser, dashboard: str) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        look.page.select_option(".sm-contract", CONTRACTS[1])
        look.until(f"spymaster.main === '{CONTRACTS[1]}'")
        look.page.click(".sm-more")
        look.page.check("[data-kind=feature][value=vpin]")
        look.until("spymaster.meta.features.includes('vpin')")
        look.page.check(f"[data-kind=contract][value='{MAIN}']")
        look.until("spymaster.meta.contracts.length === 2")
        look.page.keyboard.press("Escape")
        assert look.ask("document.activeElement.className") == "sm-more", "the focus goes back"
        for key in ("+", "+", "+", "ArrowLeft", "ArrowLeft", "t"):
            look.page.keyboard.press(key)
        look.page.select_option("[data-parameter=measure]", "depth")
        look.until("spymaster.store.rows('movers').before?.length === 3")
        look.page.wait_for_timeout(600)
        kept = (
            "[spymaster.main, spymaster.meta.contracts.join(), spymaster.meta.features.join(), "
            "Math.round(spymaster.window.start / 1e3), Math.round(spymaster.window.end / 1e3), "
            "spymaster.dark, spymaster.choice('measure'), "
            "Math.round(spymaster.price.chart.getOption().dataZoom[0].startValue / 1e3), "
            "Math.round(spymaster.features.chart.getOption().dataZoom[0].startValue / 1e3)]"
        )
        before = look.ask(kept)
        assert before[-1] == before[-2], "panes share the zoom"
        assert before[3] == before[-1] - OFFSET_MS // 1000
        assert before[5] is False
        assert re.search(r"[?&]c=.*&f=.*vpin.*&a=\d+&b=\d+", look.page.url), look.page.url
        look.page.reload()
        look.until("window.spymaster && window.spymaster.meta")
        look.page.wait_for_timeout(600)
        assert look.ask(kept) == before
        look.page.keyboard.press("Home")
        look.until("spymaster.following")
        look.until("!new URLSearchParams(location.search).has('a')")
        assert look.ask("spymaster.window.end > spymaster.last")


def test_a_drag_moves_every_pane_and_the_crosshair_is_in_all(
    browser: Browser, dashboard: str
) -> None:
    with looking(browser) as look:
        look.open(f"{dashboard}?w=5")
        box = look.page.locator("[data-pane=price] canvas").first.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
        look.until("spymaster.drawn")
        look.page.mouse.move(x - 30, y)
        look.page.mouse.move(x, y, steps=3)
        look.until("spymaster.at !== null")
        at = look.ask("spymaster.at")
        told = look.page.inner_text("[data-pane=price] .sm-legend")
        assert re.search(r"O\s*4,\d{3}\.\d\d", told)
        bars = look.ask(f"spymaster.store.rows('price', '{MAIN}').at")
        k = max(i for i, t in enumerate(bars) if t <= at)
        close = look.ask(f"spymaster.store.rows('price', '{MAIN}').close")[k]
        assert f"{close:,.2f}" in told
        shown = look.ask(
            "spymaster.charts.map((p) => p.chart.getModel().getComponent('xAxis', 0).axis"
            ".model.get('axisPointer.status'))"
        )
        assert shown == ["show"] * len(shown)
        before = look.ask("spymaster.window.start")
        look.page.mouse.down()
        look.page.mouse.move(x + 200, y, steps=4)
        look.page.mouse.up()
        look.until(f"spymaster.window.start < {before} - 30000")
        look.page.wait_for_timeout(100)
        zooms = look.ask(
            "spymaster.charts.map((p) => Math.round(p.chart.getOption().dataZoom[0].startValue))"
        )
        assert max(zooms) - min(zooms) <= 1
        assert not look.ask("spymaster.following")


def test_anomalies_are_marked_where_the_functions_find_them(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        rows = feed.of(MAIN)
        found = series_decompose_anomalies(np.array([float(r["ofi"]) for r in rows]), 3.0, 0)
        wanted = [
            [r["bar_start"] // 10**6 + OFFSET_MS, r["ofi"]]
            for r, flag in zip(rows, found.ad_flag, strict=True)
            if flag
        ]
        assert wanted
        assert look.series("features", "feature:ofi/marks") == wanted
        marks = [m["at"] + OFFSET_MS for m in look.series("price", "anomalies")  # type: ignore[call-overload]
                 if m["what"] == "OFI spike"]  # type: ignore[call-overload]  # fmt: skip
        table = look.ask("spymaster.store.rows('anomaly_table')")
        listed = [
            t + OFFSET_MS
            for t, c, w in zip(table["at"], table["contract_id"], table["what"], strict=True)
            if c == MAIN and w == "OFI spike"
        ]
        assert sorted(marks) == sorted(listed)
        assert set(listed) == {x for x, _ in wanted}
        shown = look.page.locator("[data-pane=anomaly_table] tbody tr").count()
        assert shown == min(12, len(table["at"]))


def test_what_is_seen_is_exported(browser: Browser, dashboard: str, feed: Feed) -> None:
    with looking(browser) as look:
        look.open(f"{dashboard}?w=5")
        with look.page.expect_download() as waiting:
            look.page.click(".sm-csv")
        rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
        window = [look.ask("spymaster.window.start"), look.ask("spymaster.window.end")]
        bars = [r for r in feed.of(MAIN) if window[0] <= r["bar_start"] / 1e6 <= window[1]]
        assert [float(r["close"]) for r in rows] == [r["close"] for r in bars]
        assert [float(r["ofi"]) for r in rows] == [r["ofi"] for r in bars]
        assert rows[0]["new_york"].startswith("2024-01-09 08:")
        look.page.select_option(".sm-interval", "60")
        look.until("spymaster.meta.bar === '60'")
        with look.page.expect_download() as waiting:
            look.page.click(".sm-csv")
        wide = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
        assert {"close_60s", "buy_volume_60s", "ofi_5s"} <= wide[0].keys()
        assert not {"close", "ofi"} & wide[0].keys()
        with look.page.expect_download() as waiting:
            look.page.click(".sm-png")
        picture = Image.open(waiting.value.path())
        assert picture.width > 1500
        assert len(picture.convert("RGB").resize((200, 200)).getcolors(40_000) or []) > 50


def test_a_page_is_used_with_keys_alone(browser: Browser, dashboard: str) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        dark = look.ask("spymaster.dark")
        look.page.focus(".sm-theme")
        look.page.keyboard.press("Space")
        look.until(f"spymaster.dark === {str(not dark).lower()}")
        assert not look.ask("spymaster.state.paused"), "Space is the button's"
        other = look.ask(f"spymaster.store.rows('movers').contract_id.find((c) => c !== '{MAIN}')")
        row = look.page.locator("[data-pane=movers] tbody tr", has_text=other)
        row.focus()
        look.page.keyboard.press("Enter")
        look.until(f"spymaster.main === '{other}'")
        look.page.evaluate("document.activeElement.blur()")
        look.page.keyboard.press("Space")
        look.until("spymaster.state.paused")
        unnamed = "[...document.querySelectorAll('.sm-chart, .sm-calibration')].filter((e) => "
        assert look.ask(f"{unnamed} !e.getAttribute('aria-label')).length") == 0


def test_on_a_phone_nothing_runs_off_the_screen(browser: Browser, dashboard: str) -> None:
    how: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "color_scheme": "light",
                           "has_touch": True, "is_mobile": True}  # fmt: skip
    with looking(browser, **how) as look:
        look.open(dashboard)
        assert look.ask("document.documentElement.scrollWidth") <= 390
        wide = look.ask("[...document.querySelectorAll('.sm-root *')].filter((e) => e.offsetParent "
                        "&& e.getBoundingClientRect().right > 391 && !e.closest('.sm-body') "
                        "&& !e.closest('.sm-legend, .sm-band')).length")  # fmt: skip
        assert wide == 0
        assert look.ask("spymaster.dark") is False
        assert look.page.is_visible(".sm-csv")
        assert look.page.is_visible(".sm-png")
        look.page.tap(".sm-pause")
        look.until("spymaster.state.paused")


def test_paused_the_page_stands_still_until_it_goes_on(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        look.page.click(".sm-pause")
        last = look.ask("spymaster.last")
        feed.publish(feed.market.next())
        look.page.wait_for_timeout(1000)
        assert look.ask("spymaster.last") == last
        look.page.click(".sm-pause")
        look.until(f"spymaster.last === {last} + {BAR_NS // 10**6}")


def test_silence_shows_within_five_seconds_and_ends_with_the_next_bar(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        for _ in range(13):
            feed.publish(feed.market.next())
            look.page.wait_for_timeout(100)
        look.until("document.querySelector('.sm-status').dataset.kind === 'live'")
        look.page.wait_for_function(
            "() => document.querySelector('.sm-status').dataset.kind === 'stale'", timeout=5000
        )
        assert "Stale" in look.page.inner_text(".sm-banner").title()
        feed.publish(feed.market.next())
        look.until("document.querySelector('.sm-status').dataset.kind === 'live'")
        assert look.page.inner_text(".sm-banner") == ""


def test_two_who_look_at_the_same_see_the_same(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as one, looking(browser) as two:
        one.open(dashboard)
        two.open(f"{dashboard}?f=pressure")
        feed.publish(feed.market.next())
        last = feed.of(MAIN)[-1]
        for look in (one, two):
            look.until(f"spymaster.last === {last['bar_end'] // 10**6}")
        assert candles(one) == candles(two) == [as_candle(row) for row in feed.of(MAIN)]
