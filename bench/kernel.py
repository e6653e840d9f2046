"""The kernel's rate alone: one contract from files, and the same records as many contracts.

    python -m bench.kernel file.mbo.dbn.zst [more files]

All functions return numbers; rates are millions of records a second of CPU time, best of some.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.history import events_of
from spymaster.contracts import TABLES
from spymaster.contracts.event import EVENT
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel.books import Books
from spymaster.kernel.contract_book import BookParams, ContractBook

BAR_5S = numpy_dtype(TABLES["silver.bar_5s"])
CHUNK = 250_000
TWO_HOURS = 7_200_000_000_000
COUNTS = (1, 10, 100, 1_000, 5_000)


def busiest(files: list[Path]) -> tuple[NDArray[np.void], int]:
    """The records (`EVENT`) of the files' first contract, and its price step."""
    with tempfile.TemporaryDirectory() as folder:
        _, chunks = events_of(Path(folder), files)
    events = [e[e["contract"] == 0] for _, e in chunks] or [np.zeros(0, EVENT)]
    return np.concatenate(events), int(chunks[0][0][0].price_step)


def params_of(events: NDArray[np.void], step: int, bars_ns: int | None = None) -> BookParams:
    """Bars over all the time of the records, or over its last `bars_ns`."""
    first, last = int(events["ts_recv"][0]), int(events["ts_recv"][-1])
    begin = first if bars_ns is None else max(first, last - bars_ns)
    return BookParams(step, 1, first - 10**9, (begin, last), [(first, last)], dense=True)


def one_contract(events: NDArray[np.void], params: BookParams, repeat: int = 5) -> float:
    """Rate of a `ContractBook` over the records, in chunks, with a mark at the end."""
    best = 0.0
    for _ in range(repeat):
        book = ContractBook(params, BAR_5S)
        started = time.process_time()
        for at in range(0, len(events), CHUNK):
            book.advance(events[at : at + CHUNK])
        book.close(int(events["ts_recv"][-1]))
        best = max(best, len(events) / (time.process_time() - started) / 1e6)
    return best


def split(events: NDArray[np.void], n: int) -> NDArray[np.void]:
    """The records as those of `n` contracts that trade at once, in feed order.

    Contract i has the i-th part of the time, moved to the first part: so there are as many
    records per contract and bar as before, and the same number of bars in all.
    """
    out = events[: len(events) // n * n].copy()
    part = len(out) // n
    for i in range(n):
        mine = out[i * part : (i + 1) * part]
        late = int(mine["ts_recv"][0] - out["ts_recv"][0])
        mine["ts_recv"] -= late
        mine["ts_event"] -= late
        mine["contract"] = i
    return out[np.argsort(out["ts_recv"], kind="stable")]


def many_contracts(
    events: NDArray[np.void], step: int, n: int, repeat: int = 3
) -> tuple[float, float]:
    """Rates of `Books` over the same records as those of `n` contracts.

    Interleaved, and one contract after the other: the records are another market than the whole
    (books begin empty in mid-day), so that the second is what the first must be held against.
    """
    mixed = split(events, n)
    apart = mixed[np.argsort(mixed["contract"], kind="stable")]
    part = len(mixed) // n
    first, last = int(mixed["ts_recv"][0]), int(mixed["ts_recv"][-1])
    params = BookParams(step, 1, first - 10**9, (first, last), [(first, last)], dense=False)

    def seconds(interleaved: bool) -> float:
        books = Books(BAR_5S)
        for _ in range(n):
            books.add(params)
        started = time.process_time()
        if interleaved:
            for at in range(0, len(mixed), CHUNK):
                books.advance(mixed[at : at + CHUNK])
        else:
            for i in range(n):
                for at in range(i * part, (i + 1) * part, CHUNK):
                    books.advance_one(i, apart[at : min(at + CHUNK, (i + 1) * part)])
        books.close(last)
        return time.process_time() - started

    together = min(seconds(True) for _ in range(repeat))
    alone = min(seconds(False) for _ in range(repeat))
    return len(mixed) / together / 1e6, len(mixed) / alone / 1e6


def idle(n: int, marks: int = 100) -> tuple[float, float]:
    """What `n` contracts without records cost: bytes each, and nanoseconds each per mark."""
    books = Books(BAR_5S)
    window = (0, 10**12)
    for _ in range(n):
        books.add(BookParams(1, 1, 0, window, [window], dense=True))
    books.close(1)
    started = time.process_time()
    for mark in range(marks):
        books.close(mark)
    seconds = time.process_time() - started
    held = sum(part.nbytes for part in books._arena.memory)
    return held / n, seconds / marks / n * 1e9


def main() -> None:
    """Measure the files given on the command line."""
    for name in sys.argv[1:]:
        events, step = busiest([Path(name)])
        day = one_contract(events, params_of(events, step))
        hours = one_contract(events, params_of(events, step, TWO_HOURS))
        print(
            f"{Path(name).name}: {len(events):,} records, bars all day {day:.1f}, 2 h {hours:.1f}"
        )
        if len(events) > 1_000_000:
            for n in COUNTS:
                together, alone = many_contracts(events, step, n)
                print(f"  {n:5d} contracts {together:.1f}, one after the other {alone:.1f}")
    print("idle: bytes, ns per mark", idle(5_000))


if __name__ == "__main__":
    main()
