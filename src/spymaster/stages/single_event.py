"""A single event as JSON, as anyone may post it: checked, and made a batch of one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spymaster.contracts.event import F_LAST, F_SNAPSHOT
from spymaster.contracts.topics import ENVELOPE
from spymaster.errors import SourceError
from spymaster.feed.topic import Batch
from spymaster.kernel.columns import COLUMN_TYPES, Columns
from spymaster.kernel.layout import NONE
from spymaster.market.identify import Instrument
from spymaster.market.ticks import price_grid

_E9 = 1_000_000_000
_INT64 = 2**63


@dataclass
class _Last:
    ts_recv: int = -1
    event_index: int = -1


class SingleEvents:
    """Gives each event what the feed would have given it: time of arrival, place, flags.

    An event without `ts_recv` arrived when it was made; without `flags` it is whole (F_LAST). Its
    identity is its place in the topic: `event_index` counts the contract's events of that time.
    """

    def __init__(self) -> None:
        self._last: dict[str, _Last] = {}

    def take(self, event: Mapping[str, Any], where: Any) -> tuple[Instrument, Batch]:
        """An event as a batch of one record. SourceError saying what is wrong with it."""
        lacking = [name for name in ENVELOPE if name not in event]
        if lacking:
            raise SourceError(
                f"the event lacks {', '.join(lacking)}; see docs/schemas/mbo_raw.json"
            )
        name, kind = str(event["contract_id"]), str(event["instrument_type"])
        root = str(event["underlier"])
        grid = price_grid(kind, root, None)
        if grid is None:
            raise SourceError(f"no tick is known of {kind} of {root}: allowed are FUT, OPT, STK")
        step, tick = grid
        venue, symbol = str(event["venue"]), str(event["symbol"])
        time = _integer(event, "event_time")
        raw = _integer(event, "ts_recv", time)
        last = self._last.setdefault(name, _Last())
        ts_recv = max(last.ts_recv, raw)
        index = last.event_index + 1 if ts_recv == last.ts_recv else 0
        flags = _integer(event, "flags", F_LAST)
        number = _integer(event, "instrument_id", 0)
        values = {
            "ts_event": time,
            "ts_recv": ts_recv,
            "order_id": _order_id(event),
            "price": _price(event, step),
            "size": _integer(event, "size"),
            "sequence": _integer(event, "sequence"),
            "instrument_id": number,
            "event_index": index,
            "ts_in_delta": _integer(event, "ts_in_delta", 0),
            "flags": flags,
            "channel_id": _integer(event, "channel_id", 0),
            "publisher_id": _integer(event, "publisher_id", 0),
            "action": _letter(event, "action", "ACMRTFN"),
            "side": _letter(event, "side", "BAN"),
            "contract": 0,
            "is_snapshot": flags & F_SNAPSHOT != 0,
        }
        columns = Columns._make(
            np.array([values[column]], dtype) for column, dtype in COLUMN_TYPES.items()
        )
        self._last[name] = _Last(ts_recv, index)
        instrument = Instrument(
            venue, number, ts_recv, "event", None, symbol, contract_id=name, underlier=root,
            instrument_type=kind, price_step=step, tick=tick,
        )  # fmt: skip
        batch = Batch(
            columns=columns,
            contracts=((name, symbol),),
            backwards={0: raw} if raw < ts_recv else {},
            venue=venue,
            batch_id="event",
            upto=int(where.offset),
            ingest_time=_integer(event, "ingest_time"),
        )
        return instrument, batch

    def to_json(self) -> dict[str, list[int]]:
        """The whole state."""
        return {name: [x.ts_recv, x.event_index] for name, x in self._last.items()}

    def restore(self, told: Mapping[str, list[int]]) -> None:
        """Go on where `to_json` left off."""
        self._last = {name: _Last(*x) for name, x in told.items()}


def _integer(event: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = event.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
        raise SourceError(f"{name} is {value!r}; an integer of 64 bits is allowed")
    return value


def _order_id(event: Mapping[str, Any]) -> int:
    """uint64 or its two's complement, as an int64."""
    value = event["order_id"]
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < 2 * _INT64:
        raise SourceError(f"order_id is {value!r}; an integer of 64 bits is allowed")
    return value - 2 * _INT64 if value >= _INT64 else value


def _price(event: Mapping[str, Any], step: int) -> int:
    value = event["price"]
    if value is None:
        return NONE
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SourceError(f"price is {value!r}; a number in currency units, or null, is allowed")
    price = round(value * _E9)
    if price % step:
        raise SourceError(f"price {value} is no multiple of the contract's step {step / _E9:g}")
    return price


def _letter(event: Mapping[str, Any], name: str, letters: str) -> int:
    value = event[name]
    if not isinstance(value, str) or len(value) != 1 or value not in letters:
        raise SourceError(f"{name} is {value!r}; allowed are {', '.join(letters)}")
    return ord(value)
