"""The options of the market: their books from session to session, and what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.feed.dbn_records import MBO_RECORD
from spymaster.feed.simulator.chain import Option
from spymaster.feed.simulator.compiled import play_options
from spymaster.feed.simulator.options import BOOK, CENT, CLOCK
from spymaster.feed.simulator.tape import ADD, SNAPSHOT


class OptionDesk:
    """All options of one session after another; books go on while an option is listed."""

    def __init__(self, seed: int) -> None:
        self.books: NDArray[Any] = np.zeros(0, BOOK)
        self.rng = np.array([np.random.SeedSequence([seed, 77]).generate_state(1, np.uint64)[0]])
        self.clock = np.zeros(1, CLOCK)
        self.clock["next_id"], self.clock["packet"] = 7_000_000_000_000, 500

    def list_options(self, options: list[Option]) -> None:
        """The options of a session; who was listed before keeps the orders."""
        before = {int(b["instrument_id"]): b for b in self.books}
        books = np.zeros(len(options), BOOK)
        for k, option in enumerate(options):
            if option.instrument_id in before:
                books[k] = before[option.instrument_id]
            books[k]["instrument_id"], books[k]["strike"] = option.instrument_id, option.strike
            books[k]["call"], books[k]["expires"] = option.call, option.expiration_ns
        self.books = books

    def play(
        self,
        seconds: NDArray[np.void],
        fair: NDArray[np.float64],
        start_ns: int,
        share: float,
        limit_ns: int,
    ) -> NDArray[np.void]:
        """Records of a slice of time. `fair`: the future's price in points, second by second.

        share: options' records per record of the futures. limit_ns: the last ts_recv allowed.
        """
        weight = np.exp(-np.abs(self.books["strike"] - fair[0]) / 60.0) + 0.02
        weight[self.books["expires"] <= start_ns] = 0.0
        if not weight.any():
            return np.zeros(0, MBO_RECORD)
        ladder = np.cumsum(weight)
        self.clock["limit"] = limit_ns
        expected = float(seconds["rate"].sum()) * share
        out = np.zeros(int(1.3 * expected) + 4096, MBO_RECORD)
        parts, done = [], False
        while not done:
            done = play_options(
                self.clock, self.books, self.rng, ladder, seconds, fair, start_ns, share, out
            )
            parts.append(out[: int(self.clock["n"][0])].copy())
            self.clock["n"] = 0
        return np.concatenate(parts)

    def snapshot(self, midnight_ns: int) -> NDArray[np.void]:
        """The standing orders of every option, as the vendor repeats them at 00:00 UTC."""
        option, side, _ = rest = np.nonzero(self.books["size"])
        rows = np.zeros(len(option), MBO_RECORD)
        rows["length"], rows["rtype"], rows["publisher_id"] = 14, 160, 1
        rows["instrument_id"] = self.books["instrument_id"][option]
        rows["ts_recv"] = midnight_ns
        rows["ts_event"] = min(midnight_ns, int(self.clock["recv"][0]) or midnight_ns) - 1_000_000
        rows["order_id"], rows["size"] = self.books["id"][rest], self.books["size"][rest]
        rows["price"] = self.books["px"][rest] * CENT
        rows["action"], rows["side"] = ADD, np.array([66, 65])[side]
        rows["flags"], rows["sequence"], rows["channel_id"] = SNAPSHOT, 1 + option % 400, 1
        return rows
