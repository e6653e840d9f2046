"""What others need for the same file, each as its documentation has it.

Runs in their own environment.

Usage: python peers.py nautilus|hftbacktest FILE SYMBOL RAW_SYMBOL. Prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

Work = Callable[[], int]


def nautilus(path: str, instrument: str, raw_symbol: str) -> Work:
    """DBN loader into OrderBookDelta objects, and an L3 book that applies each."""
    from nautilus_trader.adapters.databento import DatabentoDataLoader
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.enums import BookType
    from nautilus_trader.model.identifiers import InstrumentId

    known, loader = InstrumentId.from_str(instrument), DatabentoDataLoader()

    def work() -> int:
        deltas = loader.from_dbn_file(path, known)
        book = OrderBook(known, BookType.L3_MBO)
        apply = book.apply_delta
        for delta in deltas:
            apply(delta)
        return len(deltas)

    return work


def hftbacktest(path: str, instrument: str, raw_symbol: str) -> Work:
    """The converter of Databento files to its own L3 feed (no book is built)."""
    from hftbacktest.data.utils import databento

    return lambda: len(databento.convert(path, raw_symbol))


PEERS: dict[str, tuple[Callable[[str, str, str], Work], str]] = {
    "nautilus": (nautilus, "nautilus_trader"),
    "hftbacktest": (hftbacktest, "hftbacktest"),
}


def main() -> None:
    """Time one peer on one file."""
    name, path, instrument, raw_symbol = sys.argv[1:]
    prepare, package = PEERS[name]
    work = prepare(path, instrument, raw_symbol)
    started = time.perf_counter()
    events = work()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"seconds": seconds, "events": events, "peak_mb": peak, "version": version(package)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
