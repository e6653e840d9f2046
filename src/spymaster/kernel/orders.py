"""Resting orders: by id in a hash table, by place in the queue of their price.

The table is open-addressing with Fibonacci hashing and backward-shift deletion; it holds rows of
the `orders` array, which never move, so that queues can be lists through them.
"""

from __future__ import annotations

import numpy as np

from spymaster.kernel.compiled import hot, seldom
from spymaster.kernel.layout import (
    I64,
    O_NEXT,
    S_BITS,
    S_FREE,
    S_N_ORDERS,
    S_USED,
    T_ID,
    T_ROW,
    U,
)

_PHI = np.uint64(11400714819323198485)
_64 = np.uint64(64)


@hot
def home(order_id: int, bits: int) -> int:
    """Place in the table at which the search for an order begins."""
    return np.int64((np.uint64(order_id) * _PHI) >> (_64 - np.uint64(bits)))  # type: ignore[return-value]


@hot
def place(table: I64, s: I64, order_id: int) -> int:
    """Where an order stands in the table, or the empty place where it would."""
    mask = table.shape[0] - 1
    at = home(order_id, s[S_BITS])
    while table[U(at), T_ROW] != 0 and table[U(at), T_ID] != order_id:
        at = (at + 1) & mask
    return at


@hot
def find(table: I64, s: I64, order_id: int) -> int:
    """Row of a resting order, or -1."""
    return table[place(table, s, order_id), T_ROW] - 1


@hot
def insert(table: I64, orders: I64, s: I64, at: int, order_id: int) -> int:
    """A row for a new order, whose place is `at`; the caller fills it and has left room."""
    row = s[S_FREE] - 1
    if row >= 0:
        s[S_FREE] = orders[row, O_NEXT]
    else:
        row = s[S_USED]
        s[S_USED] += 1
    table[at, T_ID] = order_id
    table[at, T_ROW] = row + 1
    s[S_N_ORDERS] += 1
    return row


@hot
def remove(table: I64, orders: I64, s: I64, at: int) -> None:
    """Forget the order at a place, and move up those of the table that were pushed past it."""
    mask = table.shape[0] - 1
    bits = s[S_BITS]
    row = table[at, T_ROW] - 1
    hole = at
    probe = (hole + 1) & mask
    while table[U(probe), T_ROW] != 0:
        distance = (probe - home(table[U(probe), T_ID], bits)) & mask
        if distance >= ((probe - hole) & mask):
            table[U(hole), T_ID] = table[U(probe), T_ID]
            table[U(hole), T_ROW] = table[U(probe), T_ROW]
            hole = probe
        probe = (probe + 1) & mask
    table[hole, T_ROW] = 0
    orders[row, O_NEXT] = s[S_FREE]
    s[S_FREE] = row + 1
    s[S_N_ORDERS] -= 1


@hot
def forget_all(table: I64, s: I64) -> None:
    """Nothing rests any more."""
    table[:, T_ROW] = 0
    s[S_N_ORDERS] = 0
    s[S_USED] = 0
    s[S_FREE] = 0


@seldom
def enter(table: I64, s: I64, entries: I64) -> None:
    """Put entries (of T_ID, T_ROW; T_ROW 0: none) into an empty table; `s` takes its size."""
    bits = 0
    while (1 << bits) < table.shape[0]:
        bits += 1
    s[S_BITS] = bits
    for i in range(entries.shape[0]):
        if entries[i, T_ROW] != 0:
            at = place(table, s, entries[i, T_ID])
            table[at, T_ID] = entries[i, T_ID]
            table[at, T_ROW] = entries[i, T_ROW]
