"""Which symbols a feed has on a day, under which numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from databento_dbn import DBNDecoder, VersionUpgradePolicy

from spymaster.feed.dbn import Chunk, DbnReader, file_day
from spymaster.feed.dbn_definitions import definitions
from spymaster.feed.dbn_records import RTYPE_SYMBOL_MAPPING
from spymaster.feed.gateway.tape import TapeFile
from spymaster.market.clock import DAY_NS
from spymaster.market.symbols import future_root, symbol_kind

_DAY_ZERO = dt.date(1970, 1, 1)
#: An instrument class in a parent symbol: spreads belong to what they are made of.
_PARENT = {"F": "FUT", "S": "FUT", "C": "OPT", "P": "OPT", "T": "OPT", "M": "OPT", "X": "SPOT"}


class Listed(NamedTuple):
    """A symbol's number and parent on the days [first, after); `defined` by the exchange."""

    raw_symbol: str
    instrument_id: int
    parent: str | None
    first: dt.date
    after: dt.date
    defined: bool = False


class Symbols:
    """All that a dataset's files say of symbols: their heads, definitions, mapping messages.

    Of two that speak of one symbol on one day the later one counts, and of equal ones the
    exchange's definition.
    """

    def __init__(self, listed: Iterable[Listed]) -> None:
        self._listed = sorted(set(listed), key=_order)
        self.on = lru_cache(maxsize=8)(self._on)

    def __len__(self) -> int:
        return len({one.raw_symbol for one in self._listed})

    def _on(self, day: dt.date) -> Mapping[str, Listed]:
        """Every symbol of a UTC day."""
        found: dict[str, Listed] = {}
        number: dict[int, str] = {}
        for one in self._listed:
            if one.first <= day < one.after:
                known = found.get(one.raw_symbol)
                if known is not None and known.defined and not one.defined:
                    one = one._replace(parent=known.parent, defined=True)
                if (other := number.get(one.instrument_id, one.raw_symbol)) != one.raw_symbol:
                    found.pop(other, None)
                number[one.instrument_id] = one.raw_symbol
                found[one.raw_symbol] = one
        return found


def _order(one: Listed) -> tuple[dt.date, bool, str, int, dt.date]:
    return one.first, one.defined, one.raw_symbol, one.instrument_id, one.after


def read_symbols(files: Iterable[TapeFile]) -> Symbols:
    """What the files say: heads of all, and definition and mixed files from end to end."""
    found: list[Listed] = []
    for file in files:
        with DbnReader(file.path) as reader:
            day = file_day(reader.metadata, file.path) if file.first_key < 0 else None
            found += _mapped(reader.metadata.mappings)
            if file.schema != "mbo":
                for chunk in reader.chunks(65_536):
                    found += _defined(reader, chunk, day or utc_day(file.first_key))
                    found += _told(reader, chunk)
    return Symbols(found)


def utc_day(ns: int) -> dt.date:
    return _DAY_ZERO + dt.timedelta(days=ns // DAY_NS)


def parent_of(asset: str | None, instrument_class: str, raw_symbol: str) -> str | None:
    """The parent symbol that an instrument belongs to; without a class, by its symbol.

    >>> parent_of("EW", "C", "EWF4 C4800"), parent_of(None, "", "ESH4"), parent_of(None, "", "TSLA")
    ('EW.OPT', 'ES.FUT', None)
    """
    if instrument_class in _PARENT and asset:
        return f"{asset}.{_PARENT[instrument_class]}"
    kind = symbol_kind(raw_symbol)
    root = future_root(raw_symbol.replace("-", " ").split()[0]) if raw_symbol.strip() else None
    if root is None or kind == "stock":
        return None
    return f"{root}.OPT" if kind == "option" else f"{root}.FUT"


def _mapped(mappings: Mapping[str, Any]) -> Iterator[Listed]:
    for symbol, intervals in mappings.items():
        for interval in intervals:
            name, number = symbol, str(interval["symbol"])
            if symbol.isdigit() and not number.isdigit():
                name, number = number, symbol
            if number.isdigit():
                parent = parent_of(None, "", name)
                yield Listed(
                    name, int(number), parent, interval["start_date"], interval["end_date"]
                )


def _defined(reader: DbnReader, chunk: Chunk, day: dt.date) -> Iterator[Listed]:
    for row in definitions(reader.metadata, chunk.others):
        name, asset = row["raw_symbol"].decode(), row["asset"].decode()
        received, expires = int(row["ts_recv"]), int(row["expiration"])
        first = utc_day(received) if 0 < received < 2**63 - 1 else day
        after = dt.date.max
        if 0 < expires < 2**63 - 1:
            after = max(utc_day(expires), first) + dt.timedelta(days=1)
        parent = parent_of(asset, row["instrument_class"].decode(), name)
        yield Listed(name, int(row["instrument_id"]), parent, first, after, True)


def _told(reader: DbnReader, chunk: Chunk) -> Iterator[Listed]:
    """What a live capture's gateway said; it holds from the day of that message on."""
    decoder = DBNDecoder(
        has_metadata=False,
        ts_out=bool(reader.metadata.ts_out),
        input_version=reader.metadata.version,
        upgrade_policy=VersionUpgradePolicy.UPGRADE_TO_V3,  # type: ignore[arg-type]
    )
    for other in chunk.others:
        if other.rtype == RTYPE_SYMBOL_MAPPING:
            decoder.write(other.raw)
    for message in decoder.decode():
        name = message.stype_out_symbol  # type: ignore[union-attr]
        day = utc_day(int(message.ts_event))  # type: ignore[union-attr]
        number = int(message.instrument_id)  # type: ignore[union-attr]
        yield Listed(name, number, parent_of(None, "", name), day, dt.date.max)
