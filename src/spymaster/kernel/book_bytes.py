"""A book's state as bytes, in a form that does not depend on the room it happens to have."""

from __future__ import annotations

import numpy as np

from spymaster.kernel import layout
from spymaster.kernel.arena import FIXED, Arena
from spymaster.kernel.layout import BookState
from spymaster.kernel.orders import enter
from spymaster.kernel.state import pack, unpack

_KIND, _VERSION = "BOOK", 3


def save(b: BookState) -> bytes:
    """The whole state; what holds nothing is left out."""
    s = b.s
    entries = b.table[b.table[:, layout.T_ROW] > 0]
    n = max(s[layout.S_N_BID], s[layout.S_N_ASK])
    ladder = np.zeros((2, 2, n), np.int64)
    for side in (layout.BID, layout.ASK):
        best = s[layout.S_N_BID + side]
        ladder[0, side, :best], ladder[1, side, :best] = b.keys[side, :best], b.slots[side, :best]
    grown = [
        entries[np.argsort(entries[:, layout.T_ROW])],
        b.orders[: s[layout.S_USED]],
        b.levels[: s[layout.S_LEVELS_USED]],
        ladder,
        b.snap[: s[layout.S_N_SNAP]],
    ]
    return pack(_KIND, _VERSION, [*(getattr(b, name) for name in FIXED), *grown])


def load(arena: Arena, data: bytes) -> int:
    """A contract that goes on where `save` left off; ValueError for another version."""
    *fixed, entries, orders, levels, ladder, snap = unpack(data, _KIND, _VERSION)[1]
    s = fixed[list(FIXED).index("s")]
    # A mark may end a snapshot before the next record asks for room.
    c = arena.add(
        orders=1 << max(0, int(s[layout.S_BITS]) - 1),
        levels=max(len(levels), len(snap)) + 1,
        snap=len(snap),
    )
    b = arena[c]
    for name, values in zip(FIXED, fixed, strict=True):
        getattr(b, name)[:] = values
    enter(b.table, b.s, entries)
    b.orders[: len(orders)] = orders
    b.levels[: len(levels)] = levels
    n = ladder.shape[2]
    b.keys[:, :n], b.slots[:, :n] = ladder
    b.snap[: len(snap)] = snap
    return c
