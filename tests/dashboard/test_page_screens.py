"""The page without a feed, without a model, without rows, or for strangers."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from spymaster.alerts.loop import Alerting
from spymaster.contracts import TABLES
from spymaster.lake import Lake
from spymaster.settings import Settings
from tests.dashboard.feed import DATE, Market, Publisher, at, names
from tests.dashboard.running import Running, looking

TOKEN = "a-token-of-some-length"
Start = Callable[..., Running]
TABLE = {
    "series": "gold.feature_series_stream",
    "book": "silver.orderbook_state_stream",
    "level": "silver.session_levels_stream",
    "vector": "gold.setup_vectors_stream",
    "outcome": "gold.labels_stream",
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts dashboards that end with the test, each with 0."""
    running: list[Running] = []

    def begin(*more: str, **environment: str) -> Running:
        log = tmp_path / f"log-{len(running)}"
        running.append(Running(tmp_path / "root", log, *more, **environment))
        return running[-1]

    yield begin
    for one in running:
        if one.process.is_alive():
            one.send(signal.SIGINT)
            assert one.ended() == 0, one.said()


def stored(root: Path, bars: int = 120, date: dt.date = DATE) -> Market:
    """A lake with what a stream has committed of a session."""
    market, lake = Market(names(2), date=date, start="09:30"), Lake(root)
    rows: dict[str, list[dict[str, Any]]] = {}
    for topic, kind, row in [*market.levels(), *market.bars(bars)]:
        name = TABLE.get(kind) or f"gold.{topic}_stream"
        told = {**row, "session_date": dt.date.fromisoformat(row["session_date"])}
        rows.setdefault(name, []).append({n: told.get(n) for n in TABLES[name].names})
    for name, found in rows.items():
        lake.append_rows(name, found)
    return market


def test_an_empty_lake_says_how_to_fill_it(browser: Browser, start: Start, tmp_path: Path) -> None:
    with looking(browser) as look:
        look.open(start().url)
        look.until("spymaster.root.dataset.screen === 'empty'")
        assert "make dashboard" in look.page.inner_text(".sm-screen")
        assert not (tmp_path / "root").exists(), "a page only looks"


def test_without_a_bus_a_stored_session_is_offered_and_shown(
    browser: Browser, start: Start, tmp_path: Path
) -> None:
    market = stored(tmp_path / "root")
    with looking(browser) as look:
        look.open(start().url)
        look.until("spymaster.root.dataset.screen === 'nobus'")
        assert "bus.sqlite" in look.page.inner_text(".sm-screen")
        look.page.click(".sm-open")
        look.until("spymaster.meta")
        assert f"s={DATE}" in look.page.url
        assert look.ask("spymaster.store.rows('price', spymaster.main).at.length") == 120
        assert look.ask("spymaster.meta.first") == market.begin // 10**6
        assert look.ask("document.querySelector('.sm-status').dataset.kind") == "history"
        look.until("spymaster.store.rows('movers').contract_id?.length === 2")
        titles = look.page.locator(".sm-ladder tbody tr").count()
        assert titles == 21
        utc = look.page.get_attribute("[data-pane=ladder] time", "title")
        assert utc == "2024-01-09 14:40:00 UTC"
        assert look.page.inner_text("[data-pane=ladder] time") == "09:40:00"
        # The bus appears, then the first bars: the page finds both by itself.
        look.page.select_option(".sm-session", index=0)
        look.until("spymaster.root.dataset.screen === 'nobus'")
        publisher = Publisher(at(tmp_path / "root"))
        look.until("spymaster.root.dataset.screen === 'waiting'")
        publisher.publish(Market(names(1), date=dt.date(2024, 1, 10)).next())
        look.until("spymaster.meta && spymaster.meta.date === '2024-01-10'")
        publisher.close()


def test_a_session_that_is_not_there_is_said_to_be_absent(browser: Browser, start: Start) -> None:
    with looking(browser) as look:
        look.open(f"{start().url}?s=2020-02-03&u=ES")
        look.until("spymaster.root.dataset.screen === 'absent'")
        assert "2020-02-03" in look.page.inner_text(".sm-screen")


def test_an_endpoint_that_does_not_answer_is_told_over_the_scores(
    browser: Browser, start: Start, tmp_path: Path
) -> None:
    publisher, market = Publisher(at(tmp_path / "root")), Market(names(1))
    publisher.publish(list(market.bars(40)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    score = subprocess.Popen(
        [sys.executable, "-m", "spymaster", "score", "--model", "ES_MODEL", "--endpoint", url,
         "--root", str(tmp_path / "root")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with looking(browser) as look:
            look.open(start().url)
            look.until("spymaster.pulse?.endpoint")
            told = look.page.inner_text("[data-pane=scores] .sm-over")
            assert told.startswith("Endpoint down. score-es_model-champion")
            assert url in told
            row = look.page.inner_text("[data-pane=quality] table")
            assert "score-es_model-champion" in row
    finally:
        score.terminate()
        score.wait()
        publisher.close()


def test_who_has_no_token_sees_nothing(browser: Browser, start: Start, tmp_path: Path) -> None:
    Publisher(at(tmp_path / "root")).close()
    running = start(SPYMASTER_DASHBOARD_TOKEN=TOKEN)
    url = running.url
    assert TOKEN not in running.said()
    for path in ("", "?token=wrong", "told/x.1", "_nicegui_ws/socket.io/?EIO=4&transport=polling"):
        answer = httpx.get(url + path)
        assert answer.status_code == 401
        assert "needs its token" in answer.text
    moved = httpx.get(f"{url}?token={TOKEN}&u=ES")
    assert moved.status_code == 303
    assert moved.headers["location"] == "/?u=ES"
    assert "HttpOnly" in moved.headers["set-cookie"]
    with looking(browser) as look:
        look.open(f"{url}?token={TOKEN}")
        assert TOKEN not in look.page.url
        look.page.reload()
        look.until("spymaster.root.dataset.screen === 'waiting'")


def test_another_name_for_this_machine_is_refused(start: Start) -> None:
    url = start().url
    assert httpx.get(url, headers={"host": "evil.example:80"}).status_code == 403
    assert httpx.get(url, headers={"origin": "http://evil.example"}).status_code == 403
    assert httpx.get(url, headers={"host": "localhost"}).status_code == 200


def test_the_command_says_its_address_ends_well_and_refuses_a_port_in_use(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spymaster", "dashboard", "--root", str(tmp_path)]
    running = subprocess.Popen(
        [*command, "--port", "0", "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=tmp_path,
    )  # fmt: skip
    assert running.stdout is not None
    said = running.stdout.readline()
    found = re.fullmatch(r"dashboard: http://127\.0\.0\.1:(\d+)/\n", said)
    assert found, said
    second = subprocess.run([*command, "--port", found[1]], capture_output=True, text=True)
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{found[1]}" in second.stderr
    assert "Traceback" not in second.stderr
    running.send_signal(signal.SIGTERM)
    rest, errors = running.communicate(timeout=60)
    assert (running.returncode, rest, errors) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_engine_shows_as_stale(browser: Browser, start: Start, tmp_path: Path) -> None:
    publisher, market = Publisher(at(tmp_path / "root")), Market(names(1))
    publisher.publish(list(market.bars(20)))
    folder = tmp_path / "root" / "run"
    folder.mkdir(parents=True)
    told = {"pid": 1, "dataset": "GLBX.MDP3", "state": "live", "silent_s": 0.1, "written_at": 0}
    (folder / "ingest-glbx-mdp3.json").write_text(json.dumps(told))
    with looking(browser) as look:
        look.open(start().url)
        look.until("spymaster.pulse?.feed === 'stale'")
        assert "has not been heard of" in look.page.inner_text(".sm-banner")
        shutil.rmtree(folder)
        for _ in range(12):
            publisher.publish(market.next())
            look.page.wait_for_timeout(80)
        look.until("spymaster.pulse?.feed === 'live'")
    publisher.close()


def test_without_an_ingestor_silence_shows_within_five_seconds(
    browser: Browser, start: Start, tmp_path: Path
) -> None:
    """Bars of 5 s are not late before the sixth; the feed's own topic is silent sooner."""
    publisher, market = Publisher(at(tmp_path / "root")), Market(names(1))
    publisher.records()
    with looking(browser) as look:
        publisher.publish(market.next())
        look.open(start().url)
        for _ in range(3):
            for _ in range(20):
                look.page.wait_for_timeout(250)
                publisher.records()
            publisher.publish(market.next())
        look.until("document.querySelector('.sm-status').dataset.kind === 'live'")
        look.page.wait_for_function(
            "() => document.querySelector('.sm-status').dataset.kind === 'stale'", timeout=5000
        )
        assert "no record comes" in look.page.inner_text(".sm-banner")
        publisher.records()
        publisher.publish(market.next())
        look.until("document.querySelector('.sm-status').dataset.kind === 'live'")
    publisher.close()


def test_an_alert_in_the_table_is_on_the_page_live_and_from_the_lake(
    browser: Browser, start: Start, tmp_path: Path
) -> None:
    rule = {"what": "ofi", "value": 5000.0, "severity": "critical"}
    settings = Settings.load(root=str(tmp_path / "root"), alerts={"rule": {"flood": rule}})
    publisher, market = Publisher(settings), Market(names(2))
    publisher.publish(list(market.bars(30)))
    running = start()
    with looking(browser) as look, Alerting(settings, commit_s=0.2) as watching:
        watching.start()
        look.open(running.url)
        look.until("document.querySelector('[data-pane=alerts] .sm-body').innerText.length")
        told = market.next()
        (bar,) = [r for _, kind, r in told if kind == "series" and r["contract_id"] == names(1)[0]]
        bar["ofi"] = 5001
        publisher.publish(told)
        row = "[data-pane=alerts] tbody tr:has-text('flood')"
        look.page.wait_for_selector(row)
        watching.stop()
        watching.join()
        (stored,) = [
            r
            for r in Lake(settings.root).scan("gold.alerts_stream").to_pylist()
            if r["rule"] == "flood"
        ]
        assert stored["at"] == bar["bar_end"]
        shown = look.page.inner_text(row)
        assert names(1)[0] in shown
        assert "5,001" in shown
        when = dt.datetime.fromtimestamp(stored["at"] // 10**9, dt.UTC)
        assert look.page.get_attribute(f"{row} >> time", "title") == f"{when:%Y-%m-%d %H:%M:%S} UTC"
        alerts = look.ask("spymaster.store.rows('alerts')")
        mine = sum(c in (None, names(1)[0]) for c in alerts["contract_id"])
        assert look.ask("spymaster.price.flags") == mine
        look.page.click(row)
        look.until(f"Math.abs((spymaster.window.start + spymaster.window.end) / 2 - "
                   f"{stored['at'] // 10**6}) < 60000")  # fmt: skip
        assert look.ask("spymaster.price.flags") >= 1
    publisher.close()
    # The same row, of a session that only the lake has.
    shutil.rmtree(tmp_path / "root" / "bus")
    shutil.rmtree(tmp_path / "root" / "run", ignore_errors=True)
    running.stop()
    rows = [
        {**r, "session_date": DATE}
        for topic, kind, r in Market(names(2)).bars(31)
        if kind == "series"
    ]
    Lake(settings.root).append_rows("gold.feature_series_stream", rows, ("test", 1))
    with looking(browser) as look:
        look.open(f"{start().url}?s={DATE}&u=ES")
        look.page.wait_for_selector(row)
        assert "5,001" in look.page.inner_text(row)
