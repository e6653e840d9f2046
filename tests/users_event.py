"""One event as its user writes it, of design and documents."""

from __future__ import annotations

from typing import Any

EVENT: dict[str, Any] = {
    "event_time": 1705000000000000000,
    "ingest_time": 1705000000000000000,
    "venue": "GLBX.MDP3",
    "symbol": 12345,
    "instrument_type": "FUT",
    "underlier": "ES",
    "contract_id": "ESH6",
    "action": "T",
    "order_id": 1,
    "side": "B",
    "price": 5000.0,
    "size": 1,
    "sequence": 1,
    "payload": "{}",
}
