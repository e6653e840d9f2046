"""The quotes of one contract in one session, from the files that the session was made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import ACTION_GAP, EVENT, LATENESS_NS
from spymaster.engines.captured_gaps import CapturedGaps
from spymaster.engines.quotes import I64, Quotes, QuoteWalk
from spymaster.engines.session_feed import SessionFeed
from spymaster.engines.session_stages import reached_by
from spymaster.engines.source import BronzeSource
from spymaster.errors import SourceError
from spymaster.kernel.duplicates import Duplicates
from spymaster.lake import Lake
from spymaster.lake.manifest import Manifest, utc_day, without_replaced
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session, session_date_of
from spymaster.settings import UnderlierSettings
from spymaster.stages.contract import ContractDay

SCHEMAS = ("mbo", "mixed")
#: Of a file's manifest row.
_DECIDES = ("path", "sha256", "batch_id", "status", "records", "last_mark")


class QuoteTaker:
    """One contract's part of a session's feed, for a walk: as `Markets` hands it to the stages."""

    def __init__(self, session: Session, contract_id: str, walk: QuoteWalk) -> None:
        self.session = session
        self.walk = walk
        self._contract_id = contract_id
        self._duplicates = Duplicates()

    def begin_file(self) -> None:
        self._duplicates.begin_file()

    def advance(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> None:
        mine = [i for i, c in enumerate(contracts) if c.contract_id == self._contract_id]
        ts, end = events["ts_recv"], self.session.hull.end + LATENESS_NS
        wanted = np.isin(events["contract"], mine) & (ts >= self.session.input_start) & (ts <= end)
        events = events[wanted]
        keep = self._duplicates.keep(events, np.zeros(len(events), np.int64))
        self.walk.advance(events if keep is None else events[keep])

    def gap(self, ts_recv: int, reason: str) -> None:
        events = np.zeros(1, EVENT)
        events["action"] = ACTION_GAP
        events["ts_event"] = events["ts_recv"] = ts_recv
        self.walk.advance(events)

    def reached_by(self, from_ts: int, to_ts: int) -> bool:
        return reached_by(self.session, from_ts, to_ts)

    def close(self, mark: int) -> None:
        self.walk.close(mark)


class SessionQuotes:
    """Reads quotes out of bronze, a contract and a session at a time."""

    def __init__(
        self, lake: Lake, now: Callable[[], int] = lambda: 0, chunk_records: int = 250_000
    ) -> None:
        self._lake, self._now = lake, now
        rows = lake.scan("bronze.definitions", missing_ok=True).to_pylist()
        self._instruments = Instruments(Instrument.from_row(r) for r in rows)
        self._known = self._instruments.by_contract()
        self._files = [
            r for r in without_replaced(Manifest(lake).rows().values()) if r["schema"] in SCHEMAS
        ]
        self._chunk = chunk_records

    def instrument(self, contract_id: str) -> Instrument:
        """What is known of a contract; SourceError when nothing is."""
        if contract_id not in self._known:
            raise SourceError(
                f"{self._lake.root}: bronze.definitions does not know {contract_id}. Land the "
                "files that its session was made of: spymaster land FILE"
            )
        return self._known[contract_id]

    def check(self, session: Session) -> None:
        """SourceError when a file of the session is not in bronze."""
        days = self._days(session)
        if not any(rows for _, rows in days):
            raise SourceError(
                f"{self._lake.root}: nothing has landed of {session.underlier} "
                f"{session.session_date} (days {', '.join(day for day, _ in days)}), so there are "
                "no quotes to trade at. Land its files, and run: spymaster hist bronze"
            )
        for _, rows in days:
            for row in rows:
                if row["status"] == "landed":
                    raise SourceError(
                        f"{row['path']} has landed and is not in bronze. Run: spymaster hist bronze"
                    )

    def made_of(self, session: Session) -> list[tuple[Any, ...]]:
        """All of the lake that decides a session's quotes: its files, and the gaps before them."""
        before = CapturedGaps(self._lake).before
        return [
            (
                *(row[name] for name in _DECIDES),
                *((gap["from_ts"], gap["to_ts"]) for gap in before(row)),
            )
            for _, rows in self._days(session)
            for row in rows
        ]

    def quotes(
        self, session: Session, settings: UnderlierSettings, contract_id: str, times: I64
    ) -> Quotes:
        """For each time (ns UTC, ascending) the first quote at or after it that can be traded at.

        None past the end of the session's windows. Raises SourceError as `check` does.
        """
        self.check(session)
        one = self.instrument(contract_id)
        day = ContractDay(
            contract_id=contract_id,
            instrument_type=str(one.instrument_type),
            price_step=int(one.price_step or 0),
            tick=int(one.tick or 0),
            session=session,
            approach=settings.approach,
            model_id=settings.model_id,
            selected=False,
        )
        walk = QuoteWalk(day.book_params(), times)
        taker = QuoteTaker(session, contract_id, walk)
        only = {
            "session_date": _dates(session, settings),
            "underlier": session.underlier,
            "contract_id": contract_id,
        }
        source = BronzeSource(self._lake, self._instruments, self._chunk, only)
        name = f"{session.underlier} {session.session_date}"
        feed = SessionFeed(name, source, CapturedGaps(self._lake).before, taker, self._now)
        feed.run(self._days(session))
        return walk.quotes()

    def _days(self, session: Session) -> list[tuple[str, tuple[dict[str, Any], ...]]]:
        mine = [r for r in self._files if r["underlier"] == session.underlier]
        days = [f"{d:%Y%m%d}" for d in session.utc_days()]
        return [(day, tuple(r for r in mine if utc_day(r) == day)) for day in days]


def _dates(session: Session, settings: UnderlierSettings) -> list[dt.date]:
    """The session dates that records of the session's input may bear: its files begin earlier."""
    last = session_date_of(settings, session.hull.end + LATENESS_NS)
    first = session_date_of(settings, session.input_start)
    return [first + dt.timedelta(days=i) for i in range((last - first).days + 1)]
