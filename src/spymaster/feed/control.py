"""What a feed says of its instruments on the way: definitions, and what a number stands for.

The ingestor and whoever reads its captures again take the same steps here, so that a record means
the same live and in history: what is told holds from its place in the stream.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from databento_dbn import DBNDecoder, Metadata, VersionUpgradePolicy
from numpy.typing import NDArray

from spymaster.feed.dbn import Chunk, Other
from spymaster.feed.dbn_definitions import definitions
from spymaster.feed.dbn_records import RTYPE_DEFINITION, RTYPE_SYMBOL_MAPPING
from spymaster.market.clock import utc_date, utc_midnight
from spymaster.market.identify import Instrument, from_definition, from_symbol
from spymaster.settings import UnderlierSettings

Learnt = tuple[int, Sequence[Instrument]]
_TELLING = (RTYPE_DEFINITION, RTYPE_SYMBOL_MAPPING)
_UNDEFINED = 2**63 - 1
#: A mapping holds for its UTC day, and the next one's may come late.
_MAPPED = dt.timedelta(days=2)


class Control:
    """Turns a mixed stream's definitions and symbol mappings into rows of bronze.definitions.

    A definition holds from its own ts_recv. A mapping before the first MBO record holds from
    that record's UTC midnight, a later one from the highest ts_recv so far (ns UTC). A mapping
    to a symbol that a definition of the stream has named takes that contract.

    `unidentified`: what could not be named, and what would name it.
    """

    def __init__(
        self,
        metadata: Metadata,
        underliers: Mapping[str, UnderlierSettings],
        batch_id: str | None = None,
    ) -> None:
        self.unidentified: list[str] = []
        self._metadata, self._underliers, self._batch_id = metadata, underliers, batch_id
        self._venue = str(metadata.dataset)
        self._high: int | None = None
        self._waiting: list[Other] = []
        self._first = True
        self._defined: dict[str, Instrument] = {}
        self._names: dict[int, str] = {}

    def take(self, chunk: Chunk) -> list[Learnt]:
        """What a chunk of the stream tells, each with the place among its MBO records."""
        told = [o for o in chunk.others if o.rtype in _TELLING]
        if not (told or self._waiting or self._first):
            self._raise_to(chunk.records)
            return []
        numbers = chunk.numbers
        if numbers is None:
            numbers = np.arange(chunk.first, chunk.first + len(chunk.records))
        places = np.searchsorted(numbers, [o.number for o in told]).tolist()
        if not len(chunk.records) and self._high is None:
            self._waiting += told
            return []
        groups = [(0, self._waiting)] if self._waiting else []
        groups += [
            (place, [other for _, other in group])
            for place, group in groupby(zip(places, told, strict=True), key=lambda pair: pair[0])
        ]
        self._waiting = []
        return list(self._learn(chunk.records, groups))

    def rest(self, start: int) -> list[Instrument]:
        """What was told in a stream that has no MBO record; it began at `start`, ns UTC."""
        rows = [*self._mapped_before(), *self._rows(self._waiting, self._midnight(start))]
        self._waiting = []
        return rows

    def _learn(
        self, records: NDArray[Any], groups: Iterable[tuple[int, list[Other]]]
    ) -> Iterator[Learnt]:
        done = 0
        if self._first:
            if before := self._mapped_before():
                yield 0, before
        for place, others in groups:
            self._raise_to(records[done:place])
            done = place
            since = self._high
            if since is None:
                since = self._midnight(int(records["ts_recv"][0]))
            if rows := self._rows(others, since):
                yield place, rows
        self._raise_to(records[done:])

    def _raise_to(self, records: NDArray[Any]) -> None:
        if not len(records):
            return
        times = records["ts_recv"]
        high = int(times.max())
        if high == _UNDEFINED:
            high = int(times[times < _UNDEFINED].max(initial=0))
        if high > 0:
            self._high = max(self._high or 0, high)

    @staticmethod
    def _midnight(ts: int) -> int:
        return utc_midnight(utc_date(ts)) if 0 < ts < _UNDEFINED else 0

    def _mapped_before(self) -> list[Instrument]:
        """What the metadata maps, as of any file."""
        self._first = False
        found, unidentified = mapped(
            self._metadata.mappings, self._venue, self._underliers, self._batch_id
        )
        self.unidentified += unidentified
        for row in found:
            self._names[row.instrument_id] = row.raw_symbol
        return found

    def _rows(self, others: Sequence[Other], since: int) -> list[Instrument]:
        found = []
        for record in definitions(self._metadata, others):
            row = from_definition(record, self._venue, self._underliers, self._batch_id)
            self._defined[row.raw_symbol] = row
            self._names[row.instrument_id] = row.raw_symbol
            found.append(row)
        for number, symbol in self._mappings(others):
            before = self._names.get(number)
            self._names[number] = symbol
            defined = self._defined.get(symbol)
            if defined is not None and defined.instrument_id == number and before == symbol:
                continue
            if (made := self._mapping(number, symbol, since, defined, before)) is not None:
                found.append(made)
        return found

    def _mapping(
        self, number: int, symbol: str, since: int, defined: Instrument | None, before: str | None
    ) -> Instrument | None:
        day = utc_date(since)
        end = utc_midnight(day + _MAPPED)
        if defined is not None:
            return replace(
                defined, instrument_id=number, ts_recv=since, source="mapping", valid_to=end
            )
        row, reason = from_symbol(
            self._venue, symbol, number, day, day + _MAPPED, self._underliers, self._batch_id
        )
        if row is not None:
            return replace(row, ts_recv=since)
        self.unidentified.append(reason)
        if before in (None, symbol):
            return None
        # The number is another's now, whoever that is: not the old contract's any more.
        return Instrument(
            self._venue, number, since, "mapping", end, symbol, batch_id=self._batch_id
        )

    def _mappings(self, others: Sequence[Other]) -> list[tuple[int, str]]:
        told = [o for o in others if o.rtype == RTYPE_SYMBOL_MAPPING]
        if not told:
            return []
        decoder = DBNDecoder(
            has_metadata=False,
            ts_out=bool(self._metadata.ts_out),
            input_version=self._metadata.version,
            upgrade_policy=VersionUpgradePolicy.UPGRADE_TO_V3,  # type: ignore[arg-type]
        )
        for other in told:
            decoder.write(other.raw)
        found = []
        for message in decoder.decode():
            asked, name = message.stype_in_symbol, message.stype_out_symbol  # type: ignore[union-attr]
            number = int(message.instrument_id)  # type: ignore[union-attr]
            found.append((number, asked if name.isdigit() else name))
        return found


def mapped(
    mappings: Mapping[str, Sequence[Any]],
    dataset: str,
    underliers: Mapping[str, UnderlierSettings],
    batch_id: str | None = None,
) -> tuple[list[Instrument], list[str]]:
    """The instruments that a file's metadata names, and why some of them are not identified."""
    found: list[Instrument] = []
    unidentified: list[str] = []
    for symbol, intervals in mappings.items():
        for interval in intervals:
            number, start, end = _interval(interval)
            if not number.isdigit():
                continue
            instrument, reason = from_symbol(
                dataset, symbol, int(number), start, end, underliers, batch_id
            )
            if instrument is None:
                unidentified.append(reason)
            else:
                found.append(instrument)
    return found, unidentified


def _interval(interval: Any) -> tuple[str, dt.date, dt.date]:
    if isinstance(interval, dict):
        return str(interval["symbol"]), interval["start_date"], interval["end_date"]
    return str(interval.symbol), interval.start_date, interval.end_date
