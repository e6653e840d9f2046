"""Blocks of words for what grows in a book: orders, levels, the orders of a market snapshot.

Blocks are powers of two and begin at cache lines; one that is given back is used again. All of it
is compiled, so that a book that grows does not leave the loop.
"""

from __future__ import annotations

from spymaster.kernel.compiled import hot, seldom
from spymaster.kernel.layout import (
    H_END,
    H_FREE,
    LEVEL,
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
    Memory,
)
from spymaster.kernel.orders import enter
from spymaster.kernel.rows import compiled_rows

#: Words that one growth takes, per row that there is room for now: more than it ever needs.
GROWTH = 32
LEAST_SNAP = 32


@hot
def _class(size: int) -> int:
    bits = 0
    while (1 << bits) < size:
        bits += 1
    return bits


@hot
def take(m: Memory, size: int) -> int:
    """Offset of a block of `size` words, a power of two, all zero; the caller has left room."""
    head = m.heap[H_FREE + _class(size)]
    if head:
        at = head - 1
        m.heap[H_FREE + _class(size)] = m.words[at]
        m.words[at : at + size] = 0
        return at
    at = m.heap[H_END]
    m.heap[H_END] = at + size
    return at


@hot
def give(m: Memory, at: int, size: int) -> None:
    """A block that nobody uses any more."""
    m.words[at] = m.heap[H_FREE + _class(size)]
    m.heap[H_FREE + _class(size)] = at + 1


@hot
def _twice(m: Memory, at: int, rows: int, width: int) -> int:
    """A block of rows twice as long, with what the old one held."""
    size = rows * width
    new = take(m, 2 * size)
    for i in range(size):
        m.words[new + i] = m.words[at + i]
    give(m, at, size)
    return new


@seldom
def settle(m: Memory, c: int, orders: int, levels: int, snap: int) -> None:
    """A new contract's first blocks: room for so many orders, levels and orders of a snapshot."""
    w = m.where[c]
    w[W_TABLE] = take(m, 2 * 2 * orders)
    w[W_PLACES] = 2 * orders
    w[W_ORDERS] = take(m, orders * ORDER)
    w[W_N_ORDERS] = orders
    w[W_LEVELS] = take(m, levels * LEVEL)
    w[W_KEYS] = take(m, 2 * levels)
    w[W_SLOTS] = take(m, 2 * levels)
    w[W_N_LEVELS] = levels
    w[W_SNAP] = take(m, snap * SNAP) if snap else 0
    w[W_N_SNAP] = snap


@hot
def fits(m: Memory, rows: int) -> bool:
    """Are there words for one growth of so many rows?"""
    return m.heap[H_END] + GROWTH * rows <= m.words.shape[0]


@seldom
def grow_orders(m: Memory, c: int) -> bool:
    """Twice the room for resting orders; False when there are no words for it."""
    w = m.where[c]
    n = w[W_N_ORDERS]
    if not fits(m, n):
        return False
    old = compiled_rows(m.words, w[W_TABLE], 2 * n, 2)
    at = take(m, 2 * 2 * 2 * n)
    enter(compiled_rows(m.words, at, 4 * n, 2), m.s[c], old)
    give(m, w[W_TABLE], 2 * 2 * n)
    w[W_TABLE] = at
    w[W_PLACES] = 4 * n
    w[W_ORDERS] = _twice(m, w[W_ORDERS], n, ORDER)
    w[W_N_ORDERS] = 2 * n
    return True


@hot
def _wider(m: Memory, at: int, n: int) -> int:
    """Both sides' rows of `n`, each twice as long."""
    new = take(m, 4 * n)
    for side in range(2):
        for i in range(n):
            m.words[new + side * 2 * n + i] = m.words[at + side * n + i]
    give(m, at, 2 * n)
    return new


@seldom
def grow_levels(m: Memory, c: int) -> bool:
    """Twice the room for price levels; False when there are no words for it."""
    w = m.where[c]
    n = w[W_N_LEVELS]
    if not fits(m, n):
        return False
    w[W_LEVELS] = _twice(m, w[W_LEVELS], n, LEVEL)
    w[W_KEYS] = _wider(m, w[W_KEYS], n)
    w[W_SLOTS] = _wider(m, w[W_SLOTS], n)
    w[W_N_LEVELS] = 2 * n
    return True


@seldom
def grow_snap(m: Memory, c: int) -> bool:
    """Twice the room for the orders of an open market snapshot; False without words for it."""
    w = m.where[c]
    n = w[W_N_SNAP]
    if not fits(m, max(n, LEAST_SNAP)):
        return False
    w[W_SNAP] = _twice(m, w[W_SNAP], n, SNAP) if n else take(m, LEAST_SNAP * SNAP)
    w[W_N_SNAP] = 2 * n if n else LEAST_SNAP
    return True
