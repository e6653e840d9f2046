"""The memory of many contracts' books: one place for all, so that one compiled loop serves them.

What has one size for every contract is a row of a few arrays. What grows (orders, levels,
a snapshot's orders) lies in blocks of one array of words; a block that grows moves alone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from spymaster.kernel import layout
from spymaster.kernel.compiled import hot
from spymaster.kernel.layout import I64, LEVEL, NONE, ORDER, SNAP, BookState
from spymaster.kernel.level_book import MAX_WATCHED, V_SIZE, WATCH
from spymaster.kernel.orders import enter
from spymaster.kernel.rows import compiled_rows, rows

# A contract's row of `where`: offsets of its blocks in `words`, and how much they hold
(
    W_TABLE,
    W_PLACES,  # entries of the table
    W_ORDERS,
    W_N_ORDERS,
    W_LEVELS,
    W_KEYS,
    W_SLOTS,
    W_N_LEVELS,
    W_SNAP,
    W_N_SNAP,
) = range(10)
WHERE = 10

#: The least a contract holds: orders, levels; and orders of a snapshot, if it has one.
_ORDERS, _LEVELS, _SNAP = 8, 8, 32
_LINE = 64  # bytes of a cache line


class Memory(NamedTuple):
    """Everything the compiled loops see of all contracts."""

    words: I64  # [any]
    where: I64  # [n, WHERE]
    p: I64  # [n, P_SIZE]
    s: I64  # [n, S_SIZE]
    top: I64  # [n, 2, 2, TOP_LEVELS]
    held: I64  # [n, 2, 2]
    acc: I64  # [n, A_SIZE]
    watch: I64  # [n, WATCH]
    watched: I64  # [n, MAX_WATCHED, V_SIZE]
    windows: I64  # [n, 2, 6]


#: What has one size, field by field of BookState: its shape.
FIXED = {
    "p": (layout.P_SIZE,),
    "s": (layout.S_SIZE,),
    "top": (2, 2, layout.TOP_LEVELS),
    "held": (2, 2),
    "acc": (layout.A_SIZE,),
    "watch": (WATCH,),
    "watched": (MAX_WATCHED, V_SIZE),
    "windows": (2, 6),
}


@hot
def book_of(m: Memory, c: int) -> BookState:
    """One contract's state: views of the common memory, good until that grows."""
    w = m.where[c]
    n = w[W_N_LEVELS]
    return BookState(
        m.p[c],
        m.s[c],
        compiled_rows(m.words, w[W_TABLE], w[W_PLACES], 2),
        compiled_rows(m.words, w[W_ORDERS], w[W_N_ORDERS], ORDER),
        compiled_rows(m.words, w[W_LEVELS], n, LEVEL),
        compiled_rows(m.words, w[W_KEYS], 2, n),
        compiled_rows(m.words, w[W_SLOTS], 2, n),
        compiled_rows(m.words, w[W_SNAP], w[W_N_SNAP], SNAP),
        m.top[c],
        m.held[c],
        m.acc[c],
        m.watch[c],
        m.watched[c],
        m.windows[c],
    )


class Arena:
    """Memory of contracts that come one by one; blocks are powers of two and are used again."""

    def __init__(self) -> None:
        self.n = 0
        self._end = 0
        self._free: dict[int, list[int]] = defaultdict(list)
        self.memory = Memory(
            _words(0), _zeros(0, WHERE), *(_zeros(0, *shape) for shape in FIXED.values())
        )

    def __getitem__(self, c: int) -> BookState:
        """Contract `c`'s state as views, good until the next `add` or `grow`."""
        m, w = self.memory, self.memory.where[c]
        n = w[W_N_LEVELS]
        return BookState(
            table=rows(m.words, w[W_TABLE], w[W_PLACES], 2),
            orders=rows(m.words, w[W_ORDERS], w[W_N_ORDERS], ORDER),
            levels=rows(m.words, w[W_LEVELS], n, LEVEL),
            keys=rows(m.words, w[W_KEYS], 2, n),
            slots=rows(m.words, w[W_SLOTS], 2, n),
            snap=rows(m.words, w[W_SNAP], w[W_N_SNAP], SNAP),
            **{name: getattr(m, name)[c] for name in FIXED},
        )

    def add(self, *, orders: int = 0, levels: int = 0, snap: int = 0) -> int:
        """A new contract with room for at least so much, all zero; returns its number."""
        c = self.n
        if c == len(self.memory.where):
            more = max(8, c)
            self.memory = self.memory._replace(
                **{
                    name: np.concatenate([old, np.zeros((more, *old.shape[1:]), np.int64)])
                    for name, old in self.memory._asdict().items()
                    if name != "words"
                }
            )
        self.n += 1
        bits = power(max(_ORDERS, orders)).bit_length()
        self.memory.s[c, layout.S_BITS] = bits
        orders, levels = power(max(_ORDERS, orders)), power(max(_LEVELS, levels))
        snap = power(max(_SNAP, snap)) if snap else 0
        sizes = (
            2 * 2 * orders, ORDER * orders, LEVEL * levels, 2 * levels, 2 * levels,
        )  # fmt: skip
        table, order_rows, level_rows, keys, slots = (self._take(size) for size in sizes)
        place = self._take(SNAP * snap) if snap else 0
        self.memory.where[c] = (
            table, 2 * orders, order_rows, orders, level_rows, keys, slots, levels, place, snap,
        )  # fmt: skip
        return c

    def grow_orders(self, c: int) -> None:
        """Twice the room for resting orders."""
        w, n = self.memory.where[c], int(self.memory.where[c, W_N_ORDERS])
        entries = self[c].table.copy()
        self._give(int(w[W_TABLE]), entries.size)
        table = self._take(2 * entries.size)
        order_rows = self._move(int(w[W_ORDERS]), ORDER * n)
        self.memory.where[c, [W_TABLE, W_PLACES]] = table, 2 * len(entries)
        self.memory.where[c, [W_ORDERS, W_N_ORDERS]] = order_rows, 2 * n
        enter(self[c].table, self.memory.s[c], entries)

    def grow_levels(self, c: int) -> None:
        """Twice the room for price levels."""
        w, n = self.memory.where[c].copy(), int(self.memory.where[c, W_N_LEVELS])
        level_rows = self._move(int(w[W_LEVELS]), LEVEL * n)
        self.memory.where[c, [W_LEVELS, W_N_LEVELS]] = level_rows, 2 * n
        for field in (W_KEYS, W_SLOTS):
            old = rows(self.memory.words, w[field], 2, n).copy()
            self._give(int(w[field]), 2 * n)
            at = self._take(4 * n)
            rows(self.memory.words, at, 2, 2 * n)[:, :n] = old
            self.memory.where[c, field] = at

    def grow_snap(self, c: int) -> None:
        """Twice the room for the orders of an open market snapshot."""
        w, n = self.memory.where[c], int(self.memory.where[c, W_N_SNAP])
        at = self._move(int(w[W_SNAP]), SNAP * n) if n else self._take(SNAP * _SNAP)
        self.memory.where[c, [W_SNAP, W_N_SNAP]] = at, 2 * n if n else _SNAP

    def _move(self, at: int, size: int) -> int:
        """A block twice as large, with what the old one held."""
        new = self._take(2 * size)
        self.memory.words[new : new + size] = self.memory.words[at : at + size]
        self._give(at, size)
        return new

    def _take(self, size: int) -> int:
        """Offset of a block of `size` words, all zero."""
        if self._free[size]:
            at = self._free[size].pop()
            self.memory.words[at : at + size] = 0
            return at
        at, self._end = self._end, self._end + size
        if self._end > len(self.memory.words):
            words = _words(max(2 * len(self.memory.words), power(self._end)))
            words[:at] = self.memory.words[:at]
            self.memory = self.memory._replace(words=words)
        return at

    def _give(self, at: int, size: int) -> None:
        self._free[size].append(at)


def initialise(b: BookState) -> None:
    """What is not zero in the state of a book that has seen nothing."""
    b.s[[layout.S_T, layout.S_MARK, layout.S_SAMPLE_T]] = NONE
    b.s[layout.S_TENTH : layout.S_TENTH + 2] = NONE
    b.s[layout.S_DIRTY] = 1
    b.top[:, layout.TOP_KEY] = NONE


def power(n: int) -> int:
    """The least power of two that is not below `n`."""
    return 1 << max(0, n - 1).bit_length()


def _zeros(*shape: int) -> I64:
    return np.zeros(shape, np.int64)


def _words(n: int) -> I64:
    """Zeros that begin at a cache line, so that an order's row is one."""
    raw = np.zeros(n + _LINE // 8, np.int64)
    skip = -raw.ctypes.data % _LINE // 8
    return raw[skip : skip + n]
