"""What could be traded at from given times on, record by record over a book of dicts."""

from __future__ import annotations

import numpy as np

from spymaster.contracts.event import LATENESS_NS
from tests.oracle.bars import _Contract, _plain
from tests.oracle.clock import Clock, Record
from tests.oracle.params import Params

#: (since when, bid, ask, bid size, ask size), prices in 1e-9 currency.
Quote = tuple[int, int, int, int, int]


class _Times:
    """Notes each record's t, and whether it begins an event, a market snapshot or a gap."""

    def __init__(self) -> None:
        self.noted: list[tuple[int, bool]] = []

    def snapshot_record(self, r: Record, t: int, begins: bool) -> None:
        self.noted.append((t, begins))

    live_record = snapshot_record

    def gap(self, t: int) -> None:
        self.noted.append((t, True))

    def snapshot_begins(self, t: int, ts_recv: int) -> None: ...
    def snapshot_ends(self, t: int) -> None: ...
    def event_ends(self, t: int, lost_last: bool) -> None: ...
    def bar_closes(self, start: int) -> None: ...


def oracle_quotes(
    records: np.ndarray, params: Params, times: list[int], last_mark: int
) -> list[Quote | None]:
    """The first sound quote of whole events at or after each time; times ascending."""
    rows, listener = _plain(records), _Times()
    ahead = Clock(listener)
    for r in rows:
        ahead.record(r)
    contract = _Contract(params, None)
    clock = Clock(contract)
    out: list[Quote | None] = []

    def answer(before: int) -> None:
        last = contract.last
        while len(out) < len(times) and times[len(out)] < before:
            if contract.good_since is None or not last.sound:
                return
            (bid, bid_sz, _), (ask, ask_sz, _) = last.bids[0], last.asks[0]
            step = params.price_step
            since = max(times[len(out)], clock.t)
            out.append((since, bid * step, ask * step, bid_sz, ask_sz))

    for r, (t, begins) in zip(rows, listener.noted, strict=True):
        if begins:
            answer(t)
        clock.record(r)
    clock.mark(last_mark)
    answer(last_mark - LATENESS_NS)
    return out + [None] * (len(times) - len(out))
