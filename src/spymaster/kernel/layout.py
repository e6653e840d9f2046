"""Where each number of a book's state lives: names for the columns of a few int64 arrays.

A state is arrays only, so that the same bytes serve a checkpoint, Spark's state store and a test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spymaster.kernel.compiled import hot

I64 = NDArray[np.int64]
NONE = -(2**63)
BID, ASK = 0, 1
#: A place that is known not to be negative: compiled code need not count it from the end then.
U = np.uint64


def _count(n: int) -> range:
    return range(n)


# What does not change in a session: `p`
(
    P_STEP,  # price step, 1e-9 currency
    P_TICK,  # steps per tick
    P_ORIGIN,  # ns UTC that microseconds count from
    P_BAR0,  # first bar of the bars window, as t // 5 s
    P_BAR1,  # first bar after it
    P_DENSE,  # 1: a bar without events is a row too
    P_WARM,  # 1: the session so far is known
    P_LIGHT,  # 1: only the clock, and whether the book is good
    P_N_TRADING,  # number of trading intervals
    P_TRADING,  # their starts and ends follow
) = _count(10)
MAX_TRADING = 8
P_SIZE = P_TRADING + 2 * MAX_TRADING

# Scalars: `s`
(
    S_T,  # t of the last record
    S_STARTED,  # 1: a record was seen
    S_EVENT_OPEN,
    S_EVENT_TS,  # its ts_event
    S_EVENT_RECV,  # its first ts_recv
    S_SNAP_OPEN,
    S_SNAP_RECV,  # its first ts_recv
    S_SNAP_LAST,  # its last ts_recv
    S_N_SNAP,  # orders gathered
    S_N_ORDERS,
    S_BITS,  # log2 of the order table's size
    S_N_BID,  # price levels per side
    S_N_ASK,
    S_LEVELS_USED,  # rows of `levels` ever used
    S_LEVELS_FREE,  # 1 + the first row that is free again, 0: none
    S_USED,  # rows of `orders` ever used
    S_FREE,  # 1 + the first row that is free again, 0: none
    S_INITIALISED,  # 1: a snapshot or a clear was seen
    S_GOOD,  # 1: the book may be believed
    S_INIT_T,  # since when
    S_BAR,  # the open bar, as t // 5 s
    S_COUNTS,  # 1: the current event lies in the bars window
    S_SAMPLE_T,  # time of the last sample
    S_UNCROSSED,  # at it: 1 when two-sided and bid < ask
    S_CROSSED,  # at it: 1 when two-sided and bid >= ask
    S_CHANGED,  # bid, ask: 1 when one of the ten best levels changed since the last sample
    _S_CHANGED_ASK,
    S_TENTH,  # bid, ask: the tenth best key at the last sample, NONE with fewer levels
    _S_TENTH_ASK,
    S_DIRTY,  # 1: the book changed since the largest orders were looked up
    S_LARGEST_SZ,  # bid, ask
    _S_LARGEST_SZ_ASK,
    S_LARGEST_STEPS,  # bid, ask
    _S_LARGEST_STEPS_ASK,
    S_MARK,  # highest clock mark
) = _count(35)
S_SIZE = 35

# An entry of `table`, the orders by id; T_ROW: 1 + its row of `orders`, 0: empty
T_ID, T_ROW = _count(2)

# An order: a row of `orders`, a cache line. Its id stands in the table.
# O_NEXT and O_PREV: 1 + the row behind and before it in its queue
O_KEY, O_SZ, O_SIDE, O_ENTRY, O_PENDING, O_PENDING_TS, O_NEXT, O_PREV = _count(8)
ORDER = 8
# O_SIDE: the side, flags, and above them the order's row of `levels`
SIDE_MASK, AGE_UNKNOWN, IN_SNAPSHOT, SAME_IN_SNAPSHOT = 1, 2, 4, 8
FLAG_BITS = 4
FLAGS = (1 << FLAG_BITS) - 1

# A price level: a row of `levels`, a cache line. `keys[side]` and `slots[side]` have the keys
# and rows of a side's levels in order, the best one last.
# Key: the price of a bid, minus the price of an ask, so that higher is always better.
# L_FIRST, L_LAST: 1 + the rows of the orders at the ends of its queue
# L_MOST: size of its largest order, UNTOLD when that order left
L_KEY, L_SZ, L_CT, L_AGE, L_KNOWN, L_FIRST, L_LAST, L_MOST = _count(8)
LEVEL = 8
UNTOLD = -1

# An order of an open market snapshot: a row of `snap`
N_ID, N_SIDE, N_KEY, N_SZ = _count(4)
SNAP = 4

# The last sample's best prices: `top[side]`
TOP_KEY, TOP_SZ = _count(2)
TOP_LEVELS = 5

# The open bar: `acc`
(
    A_OPEN,
    A_HIGH,
    A_LOW,
    A_CLOSE,
    A_HIGH_T,
    A_LOW_T,
    A_VOLUME,
    A_BUY,
    A_SELL,
    A_TRADES,
    A_PX_SZ,  # sum of price x size
    A_NS_BOOK,
    A_TW_MID2,  # sum of (bid + ask) x ns
    A_TW_SPREAD,
    A_TW_SZ,  # bid, ask
    _A_TW_SZ_ASK,
    A_TW_DEPTH,  # bid, ask
    _A_TW_DEPTH_ASK,
    A_MLOFI,  # 5 of them
) = _count(19)
A_FLOW_SZ = A_MLOFI + TOP_LEVELS  # [kind, side]
ADDED, CANCELLED, EXECUTED, REFILLED = _count(4)
A_FLOW_CT = A_FLOW_SZ + 8
A_OLD_SZ = A_FLOW_CT + 8  # bid, ask
A_EVENTS = A_OLD_SZ + 2
A_UNKNOWN, A_CROSSED, A_BACKWARDS, A_LOST_LAST, A_DRIFT = (A_EVENTS + i for i in range(1, 6))
A_SIZE = A_EVENTS + 6


# A contract's row of `where`: offsets of its blocks in `words`, and how many rows they hold
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
) = _count(10)
WHERE = 10

# `heap`: where the words that were never used begin, and 1 + the first free block of each size
H_END, H_FREE = _count(2)
HEAP = H_FREE + 64


class BookState(NamedTuple):
    """One contract's book and its open bar."""

    p: I64  # [P_SIZE]
    s: I64  # [S_SIZE]
    table: I64  # [2**bits, 2]: order id, 1 + row of `orders` (0: empty)
    orders: I64  # [2**bits / 2, ORDER]
    levels: I64  # [capacity, LEVEL]: both sides' levels, rows that do not move
    keys: I64  # [2, capacity]: per side the levels' keys, best last
    slots: I64  # [2, capacity]: their rows
    snap: I64  # [capacity, SNAP]
    top: I64  # [2, 2, TOP_LEVELS]
    held: I64  # [2, 2]: best size and depth per side at the last sample
    acc: I64  # [A_SIZE]
    watch: I64  # [WATCH], as level_book.py has it
    watched: I64  # [MAX_WATCHED, V_SIZE], the levels that are followed
    windows: I64  # [2, 6], windows whose extremes become levels


@hot
def key_of(side: int, price: int) -> int:
    """A price on the scale where higher is better for its side; its own inverse."""
    return price if side == BID else -price


class Memory(NamedTuple):
    """Everything that the compiled loops see of all contracts."""

    words: I64  # [any]: blocks of what grows
    heap: I64  # [HEAP]
    where: I64  # [n, WHERE]
    p: I64  # [n, P_SIZE]
    s: I64  # [n, S_SIZE]
    top: I64  # [n, 2, 2, TOP_LEVELS]
    held: I64  # [n, 2, 2]
    acc: I64  # [n, A_SIZE]
    watch: I64  # [n, WATCH], as level_book.py has it
    watched: I64  # [n, MAX_WATCHED, V_SIZE]
    windows: I64  # [n, 2, 6]
