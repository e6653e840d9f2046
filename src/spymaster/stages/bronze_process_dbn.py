"""BronzeProcessDBN: the exchange's records, whole, each with its identity and its session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import EVENT, NOTE_BACKWARDS
from spymaster.feed.dbn_check import REASONS, check
from spymaster.kernel import identity
from spymaster.kernel.layout import NONE
from spymaster.market.clock import DAY_NS
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import session_dates
from spymaster.settings import UnderlierSettings

_E9 = 1_000_000_000
#: What became known of instruments, and the place of the record before which it did.
Learnt = tuple[int, Sequence[Instrument]]


@dataclass(frozen=True)
class Refused:
    """A record that could not be accepted: its place in the chunk, and why."""

    index: int
    reason: str


@dataclass
class Processed:
    """A chunk of the feed after bronze.

    `events`: the accepted records as the kernel reads them, in feed order, `contract` indexing
    the stage's `contracts`; `sources`: their places in the chunk.
    """

    events: NDArray[Any]
    sources: NDArray[np.int64]
    refused: list[Refused] = field(default_factory=list)
    skipped: int = 0


class BronzeProcessDBN:
    """Gives every record of one feed its identity, contract and session; refuses what is broken.

    State per feed (a file or a connection): the running maximum of ts_recv, and per instrument
    the last ts_recv with its count. Reads DBN records, writes bronze.mbo and bronze.quarantine.
    """

    reads: tuple[str, ...] = ()
    writes = ("bronze.mbo", "bronze.quarantine")

    def __init__(
        self, venue: str, instruments: Instruments, underliers: Mapping[str, UnderlierSettings]
    ) -> None:
        self.contracts: list[Instrument] = []
        self._indices: dict[Instrument, int] = {}
        self._venue, self._instruments, self._underliers = venue, instruments, underliers
        self._slots = np.zeros((0, identity.SLOT), np.int64)
        self._high = np.array([NONE], np.int64)

    @property
    def last_mark(self) -> int | None:
        """The highest ts_recv of the feed so far, ns UTC: its clock mark."""
        return None if self._high[0] == NONE else int(self._high[0])

    @property
    def instruments(self) -> Instruments:
        """What is known of instruments so far."""
        return self._instruments

    def advance(self, records: NDArray[Any], learnt: Sequence[Learnt] = ()) -> Processed:
        """Take DBN records (`MBO_RECORD`) in feed order.

        `learnt`: what the feed told of instruments, each with the place of the record before
        which it did, in order.
        """
        verdicts = check(records)
        events = np.zeros(len(records), EVENT)
        i = 0
        for stop, instruments in (*learnt, (len(records), ())):
            while i < stop:
                i = identity.identify(
                    records[:stop], verdicts[:stop], i, self._slots, self._high, events[:stop]
                )
                if i < stop:
                    self._resolve(records[i])
            if instruments:
                self._learn(instruments)
        accepted = np.flatnonzero(verdicts == identity.ACCEPTED)
        if len(accepted) == len(records):
            return Processed(events, accepted)
        refused = [
            Refused(int(k), self._reason(records[k], int(verdicts[k])))
            for k in np.flatnonzero(
                (verdicts != identity.ACCEPTED) & (verdicts != identity.NOT_WANTED)
            )
        ]
        skipped = int((verdicts == identity.NOT_WANTED).sum())
        return Processed(events[accepted], accepted, refused, skipped)

    def _learn(self, instruments: Sequence[Instrument]) -> None:
        """Numbers may stand for something else from here on."""
        self._instruments = self._instruments.extended(instruments)
        told = np.array([i.instrument_id for i in instruments], np.int64)
        numbers = self._slots[:, identity.K_KEY] % identity.PUBLISHER
        self._slots[np.isin(numbers, told), identity.K_UNTIL] = NONE

    def _resolve(self, record: Any) -> None:
        """Look an instrument up for the UTC day of the record; numbers are unique within a day."""
        ts = max(int(self._high[0]), int(record["ts_recv"]))
        number = int(record["instrument_id"])
        key = int(record["publisher_id"]) * identity.PUBLISHER + number
        self._slots, at = identity.with_slot(self._slots, key)
        slot = self._slots[at]
        slot[identity.K_UNTIL] = (ts // DAY_NS + 1) * DAY_NS
        found = self._instruments.resolve(self._venue, number, ts)
        if found is None:
            slot[identity.K_CONTRACT] = identity.UNIDENTIFIED
        elif found.contract_id is None:
            slot[identity.K_CONTRACT] = identity.SKIPPED
        else:
            slot[identity.K_CONTRACT] = self._index(found)
            slot[identity.K_STEP] = found.price_step

    def _index(self, found: Instrument) -> int:
        if found not in self._indices:
            self._indices[found] = len(self.contracts)
            self.contracts.append(found)
        return self._indices[found]

    def _reason(self, record: Any, verdict: int) -> str:
        number = int(record["instrument_id"])
        if verdict == identity.NOT_IDENTIFIED:
            return (
                f"instrument {number}: neither a definition nor a symbol mapping of "
                f"{self._venue} names it; land the definitions of that day"
            )
        if verdict == identity.OFF_GRID:
            price = int(record["price"])
            return f"price {price / _E9:.9f} is no multiple of the contract's price step"
        return REASONS[verdict]

    def sessions(self, events: NDArray[Any]) -> Iterator[tuple[dt.date, str, str, NDArray[Any]]]:
        """(session_date, underlier, instrument_type, indices) of accepted events, per partition."""
        return partitions(self.contracts, events, self._underliers)


def partitions(
    contracts: Sequence[Instrument],
    events: NDArray[Any],
    underliers: Mapping[str, UnderlierSettings],
) -> Iterator[tuple[dt.date, str, str, NDArray[Any]]]:
    """(session_date, underlier, instrument_type, indices) of events (`EVENT`), per partition.

    Those of an underlier without settings are left out.
    """
    kinds = [(str(c.underlier), str(c.instrument_type)) for c in contracts]
    for kind in sorted(k for k in set(kinds) if k[0] in underliers):
        mine = np.arange(len(events))
        if len(set(kinds)) > 1:
            member = np.array([k == kind for k in kinds], np.bool_)
            mine = np.flatnonzero(member[events["contract"]])
        if not len(mine):
            continue
        u, ts = underliers[kind[0]], np.ascontiguousarray(events["ts_recv"])
        if len(mine) < len(events):
            ts = ts[mine]
        first, last = session_dates(u, np.array([ts.min(), ts.max()]))
        if first == last:
            yield first.astype(object), *kind, mine
            continue
        dates = session_dates(u, ts)
        for date in np.unique(dates):
            yield date.astype(object), *kind, mine[dates == date]


def payload_of(record: Any, note: int) -> str:
    """What else a record had: its own ts_recv where that ran backwards."""
    return f'{{"ts_recv":{int(record["ts_recv"])}}}' if note & NOTE_BACKWARDS else "{}"
