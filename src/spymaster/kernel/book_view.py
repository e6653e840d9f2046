"""A contract's book as it stands now: best prices, depth, queues, and how far its time is."""

from __future__ import annotations

import numpy as np

from spymaster.contracts.event import LATENESS_NS
from spymaster.kernel import layout
from spymaster.kernel.layout import NONE, BookState


class BookView:
    """Reads a book's state and changes nothing. Good until the book takes its next records."""

    def __init__(self, state: BookState) -> None:
        self._seen = state

    @property
    def _state(self) -> BookState:
        return self._seen

    @property
    def watermark(self) -> int:
        """No later record can have a t below this, ns UTC."""
        s = self._state.s
        if s[layout.S_EVENT_OPEN] or s[layout.S_SNAP_OPEN] or s[layout.S_MARK] == NONE:
            return int(s[layout.S_T])
        return int(max(s[layout.S_T], s[layout.S_MARK] - LATENESS_NS))

    @property
    def last_t(self) -> int:
        """The contract's time at its last record, ns UTC."""
        return int(self._state.s[layout.S_T])

    @property
    def good_since(self) -> int | None:
        """Since when the book may be believed, ns UTC; None while it may not."""
        s = self._state.s
        return int(s[layout.S_INIT_T]) if s[layout.S_GOOD] else None

    @property
    def n_orders(self) -> int:
        """Resting orders."""
        return int(self._state.s[layout.S_N_ORDERS])

    def best(self) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
        """Best bid and ask now: (price in steps, size, orders), None for an empty side."""
        bids, asks = self.depth(1)
        return (bids[0] if bids else None), (asks[0] if asks else None)

    def depth(self, levels: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """The best levels of each side now, even within an event: (price, size, orders)."""
        b = self._state
        out = []
        for side in (layout.BID, layout.ASK):
            n = int(b.s[layout.S_N_BID + side])
            best = b.levels[b.slots[side, max(0, n - levels) : n][::-1]]
            out.append(
                [
                    (int(layout.key_of(side, int(key))), int(sz), int(ct))
                    for key, sz, ct in best[:, [layout.L_KEY, layout.L_SZ, layout.L_CT]]
                ]
            )
        return out[0], out[1]

    def queue(self, side: int, price: int) -> list[tuple[int, int]]:
        """Resting orders at a price in time priority: (order_id, size)."""
        b, key = self._state, layout.key_of(side, price)
        keys = b.keys[side, : b.s[layout.S_N_BID + side]]
        at = int(np.searchsorted(keys, key))
        row = int(b.levels[b.slots[side, at], layout.L_FIRST]) if key in keys else 0
        ids = {int(row): int(order_id) for order_id, row in b.table if row}
        queue = []
        while row:
            order = b.orders[row - 1]
            queue.append((ids[row], int(order[layout.O_SZ])))
            row = int(order[layout.O_NEXT])
        return queue
