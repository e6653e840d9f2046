"""Trades as every stage after the book reads them: in feed order, on the project's clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import ACTION_TRADE, F_SNAPSHOT
from spymaster.kernel.layout import I64
from spymaster.kernel.notes import Notes

#: `price` in steps; `t` ns UTC, never decreasing within a contract.
TRADE = np.dtype([("t", "<i8"), ("price", "<i8"), ("size", "<i8"), ("contract", "<i8")])


def trades_of(events: NDArray[Any], numbers: I64, notes: Notes) -> NDArray[Any]:
    """The trades (`TRADE`) among records (`EVENT`) with their notes; `numbers`: whose each is."""
    traded = (events["action"] == ACTION_TRADE) & (events["flags"] & F_SNAPSHOT == 0)
    out = np.zeros(int(traded.sum()), TRADE)
    out["t"] = notes.t[traded]
    out["price"] = events["price"][traded]
    out["size"] = events["size"][traded]
    out["contract"] = numbers[traded]
    return out
