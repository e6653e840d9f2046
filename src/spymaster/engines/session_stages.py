"""A session's contracts on their way through the stages, and what is known of it as a whole.

The same for history and for a stream: events, gaps and clock marks of the feed in, rows out; at
the end the rows that later sessions depend on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import LATENESS_NS
from spymaster.engines.earlier import Earlier
from spymaster.engines.ledger import CONTRACT_DAY, SUMMARY
from spymaster.engines.markets import Made, Markets
from spymaster.kernel.state import pack, unpack
from spymaster.market.identify import Instrument
from spymaster.market.sessions import Session
from spymaster.settings import UnderlierSettings
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Rows
from spymaster.stages.vector_spec import lookback_spec

_COUNTED = ("unknown", "crossed", "backwards", "lost_last")
_ALWAYS = 2**63 - 1
Row = dict[str, Any]


class SessionStages:
    """Give it the feed's events in order, its gaps and its clock marks; what it yields are rows.

    `light`: only what later sessions need to know of this one. `cold`: why the feed is not known
    from the first window on: no contract is warm then, and none is selected.
    """

    def __init__(
        self,
        session: Session,
        settings: UnderlierSettings,
        earlier: Earlier,
        *,
        light: bool = False,
        cold: str | None = None,
    ) -> None:
        if cold:
            earlier = replace(earlier, selected=None)
        self.session, self.earlier = session, earlier
        self.spec = lookback_spec(settings)
        self.quality = dict.fromkeys((*_COUNTED, "invalid"), 0)
        self._u = settings
        self._markets = Markets(session, self.spec, self._day, light=light)
        self._mark = -1
        self._missing: list[str] = [cold] if cold else []
        self._known_to = -1 if cold else _ALWAYS

    @property
    def duplicates(self) -> int:
        """Records that an earlier file or connection had brought."""
        return self._markets.duplicates

    @property
    def absent(self) -> bool:
        """The selected contract is not in the feed."""
        return self.earlier.selected not in self._markets

    @property
    def closed(self) -> bool:
        """A mark has passed the end of every window: nothing of the session can change."""
        return self._mark >= self.session.hull.end + LATENESS_NS

    def _day(self, instrument: Instrument, ts_recv: int) -> ContractDay:
        """A contract whose first record is of `ts_recv`, ns UTC.

        It is warm if no gap lies before it: by the feed's time, since a stream may have read of a
        later gap in another partition. What came before a gap is never past the gap's beginning.
        """
        name = str(instrument.contract_id)
        return ContractDay(
            contract_id=name,
            instrument_type=str(instrument.instrument_type),
            price_step=int(instrument.price_step or 0),
            tick=int(instrument.tick or 0),
            session=self.session,
            approach=self._u.approach,
            model_id=self._u.model_id,
            selected=name == self.earlier.selected,
            previous=self.earlier.levels.get(name, {}),
            previous_volume=self.earlier.volumes.get(name),
            scale=self.earlier.scale,
            warm=ts_recv <= self._known_to,
        )

    def begin_file(self) -> None:
        """Another file or connection follows: what it repeats of the ones before is a duplicate."""
        self._markets.begin_file()

    def advance(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> Made:
        """Take events in feed order; `contract` indexes `contracts`."""
        return self._counted(self._markets.advance(contracts, events))

    def gap(
        self, ts_recv: int, reason: str, only: Callable[[str], bool] = lambda contract_id: True
    ) -> Made:
        """Records are missing after `ts_recv`, ns UTC: no book is good until a snapshot.

        `only`: the contracts that it touches. The same reason is noted once.
        """
        if reason not in self._missing:
            self._missing.append(reason)
        self._known_to = min(self._known_to, ts_recv)
        return self._counted(self._markets.gap(ts_recv, only))

    def reached_by(self, from_ts: int, to_ts: int) -> bool:
        """Does a gap of the feed (ns UTC) reach into the session's time?"""
        return reached_by(self.session, from_ts, to_ts)

    def close(self, mark: int) -> Made:
        """Take a clock mark of the feed, ns UTC."""
        self._mark = max(self._mark, mark)
        return self._counted(self._markets.close(mark))

    def _counted(self, made: Made) -> Made:
        for kind, rows in made:
            for r in rows:
                if r.table == "silver.bar_5s" and r.records is not None:
                    for name in _COUNTED:
                        self.quality[name] += int(r.records[f"n_{name}"].sum())
                    self.quality["invalid"] += int((~r.records["valid"]).sum())
            yield kind, rows

    # The session as a whole

    def missing(self) -> str | None:
        """What the feed lacks for the session to be complete."""
        reasons = list(self._missing)
        if not self.closed:
            end = self.session.hull.end + LATENESS_NS
            day = np.datetime64(max(self._mark, 0), "ns")
            reasons.append(
                f"no record at or after {np.datetime64(end, 'ns')}Z, the feed ends at {day}Z"
            )
        return "; ".join(reasons) or None

    def days(self) -> Iterator[tuple[ContractDay, str | None]]:
        """Every contract, by name, with what it lacks for its session to be complete."""
        missing = self.missing()
        for day, stages, number in self._markets.days():
            yield day, self._contract_missing(stages.book(number).good_since, missing)

    def _contract_missing(self, since: int | None, missing: str | None) -> str | None:
        """What a contract lacks whose book is good `since` then."""
        if since is not None and since <= self.session.bars.start:
            return missing
        when = "at the end" if since is None else f"before {np.datetime64(since, 'ns')}Z"
        return f"{missing}; " * bool(missing) + f"the book was not good {when}"

    def summaries(self) -> Iterator[tuple[ContractDay, Row]]:
        """Rows of silver.session_summary, one per contract."""
        lacking = {day.contract_id: lacks for day, lacks in self.days()}
        for day, stages, number in self._markets.days():
            row = stages.summary(number)
            prices = {
                k: None if v is None else v * day.price_step
                for k, v in row.items()
                if k.endswith("_px")
            }
            lacks = lacking[day.contract_id]
            yield (
                day,
                {
                    **row,
                    **prices,
                    "contract_id": day.contract_id,
                    "complete": lacks is None,
                    "missing": lacks,
                    "short_session": self.session.short,
                },
            )

    def contract_days(self) -> Iterator[tuple[ContractDay, Row]]:
        """Rows of silver.contract_day: futures and stocks; known before the session begins."""
        for day, _ in self.days():
            if day.instrument_type != "OPT":
                yield day, contract_day(day.contract_id, self.earlier)

    def small(self, *, days: bool = True) -> Iterator[tuple[str, str, Row]]:
        """(table, kind of contract, row) of what later sessions will ask for."""
        for day, row in self.summaries():
            yield SUMMARY, day.instrument_type, row
        if days:
            for day, row in self.contract_days():
                yield CONTRACT_DAY, day.instrument_type, row

    # State

    def to_bytes(self) -> bytes:
        """The whole state, of all contracts."""
        told = {
            "missing": self._missing,
            "known_to": self._known_to,
            "quality": self.quality,
            "mark": self._mark,
        }
        parts = [json.dumps(told).encode(), self._markets.to_bytes()]
        return pack("STAGES", 2, [np.frombuffer(p, "u1") for p in parts])

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off; for one that was just made."""
        told, markets = (a.tobytes() for a in unpack(data, "STAGES", 2)[1])
        found = json.loads(told)
        self._markets.restore(markets)
        self._missing, self._mark = found["missing"], found["mark"]
        self._known_to = found["known_to"]
        self.quality.update(found["quality"])


def reached_by(session: Session, from_ts: int, to_ts: int) -> bool:
    """Does a gap of the feed (ns UTC) reach into a session's time?"""
    return from_ts <= session.hull.end + LATENESS_NS and to_ts >= session.input_start


def contract_day(contract_id: str, earlier: Earlier) -> Row:
    """What silver.contract_day says of a contract: all of it known before the session begins."""
    selected = contract_id == earlier.selected
    return {
        "contract_id": contract_id,
        "selected": selected,
        "previous_volume": earlier.volumes.get(contract_id),
        "rolled": selected and earlier.rolled,
        "expiration": earlier.expirations.get(contract_id),
    }


def as_rows(table: str, row: Row) -> Rows:
    """A single row on its way to its table."""
    return Rows(table, None, row, 1)
