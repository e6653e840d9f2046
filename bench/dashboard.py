"""The dashboard's speed: first paint, a bar's close to pixels, twenty clients over two sessions.

`python -m bench.dashboard` prints it, `--write` puts it into docs/benchmarks.md. The bus, the
server and the browser are real; bars are made by a formula. `--short`: fewer bars.
"""

from __future__ import annotations

import ast
import asyncio
import datetime as dt
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import websockets
from playwright.sync_api import Browser, sync_playwright

from tests.dashboard.feed import DATE, Market, Publisher, at, names
from tests.dashboard.running import ARGUMENTS, CHROMIUM, Running, looking

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEADING, LIVE = "## The dashboard", "## Scoring over HTTP"
SESSION, CONTRACTS, CLIENTS = 4_680, 10, 20  #: bars of 6.5 hours
SHORT = "--short" in sys.argv


def rss_mb(pid: int) -> float:
    """What a process holds in memory now."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_paint(browser: Browser, url: str, times: int = 7) -> list[float]:
    """Seconds from asking for the page to the session on the screen, each in a new window."""
    found = []
    for _ in range(times):
        with looking(browser) as look:
            look.page.goto(url)
            look.until("window.spymaster?.drawn")
            found.append(look.ask("spymaster.drawings.length && spymaster.drawn.since") / 1e3)
    return found


def to_pixels(browser: Browser, url: str, publisher: Publisher, market: Market, n: int) -> Any:
    """Seconds from publishing a bar to its drawing, one bar a second."""
    with looking(browser) as look:
        look.open(url)
        look.until("spymaster.drawn")
        published = {}
        for _ in range(n):
            told = market.next()
            end = told[0][2]["bar_end"] // 10**6
            published[end] = time.time()
            publisher.publish(told)
            look.page.wait_for_timeout(1000)
        drawn = dict(reversed(look.ask("spymaster.drawings")))
    return np.array([drawn[end] / 1e3 - at for end, at in published.items() if end in drawn])


class Watcher:
    """A client without a screen: it speaks what the page speaks, and notes when bars come."""

    def __init__(self) -> None:
        self.lags: list[tuple[int, float]] = []
        self.messages = self.bytes = 0

    async def watch(self, url: str, published: dict[int, float], stop: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=120) as http:
            page = (await http.get(url)).text
        query = ast.literal_eval(re.search(r"query: (\{.*?\}),\n", page)[1])  # type: ignore[index]
        told = {**query, "tab_id": os.urandom(8).hex(), "document_id": os.urandom(8).hex(),
                "implicit_handshake": "true", "EIO": "4", "transport": "websocket"}  # fmt: skip
        place = (
            url.replace("http", "ws", 1) + "_nicegui_ws/socket.io/?" + str(httpx.QueryParams(told))
        )
        async with websockets.connect(place, max_size=2**26, ping_interval=None) as socket:
            await socket.send("40")
            while not stop.is_set():
                try:
                    text = await asyncio.wait_for(socket.recv(), 0.5)
                except TimeoutError:
                    continue
                assert isinstance(text, str)
                self.messages += 1
                self.bytes += len(text)
                if text == "2":
                    await socket.send("3")
                elif "delta" in text[:120] and (last := re.search(r'"last\\":(\d+)', text)):
                    end = int(last[1])
                    if end in published:
                        self.lags.append((end, time.time() - published[end]))
                if self.messages % 50 == 0 and (id_ := re.search(r'"_id":(\d+)', text)):
                    ack = {"client_id": query["client_id"], "next_message_id": int(id_[1]) + 1}
                    await socket.send("42" + json.dumps(["ack", ack]))


async def crowd(url: str, pid: int, publisher: Publisher, bars: int) -> list[dict[str, float]]:
    """Two sessions one after the other, as fast as twenty clients follow; a row for each hour."""
    watchers, stop = [Watcher() for _ in range(CLIENTS)], asyncio.Event()
    published: dict[int, float] = {}
    tasks = [asyncio.create_task(w.watch(url, published, stop)) for w in watchers]
    while any(not w.messages for w in watchers):
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done():
                task.result()
    found = []
    for day in (1, 2):
        market = Market(names(3), date=DATE + dt.timedelta(days=day), start="09:30")
        publisher.publish(market.levels())
        for begin in range(0, bars, 720):
            before = [len(w.lags) for w in watchers]
            since, cpu = time.perf_counter(), cpu_s(pid)
            for _ in range(min(720, bars - begin)):
                told = market.next()
                published[told[0][2]["bar_end"] // 10**6] = time.time()
                await asyncio.to_thread(publisher.publish, told)
                await asyncio.sleep(0.02)
            await asyncio.sleep(1.5)
            lags = [lag for w, n in zip(watchers, before, strict=True) for _, lag in w.lags[n:]]
            row = {
                "session": day, "hour": begin // 720 + 1, "rss": rss_mb(pid),
                "p50": float(np.percentile(lags, 50)), "p95": float(np.percentile(lags, 95)),
                "messages": len(lags) / CLIENTS, "cpu": (cpu_s(pid) - cpu) /
                (time.perf_counter() - since),
            }  # fmt: skip
            print(row, file=sys.stderr)
            found.append(row)
    stop.set()
    await asyncio.gather(*tasks)
    return found


def section() -> str:
    """What docs/benchmarks.md says of it."""
    bars = SESSION // 6 if SHORT else SESSION
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "root"
        publisher, market = Publisher(at(root)), Market(names(CONTRACTS))
        publisher.publish(market.levels())
        for i in range(0, bars, 60):
            publisher.publish(market.bars(min(60, bars - i)))
        running = Running(root, Path(temporary) / "log")
        url, pid = running.url, running.process.pid or 0
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            first_paint(browser, url, 1)
            load = os.getloadavg()[0]
            paints = first_paint(browser, url)
            print("first paint", paints, file=sys.stderr)
            pixels = to_pixels(browser, url, publisher, market, 20 if SHORT else 60)
            print("to pixels", pixels, file=sys.stderr)
            browser.close()
        hours = asyncio.run(crowd(url, pid, publisher, bars))
        publisher.close()
        running.stop()
    rows = "\n".join(
        f"| {h['session']:.0f} | {h['hour']:.0f} | {h['rss']:,.0f} | {h['p50'] * 1e3:,.0f} | "
        f"{h['p95'] * 1e3:,.0f} | {h['messages']:,.0f} | {h['cpu']:.2f} |"
        for h in hours
    )
    return (
        f"{HEADING}\n\nServer, bus and browser on the same {os.cpu_count()} cores; load of the "
        f"machine before it began: {load:.1f}.\n\n"
        f"First paint of a live session of {bars:,} bars of {CONTRACTS} contracts, from asking for "
        f"the page to its drawing, a new window each time: best {min(paints):.2f} s, median "
        f"{np.median(paints):.2f} s (goal 2 s).\n\n"
        f"A bar of {CONTRACTS} contracts from its publication to its drawing, {len(pixels)} bars: "
        f"p50 {np.percentile(pixels, 50) * 1e3:,.0f} ms, p95 "
        f"{np.percentile(pixels, 95) * 1e3:,.0f} ms (goal 1 s).\n\n"
        f"{CLIENTS} clients over two sessions of 3 contracts, some 50 bars a second at most; the "
        "lag is from a bar's publication to a client having it:\n\n"
        "| session | hour | memory of the server, MB | lag p50, ms | lag p95, ms | messages a "
        f"client | its CPU, cores |\n|---:|---:|---:|---:|---:|---:|---:|\n{rows}\n"
    )


def write() -> None:
    """Put the section into docs/benchmarks.md before that of `bench.serving`."""
    text = DOCS.read_text()
    if HEADING in text:
        before, _, rest = text.partition(HEADING)
        text = before + rest[rest.index("\n## ") + 1 :]
    before, live, after = text.partition(LIVE)
    DOCS.write_text(f"{before.rstrip()}\n\n{section()}\n{live}{after}")


if __name__ == "__main__":
    write() if "--write" in sys.argv else print(section())
