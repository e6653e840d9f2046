"""Which records decode but cannot be true: what bronze puts into quarantine."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spymaster.contracts.event import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_FILL,
    ACTION_MODIFY,
    ACTION_NONE,
    ACTION_TRADE,
    SIDE_ASK,
    SIDE_BID,
    SIDE_NONE,
)
from spymaster.kernel.compiled import compiled

UNDEF = 2**63 - 1
UNDEF_SIZE = 2**32 - 1

#: Words for the codes of `check`; 0 is a good record.
REASONS = (
    "",
    "action is none of A, C, M, R, T, F, N",
    "side is none of B, A, N",
    "ts_recv or ts_event is undefined, zero or before 1970",
    "size is undefined (2^32-1)",
    "add or modify without a side",
    "add or modify without a price",
    "add of size 0",
    "trade without a price",
    "trade of size 0",
)
OK, BAD_ACTION, BAD_SIDE, BAD_TIME, NO_SIZE, NO_SIDE, NO_PRICE, EMPTY_ADD = range(8)
TRADE_NO_PRICE, EMPTY_TRADE = 8, 9


@compiled
def check(records: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """What is wrong with each record: the first broken rule, 0 if none.

    records: MBO_RECORD. Returns uint8 codes, indices of REASONS.
    """
    codes = np.zeros(records.size, np.uint8)
    for i in range(records.size):
        codes[i] = _reason(records[i])
    return codes


@compiled
def _reason(r: Any) -> int:
    action, side = r.action, r.side
    quote = action in (ACTION_ADD, ACTION_MODIFY)
    trade = action == ACTION_TRADE
    if not (quote or trade or action in (ACTION_CANCEL, ACTION_FILL, ACTION_CLEAR, ACTION_NONE)):
        return BAD_ACTION
    if side not in (SIDE_BID, SIDE_ASK, SIDE_NONE):
        return BAD_SIDE
    if r.ts_recv <= 0 or r.ts_event <= 0 or r.ts_recv == UNDEF or r.ts_event == UNDEF:
        return BAD_TIME
    if r.size == UNDEF_SIZE:
        return NO_SIZE
    if quote and side == SIDE_NONE:
        return NO_SIDE
    if quote and r.price == UNDEF:
        return NO_PRICE
    if action == ACTION_ADD and r.size == 0:
        return EMPTY_ADD
    if trade and r.price == UNDEF:
        return TRADE_NO_PRICE
    if trade and r.size == 0:
        return EMPTY_TRADE
    return OK
