"""The event as the kernel reads it: one MBO record in 56 bytes."""

from __future__ import annotations

import numpy as np

#: `price` is in the contract's price steps, INT_NULL when undefined; `order_id` is the
#: feed's uint64 as two's complement; `contract` indexes the engine's list of contracts.
EVENT = np.dtype(
    [
        ("ts_event", "<i8"),
        ("ts_recv", "<i8"),
        ("order_id", "<i8"),
        ("price", "<i8"),
        ("size", "<i8"),
        ("event_index", "<i4"),
        ("contract", "<i4"),
        ("action", "u1"),
        ("side", "u1"),
        ("flags", "u1"),
        ("notes", "u1"),
        ("pad", "<u4"),
    ]
)

ACTION_ADD, ACTION_CANCEL, ACTION_MODIFY = ord("A"), ord("C"), ord("M")
ACTION_CLEAR, ACTION_TRADE, ACTION_FILL, ACTION_NONE = ord("R"), ord("T"), ord("F"), ord("N")
#: Not of the feed: records are missing from here on (a truncated file, a lost connection).
ACTION_GAP = ord("G")
SIDE_BID, SIDE_ASK, SIDE_NONE = ord("B"), ord("A"), ord("N")

F_LAST, F_TOB, F_SNAPSHOT, F_MBP, F_BAD_TS_RECV, F_MAYBE_BAD_BOOK = 128, 64, 32, 16, 8, 4

#: `notes`: the feed's ts_recv ran backwards here and was raised to the running maximum.
NOTE_BACKWARDS = 1

NS = 1_000_000_000
BAR_NS = 5 * NS
#: How late a record may be and still count at its exchange time (domain, section 4).
LATENESS_NS = 250_000_000
#: A market snapshot that falls silent this long has ended.
SNAPSHOT_SILENCE_NS = 10 * NS

BOOK_LEVELS = 10
MLOFI_LEVELS = 5
