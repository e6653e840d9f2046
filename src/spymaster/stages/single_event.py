"""A single event as JSON, as anyone may post it: checked, and made a batch of one record."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spymaster.contracts.event import F_LAST, F_SNAPSHOT
from spymaster.contracts.topics import ENVELOPE
from spymaster.errors import SourceError
from spymaster.feed.topic import Batch
from spymaster.kernel.columns import COLUMN_TYPES, Columns
from spymaster.kernel.layout import NONE
from spymaster.market.calendars import FIRST_YEAR, LAST_YEAR
from spymaster.market.clock import utc_midnight
from spymaster.market.identify import Instrument
from spymaster.market.ticks import price_grid

_E9 = 1_000_000_000
_LARGEST = 9_000_000_000  #: a price above it does not fit into int64, in 1e-9
_INT64 = (-(2**63), 2**63)
_KINDS = ("FUT", "OPT", "STK")
#: The calendars know these times, ns UTC.
_TIMES = (utc_midnight(dt.date(FIRST_YEAR + 1, 1, 1)), utc_midnight(dt.date(LAST_YEAR, 1, 1)))
#: What the feed's own records can hold, half-open.
_RANGES = {
    "event_time": _TIMES,
    "ts_recv": _TIMES,
    "order_id": (-(2**63), 2**64),
    "size": (0, 2**32),
    "instrument_id": (0, 2**32),
    "ts_in_delta": (-(2**31), 2**31),
    "flags": (0, 2**8),
    "channel_id": (0, 2**8),
    "publisher_id": (0, 2**16),
}


@dataclass
class _Last:
    ts_recv: int = -1
    event_index: int = -1


class SingleEvents:
    """Gives each event what the feed would have given it: time of arrival, place, flags.

    An event without `ts_recv` arrived when it was made; without `flags` it is whole (F_LAST). Its
    identity is its place in the topic: `event_index` counts the contract's events of that time.
    Only those of the configured `underliers` are accepted.
    """

    def __init__(self, underliers: Collection[str]) -> None:
        self._underliers = underliers
        self._last: dict[str, _Last] = {}

    def take(
        self, event: Mapping[str, Any], where: Any, known: Instrument | None
    ) -> tuple[Instrument, Batch]:
        """An event as a batch of one record. SourceError saying what is wrong with it.

        `known`: its contract, where the feed has told it; the event has that one's price step.
        """
        lacking = [name for name in ENVELOPE if name not in event]
        if lacking:
            raise SourceError(
                f"the event lacks {', '.join(lacking)}; see docs/schemas/mbo_raw.json"
            )
        name, kind, root = (
            _text(event, x) for x in ("contract_id", "instrument_type", "underlier")
        )
        if kind not in _KINDS:
            raise SourceError(f"instrument_type is {kind!r}; allowed are {', '.join(_KINDS)}")
        if root not in self._underliers:
            configured = ", ".join(self._underliers)
            raise SourceError(f"underlier {root!r} is not configured; allowed are {configured}")
        step, tick = _grid(known, name, kind, root)
        venue, symbol = _text(event, "venue"), _text(event, "symbol", numeric=True)
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
            "order_id": _signed(_integer(event, "order_id")),
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


def _grid(known: Instrument | None, name: str, kind: str, root: str) -> tuple[int, int]:
    """Price step and tick, 1e-9 currency."""
    if known is not None:
        if (known.instrument_type, known.underlier) != (kind, root):
            raise SourceError(
                f"contract {name} is {known.instrument_type} of {known.underlier}, not {kind} of "
                f"{root}"
            )
        return int(known.price_step or 1), int(known.tick or 1)
    grid = price_grid(kind, root, None)
    if grid is None:
        raise SourceError(f"no tick is known of {kind} of {root}; land its definitions")
    return grid


def _text(event: Mapping[str, Any], name: str, numeric: bool = False) -> str:
    value = event[name]
    if numeric and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value or not _writable(value):
        what = "text, or a whole number," if numeric else "text"
        raise SourceError(f"{name} is {_shown(value)}; {what} is allowed")
    return value


def _writable(text: str) -> bool:
    """JSON can say half of a character, and no table takes it."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _integer(event: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = event.get(name)
    if value is None and default is not None:
        return default
    low, high = _RANGES.get(name, _INT64)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < high:
        raise SourceError(
            f"{name} is {_shown(value)}; a whole number from {low} to {high - 1} is allowed"
        )
    return value


def _signed(order_id: int) -> int:
    """uint64 or its two's complement, as an int64."""
    return order_id - 2**64 if order_id >= 2**63 else order_id


def _price(event: Mapping[str, Any], step: int) -> int:
    value = event["price"]
    if value is None:
        return NONE
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # An integer of any length comes from JSON; a float's own range is far above any price.
    if not number or not -_LARGEST < value < _LARGEST or not math.isfinite(value):
        raise SourceError(
            f"price is {_shown(value)}; a number in currency units below {_LARGEST:,}, or null, "
            "is allowed"
        )
    price: int = round(value * _E9)
    if price % step:
        raise SourceError(f"price {value} is no multiple of the contract's step {step / _E9:g}")
    return price


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _letter(event: Mapping[str, Any], name: str, letters: str) -> int:
    value = event[name]
    if not isinstance(value, str) or len(value) != 1 or value not in letters:
        raise SourceError(f"{name} is {_shown(value)}; allowed are {', '.join(letters)}")
    return ord(value)
