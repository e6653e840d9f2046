"""The feed's events on their way to the stages: whose they are, what repeats, what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import ACTION_GAP, EVENT, LATENESS_NS
from spymaster.kernel.duplicates import Duplicates
from spymaster.kernel.state import pack, unpack
from spymaster.market.identify import Instrument
from spymaster.market.sessions import Session
from spymaster.stages.contract import ContractDay
from spymaster.stages.market_session import MarketSession
from spymaster.stages.rows import Rows

Made = Iterator[tuple[str, list[Rows]]]
I64 = NDArray[np.int64]


class Markets:
    """One session's contracts, kind by kind. What it yields are (kind of contract, rows).

    `day_of` says what the stages must know of a contract that is seen for the first time, at a
    ts_recv (ns UTC).
    """

    def __init__(
        self,
        session: Session,
        spec: str,
        day_of: Callable[[Instrument, int], ContractDay],
        *,
        light: bool,
    ) -> None:
        self.kinds: dict[str, MarketSession] = {}
        self._session, self._spec, self._light = session, spec, light
        self._day_of = day_of
        self._duplicates = Duplicates()
        self._place: dict[str, int] = {}  # contract_id -> its place among all
        self._instruments: list[Instrument] = []
        self._kind_of: list[str] = []
        self._number = np.zeros(0, np.int64)  # place -> number in its market

    @property
    def duplicates(self) -> int:
        """Records that an earlier file had brought."""
        return self._duplicates.dropped

    def __contains__(self, contract_id: object) -> bool:
        return contract_id in self._place

    def days(self) -> Iterator[tuple[ContractDay, MarketSession, int]]:
        """Every contract, by name: what was known of it, its market, its number there."""
        for name in sorted(self._place):
            place = self._place[name]
            stages = self.kinds[self._kind_of[place]]
            number = int(self._number[place])
            yield stages.days[number], stages, number

    def begin_file(self) -> None:
        """Another file follows."""
        self._duplicates.begin_file()

    def advance(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> Made:
        """Take events in feed order; `contract` indexes `contracts`."""
        events = self._mine(contracts, events)
        if not len(events):
            return
        places = self._places(contracts, events)
        keep = self._duplicates.keep(events, places)
        if keep is not None:
            events, places = events[keep], places[keep]
        kinds = set(self.kinds)
        if len(kinds) > 1:
            kinds = {self._kind_of[place] for place in np.flatnonzero(np.bincount(places)).tolist()}
        for kind in sorted(kinds):
            stages, mine, whose = self.kinds[kind], events, places
            if len(kinds) > 1:
                of = np.array([k == kind for k in self._kind_of], np.bool_)[places]
                mine, whose = events[of], places[of]
            yield kind, stages.advance(mine, self._number[whose])

    def _mine(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> NDArray[Any]:
        """The session's own events: of its underlier, and of its time."""
        if not len(events):
            return events
        ts, s = events["ts_recv"], self._session
        start, end = s.input_start, s.hull.end + LATENESS_NS
        wanted = np.array([c.underlier == s.underlier for c in contracts], np.bool_)
        if wanted.all() and start <= ts.min() and ts.max() <= end:
            return events
        mine: NDArray[Any] = events[(ts >= start) & (ts <= end) & wanted[events["contract"]]]
        return mine

    def _places(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> I64:
        of = events["contract"]
        lookup = np.full(len(contracts), -1, np.int64)
        for i in np.flatnonzero(np.bincount(of, minlength=len(contracts))).tolist():
            name = str(contracts[i].contract_id)
            if name not in self._place:
                self._add(contracts[i], int(events["ts_recv"][np.argmax(of == i)]))
            lookup[i] = self._place[name]
        places: I64 = lookup[of]
        return places

    def _add(self, instrument: Instrument, ts_recv: int) -> None:
        day = self._day_of(instrument, ts_recv)
        self._take(instrument, day, self._market(day).add(day))

    def _market(self, day: ContractDay) -> MarketSession:
        if day.instrument_type not in self.kinds:
            market = MarketSession(self._session, self._spec, light=self._light)
            self.kinds[day.instrument_type] = market
        return self.kinds[day.instrument_type]

    def _take(self, instrument: Instrument, day: ContractDay, number: int) -> None:
        self._place[day.contract_id] = len(self._place)
        self._instruments.append(instrument)
        self._kind_of.append(day.instrument_type)
        self._number = np.append(self._number, number)

    def gap(self, ts_recv: int, only: Callable[[str], bool] = lambda contract_id: True) -> Made:
        """Records are missing after `ts_recv`, ns UTC: no book is good until a snapshot.

        `only`: the contracts that it touches.
        """
        for kind, market in self.kinds.items():
            touched = [i for i, day in enumerate(market.days) if only(day.contract_id)]
            events = np.zeros(len(touched), EVENT)
            events["action"] = ACTION_GAP
            events["ts_event"] = events["ts_recv"] = ts_recv
            yield kind, market.advance(events, np.array(touched, np.int64))

    def close(self, mark: int) -> Made:
        """Take a clock mark of the feed, ns UTC."""
        for kind, market in self.kinds.items():
            yield kind, market.close(mark)

    def to_bytes(self) -> bytes:
        """The whole state, of all contracts."""
        told, books = [], []
        for place, instrument in enumerate(self._instruments):
            market, number = self.kinds[self._kind_of[place]], int(self._number[place])
            told.append([instrument.to_row(), market.days[number].warm])
            books.append(market.to_bytes(number))
        parts = [json.dumps(told).encode(), self._duplicates.to_bytes(), *books]
        return pack("MARKETS", 1, [np.frombuffer(p, "u1") for p in parts])

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off; for one that was just made."""
        head, duplicates, *books = (a.tobytes() for a in unpack(data, "MARKETS", 1)[1])
        self._duplicates.restore(duplicates)
        for (row, warm), book in zip(json.loads(head), books, strict=True):
            instrument = Instrument.from_row(row)
            day = replace(self._day_of(instrument, 0), warm=warm)
            self._take(instrument, day, self._market(day).restore(day, book))
