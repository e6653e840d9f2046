"""The memory of many contracts' books: one place for all, so that one compiled loop serves them.

What has one size for every contract is a row of a few arrays. What grows (orders, levels,
a snapshot's orders) lies in blocks of one array of words; a block that grows moves alone.
"""

from __future__ import annotations

import numpy as np

from spymaster.kernel import heap, layout
from spymaster.kernel.compiled import hot
from spymaster.kernel.layout import (
    I64,
    LEVEL,
    NONE,
    ORDER,
    SNAP,
    W_KEYS,
    W_LEVELS,
    W_N_LEVELS,
    W_N_ORDERS,
    W_N_SNAP,
    W_ORDERS,
    W_PLACES,
    W_SLOTS,
    W_SNAP,
    W_TABLE,
    WHERE,
    BookState,
    Memory,
)
from spymaster.kernel.level_book import MAX_WATCHED, V_SIZE, WATCH
from spymaster.kernel.rows import compiled_rows, rows

#: The least a contract holds: orders, levels.
_ORDERS, _LEVELS = 8, 8
_LINE = 64  # bytes of a cache line


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
    """One contract's state: views of the common memory, good until that contract grows."""
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
    """Memory of contracts that come one by one."""

    def __init__(self) -> None:
        self.n = 0
        self.memory = Memory(
            _words(0),
            np.zeros(layout.HEAP, np.int64),
            np.zeros((0, WHERE), np.int64),
            *(np.zeros((0, *shape), np.int64) for shape in FIXED.values()),
        )

    def __getitem__(self, c: int) -> BookState:
        """Contract `c`'s state as views, good until the next `add` or growth."""
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
            self.memory = self.memory._replace(
                **{
                    name: np.concatenate([old, np.zeros((max(8, c), *old.shape[1:]), np.int64)])
                    for name, old in self.memory._asdict().items()
                    if name not in ("words", "heap")
                }
            )
        self.n += 1
        orders, levels = _power(max(_ORDERS, orders)), _power(max(_LEVELS, levels))
        snap = _power(max(heap.LEAST_SNAP, snap)) if snap else 0
        self._leave_room(orders + levels + snap)
        heap.settle(self.memory, c, orders, levels, snap)
        self.memory.s[c, layout.S_BITS] = orders.bit_length()
        return c

    def enlarge(self, c: int) -> None:
        """More words, for contract `c` and then others to grow into."""
        w = self.memory.where[c]
        self._leave_room(int(max(w[W_N_ORDERS], w[W_N_LEVELS], w[W_N_SNAP], heap.LEAST_SNAP)))

    def _leave_room(self, n: int) -> None:
        end, held = int(self.memory.heap[layout.H_END]), len(self.memory.words)
        if end + heap.GROWTH * n > held:
            words = _words(max(2 * held, _power(end + heap.GROWTH * n)))
            words[:end] = self.memory.words[:end]
            self.memory = self.memory._replace(words=words)


def initialise(b: BookState) -> None:
    """What is not zero in the state of a book that has seen nothing."""
    b.s[[layout.S_T, layout.S_MARK, layout.S_SAMPLE_T]] = NONE
    b.s[layout.S_TENTH : layout.S_TENTH + 2] = NONE
    b.s[layout.S_DIRTY] = 1
    b.top[:, layout.TOP_KEY] = NONE


def _power(n: int) -> int:
    """The least power of two that is not below `n`."""
    return 1 << max(0, n - 1).bit_length()


def _words(n: int) -> I64:
    """Zeros that begin at a cache line, so that an order's row is one."""
    raw = np.zeros(n + _LINE // 8, np.int64)
    skip = -raw.ctypes.data % _LINE // 8
    return raw[skip : skip + n]
