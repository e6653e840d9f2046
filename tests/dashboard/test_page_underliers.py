"""ES and TSLA trade at once: what is chosen stays, and nothing of the other shows."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.dashboard.feed import Market, Publisher, at, names
from tests.dashboard.running import Looking, Running, looking

BARS = 240
ES, TSLA = names(2), ["TSLA"]
#: Every contract that the page was told of, wherever it stands.
TOLD = (
    "[...new Set([...spymaster.meta.known.map((k) => k.contract), ...spymaster.meta.contracts, "
    "...Object.entries(spymaster.store.parts).flatMap(([key, part]) => [...(part.all?.contract_id "
    "|| []), ...Object.values(part.by || {}).flatMap((rows) => rows.contract_id || []), "
    "...(spymaster.spec(key).split === 'contract_id' ? Object.keys(part.by || {}) : [])])])]"
    ".filter((c) => c).sort()"
)
#: What is looked at, and where, to the second.
KEPT = (
    "[spymaster.meta.underlier, spymaster.main, spymaster.following, "
    "Math.round(spymaster.window.start / 1e3), Math.round(spymaster.window.end / 1e3), "
    "Math.round(spymaster.price.chart.getOption().dataZoom[0].startValue / 1e3)]"
)


class Feed:
    """Both markets, bar by bar."""

    def __init__(self, root: Path) -> None:
        self.markets = [
            Market(ES),
            Market(TSLA, underlier="TSLA", scored=False, seed=2),
        ]
        self.publisher = Publisher(at(root))
        for market in self.markets:
            self.publisher.publish([*market.levels(), *market.bars(BARS)])

    def next(self) -> None:
        for market in self.markets:
            self.publisher.publish(market.next())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("underliers") / "root"


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


def only(look: Looking, underlier: str, contracts: list[str]) -> None:
    """The page shows these contracts, and none of another underlier."""
    assert look.ask("spymaster.meta.underlier") == underlier
    assert look.ask(TOLD) == contracts
    options = look.page.locator(".sm-contract option").all_inner_texts()
    assert sorted(options) == contracts
    shown = look.page.inner_text(".sm-side") + look.page.inner_text(".sm-main")
    for other in {*ES, *TSLA} - set(contracts):
        assert other not in shown


def chosen(look: Looking, underlier: str) -> None:
    look.page.select_option(".sm-session", f"live|{underlier}")
    look.until(f"spymaster.meta.underlier === '{underlier}'")
    look.until("spymaster.store.rows('movers').contract_id?.length")


def test_each_underlier_has_its_own_contracts_and_goes_on_with_its_own_bars(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        look.until(f"spymaster.store.rows('price', '{ES[0]}').at?.length >= {BARS}")
        only(look, "ES", ES)
        assert look.page.locator(".sm-session option").all_inner_texts() == ["Live ES", "Live TSLA"]
        for underlier, contracts in (("TSLA", TSLA), ("ES", ES)):
            chosen(look, underlier)
            only(look, underlier, contracts)
            before: dict[str, Any] = look.ask(f"spymaster.store.rows('price', '{contracts[0]}')")
            feed.next()
            look.until(f"spymaster.store.rows('price', '{contracts[0]}').at.length === "
                       f"{len(before['at']) + 1}")  # fmt: skip
            look.until("spymaster.drawn.last === spymaster.last")
            only(look, underlier, contracts)
            assert f"u={underlier}" in look.page.url or underlier == "ES"


def test_zoom_and_reload_keep_the_underlier_and_a_choice_of_another_begins_at_its_edge(
    browser: Browser, dashboard: str, feed: Feed
) -> None:
    with looking(browser) as look:
        look.open(dashboard)
        chosen(look, "TSLA")
        for key in ("+", "+", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
            look.page.keyboard.press(key)
        look.until("new URLSearchParams(location.search).has('a')")
        look.until("!spymaster.following")
        before = look.ask(KEPT)
        assert before[:3] == ["TSLA", "TSLA", False]
        look.page.reload()
        look.until("window.spymaster?.drawn")
        assert look.ask(KEPT) == before
        only(look, "TSLA", TSLA)
        feed.next()
        look.until("spymaster.drawn.last === spymaster.last")
        assert look.ask(KEPT) == before, "what comes moves nothing that was zoomed to"
        chosen(look, "ES")
        look.until("spymaster.following")
        only(look, "ES", ES)
        look.page.select_option(".sm-contract", ES[1])
        look.until(f"spymaster.main === '{ES[1]}'")
        only(look, "ES", ES)
        look.page.reload()
        look.until("window.spymaster?.drawn")
        assert look.ask(KEPT)[:3] == ["ES", ES[1], True]


def test_an_address_that_mixes_them_shows_one_of_them(browser: Browser, dashboard: str) -> None:
    """The contract says whose it is; beside an underlier that has not got it, it is left out."""
    for query, underlier, contracts in (
        ("c=TSLA", "TSLA", TSLA),
        (f"u=TSLA&c={ES[1]}", "TSLA", TSLA),
        (f"c={ES[1]},TSLA&u=ES", "ES", ES),
    ):
        with looking(browser) as look:
            look.open(f"{dashboard}?{query}")
            look.until("spymaster.store.rows('movers').contract_id?.length")
            only(look, underlier, contracts)
