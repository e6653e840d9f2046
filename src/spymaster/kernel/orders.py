"""Resting orders by id: open addressing, Fibonacci hashing, backward-shift deletion."""

from __future__ import annotations

import numpy as np

from spymaster.kernel.compiled import compiled
from spymaster.kernel.layout import I64, O_ID, O_SIDE, S_BITS, S_N_ORDERS

_PHI = np.uint64(11400714819323198485)
_64 = np.uint64(64)


@compiled
def home(order_id: int, bits: int) -> int:
    """Slot at which the search for an order begins."""
    return np.int64((np.uint64(order_id) * _PHI) >> (_64 - np.uint64(bits)))  # type: ignore[return-value]


@compiled
def find(orders: I64, s: I64, order_id: int) -> int:
    """Slot of a resting order, or -1."""
    mask = orders.shape[0] - 1
    slot = home(order_id, s[S_BITS])
    while orders[slot, O_SIDE] != 0:
        if orders[slot, O_ID] == order_id:
            return slot
        slot = (slot + 1) & mask
    return -1


@compiled
def insert(orders: I64, s: I64, order_id: int) -> int:
    """An empty slot for a new order; the caller fills it and has left room."""
    mask = orders.shape[0] - 1
    slot = home(order_id, s[S_BITS])
    while orders[slot, O_SIDE] != 0:
        slot = (slot + 1) & mask
    orders[slot, O_ID] = order_id
    s[S_N_ORDERS] += 1
    return slot


@compiled
def remove(orders: I64, s: I64, slot: int) -> None:
    """Empty a slot and move up those that were pushed past it."""
    mask = orders.shape[0] - 1
    bits = s[S_BITS]
    hole = slot
    probe = (hole + 1) & mask
    while orders[probe, O_SIDE] != 0:
        distance = (probe - home(orders[probe, O_ID], bits)) & mask
        if distance >= ((probe - hole) & mask):
            for c in range(orders.shape[1]):
                orders[hole, c] = orders[probe, c]
            hole = probe
        probe = (probe + 1) & mask
    orders[hole, O_SIDE] = 0
    s[S_N_ORDERS] -= 1


@compiled
def rehash(old: I64, new: I64, s: I64) -> None:
    """Move all orders into a larger, empty table; `s` takes its size."""
    bits = 0
    while (1 << bits) < new.shape[0]:
        bits += 1
    s[S_BITS] = bits
    s[S_N_ORDERS] = 0
    for i in range(old.shape[0]):
        if old[i, O_SIDE] != 0:
            slot = insert(new, s, old[i, O_ID])
            for c in range(old.shape[1]):
                new[slot, c] = old[i, c]
