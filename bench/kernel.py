"""The kernel alone: book and bars of one contract, and the same records as those of many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.machine import Line, timed
from spymaster.contracts import TABLES
from spymaster.contracts.event import EVENT
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.feed.dbn import DbnReader
from spymaster.feed.deliver import inspect
from spymaster.kernel.book_params import BookParams
from spymaster.kernel.books import Books
from spymaster.kernel.level_book import Watch
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN

Events = NDArray[Any]

BAR_5S = numpy_dtype(TABLES["silver.bar_5s"])
CHUNK = 250_000
COUNTS = (1, 10, 100, 1_000, 5_000)


def busiest(files: Sequence[Path]) -> tuple[Events, int]:
    """The records (`EVENT`) of the files' first contract, and its price step (1e-9)."""
    settings, kept, step = Settings.load(), [np.zeros(0, EVENT)], 1
    for path in files:
        contents = inspect(path, settings)
        dataset = contents.delivery.dataset
        stage = BronzeProcessDBN(dataset, Instruments(contents.instruments), settings.underlier)
        with DbnReader(path) as reader:
            for chunk in reader.chunks(CHUNK):
                events = stage.advance(chunk.records).events
                kept.append(events[events["contract"] == 0])
        step = int(stage.contracts[0].price_step or 1)
    return np.concatenate(kept), step


def params_of(events: Events, step: int, *, watch: bool = True, dense: bool = True) -> BookParams:
    """Bars over all the time of the records.

    With `watch`, the seven levels that a session may have, spread over its prices.
    """
    first, last = int(events["ts_recv"][0]), int(events["ts_recv"][-1])
    traded = events["price"][events["action"] == ord("T")]
    levels = np.quantile(traded, np.linspace(0.05, 0.95, 7)).astype(int).tolist()
    return BookParams(
        step, 1, first - 10**9, (first, last), [(first, last)], dense=dense,
        watch=Watch(4, [], levels) if watch else None,
    )  # fmt: skip


def run(events: Events, params: BookParams) -> int:
    """All records in chunks, a mark at the end."""
    books = Books(BAR_5S)
    books.add(params)
    for at in range(0, len(events), CHUNK):
        books.advance_one(0, events[at : at + CHUNK])
    books.close(int(events["ts_recv"][-1]))
    return len(events)


def kernel_lines(events: Events, step: int, what: str) -> list[Line]:
    """Rates with and without levels to follow."""
    lines = []
    for watch, words in ((True, "all features, 7 levels followed"), (False, "no level followed")):
        params = params_of(events, step, watch=watch)
        lines.append(timed(f"{what}: {words}", lambda p=params: run(events, p)))  # type: ignore[misc]
    return lines


def split(events: Events, n: int) -> tuple[Events, NDArray[np.int64]]:
    """The records as those of `n` contracts that trade at once, in feed order, and whose each is.

    Contract i has the i-th part of the time, moved to the first part: so there are as many
    records per contract and bar as before, and the same number of bars in all.
    """
    out = events[: len(events) // n * n].copy()
    part = len(out) // n
    numbers = np.repeat(np.arange(n), part)
    for i in range(n):
        mine = out[i * part : (i + 1) * part]
        late = int(mine["ts_recv"][0] - out["ts_recv"][0])
        mine["ts_recv"] -= late
        mine["ts_event"] -= late
    order = np.argsort(out["ts_recv"], kind="stable")
    return out[order], numbers[order]


def many_contracts(events: Events, step: int, n: int, repeat: int = 3) -> tuple[float, float]:
    """Million records a second of the same records as those of `n` contracts; MB they hold."""
    mixed, numbers = split(events, n)
    first, last = int(mixed["ts_recv"][0]), int(mixed["ts_recv"][-1])
    params = BookParams(step, 1, first - 10**9, (first, last), [(first, last)], dense=False)
    best = held = 0.0
    for _ in range(repeat):
        books = Books(BAR_5S)
        for _ in range(n):
            books.add(params)
        started = time.process_time()
        for at in range(0, len(mixed), CHUNK):
            books.advance(mixed[at : at + CHUNK], numbers[at : at + CHUNK])
        books.close(last)
        best = max(best, len(mixed) / (time.process_time() - started) / 1e6)
        held = sum(part.nbytes for part in books._arena.memory) / 1e6
    return best, held


def idle(n: int, marks: int = 100) -> tuple[float, float]:
    """What `n` contracts without records cost: bytes each, and nanoseconds each per mark."""
    books = Books(BAR_5S)
    for _ in range(n):
        books.add(BookParams(1, 1, 0, (0, 10**12), [(0, 10**12)], dense=True))
    books.close(1)
    started = time.process_time()
    for mark in range(marks):
        books.close(mark)
    seconds = time.process_time() - started
    held = sum(part.nbytes for part in books._arena.memory)
    return held / n, seconds / marks / n * 1e9


def contracts_table(events: Events, step: int) -> str:
    """Markdown: cost per record by the number of contracts, beside one contract's."""
    lines = [
        "| contracts | million/s (CPU) | cost beside one | state, MB |",
        "|---:|---:|---:|---:|",
    ]
    alone = 0.0
    for n in COUNTS:
        rate, held = many_contracts(events, step, n)
        alone = alone or rate
        lines.append(f"| {n:,} | {rate:.2f} | {alone / rate:.2f} | {held:,.1f} |")
    held, ns = idle(5_000)
    told = f"An idle contract holds {held:,.0f} bytes and costs {ns:.0f} ns per clock mark."
    return "\n".join(lines) + f"\n\n{told}\n"
