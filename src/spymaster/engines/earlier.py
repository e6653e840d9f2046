"""What a session knows of the sessions before it: levels, volumes, the contract to watch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spymaster.engines.ledger import CONTRACT_DAY, SUMMARY, Ledger
from spymaster.lake.lineage import blake2b_128, canonical_json
from spymaster.market.instruments import Instruments
from spymaster.market.roll import select_front
from spymaster.market.scale import Scale, range_scale
from spymaster.market.sessions import Session, previous_session
from spymaster.settings import UnderlierSettings

_LEVELS = {
    "PD_HIGH": "regular_high_px",
    "PD_LOW": "regular_low_px",
    "PD_CLOSE": "regular_last_px",
}


@dataclass(frozen=True)
class Earlier:
    """Facts from before the session, all of them inputs of its rows.

    `levels`: per contract PD_HIGH, PD_LOW, PD_CLOSE in 1e-9 currency; `volumes`: of the previous
    complete session; `rolled`: another contract was selected in the session before; `contracts`:
    what definitions and mappings said of each; `scale`: touch and barrier by the range of the
    sessions before, None: the configured ones.
    """

    selected: str | None
    levels: Mapping[str, Mapping[str, int]]
    volumes: Mapping[str, int]
    expirations: Mapping[str, int]
    rolled: bool
    contracts: Sequence[tuple[Any, ...]] = ()
    scale: Scale | None = None

    @property
    def hash(self) -> str:
        """BLAKE2b-128 of these facts."""
        return blake2b_128(
            canonical_json(
                [
                    self.selected,
                    self.levels,
                    self.volumes,
                    self.expirations,
                    self.rolled,
                    self.contracts,
                    self.scale,
                ]
            )
        )


def earlier(
    ledger: Ledger, session: Session, settings: UnderlierSettings, instruments: Instruments
) -> Earlier:
    """Look up the sessions before this one. Only complete ones count, and no half sessions."""
    rows = ledger.before(SUMMARY, session)
    summaries = [r for r in rows if _counts(r)]
    volumes = _volumes(rows, summaries)
    outrights = instruments.outrights(session.underlier, session.hull.start)
    stock = f"{session.underlier}.STK"
    selected = select_front(outrights, session.focus.end, session.session_date, volumes)
    if selected is None and instruments.has_contract(stock):
        selected = stock
    return Earlier(
        selected=selected,
        levels=_levels(summaries, previous_session(settings, session.session_date)),
        volumes=volumes,
        expirations={
            str(i.contract_id): i.expiration for i in outrights if i.expiration is not None
        },
        rolled=_rolled(ledger, session, selected),
        contracts=instruments.known_by(session.underlier, session.hull.end),
        scale=_scale(ledger, session, settings, summaries),
    )


def _counts(row: Mapping[str, Any]) -> bool:
    return bool(row["complete"]) and not row["short_session"]


def _volumes(rows: list[dict[str, Any]], summaries: list[dict[str, Any]]) -> dict[str, int]:
    """Of the last session that is complete for any contract: all volumes.

    One contract's bad book leaves its volume what it was.
    """
    if not summaries:
        return {}
    last = summaries[-1]["session_date"]
    return {r["contract_id"]: r["volume"] for r in rows if r["session_date"] == last}


def _levels(summaries: list[dict[str, Any]], yesterday: dt.date) -> dict[str, dict[str, int]]:
    """Absent, not older, when the session before is missing, incomplete or short."""
    return {
        r["contract_id"]: {k: r[c] for k, c in _LEVELS.items() if r[c] is not None}
        for r in summaries
        if r["session_date"] == yesterday
    }


def _scale(
    ledger: Ledger, session: Session, settings: UnderlierSettings, summaries: list[dict[str, Any]]
) -> Scale | None:
    """By the ranges of the contracts that were watched: across a roll, each session's own.

    The next contract hardly trades before the roll, so its ranges would be too small. A session
    counts if its selected contract was complete and traded; the last five that do, however old.
    """
    if settings.approach.scale == "fixed":
        return None
    days = ledger.before(CONTRACT_DAY, session)
    watched = {(r["session_date"], r["contract_id"]) for r in days if r["selected"]}
    ranges = [
        r["range12m"]
        for r in summaries
        if (r["session_date"], r["contract_id"]) in watched and r["range12m"] is not None
    ]
    return range_scale(ranges)


def _rolled(ledger: Ledger, session: Session, selected: str | None) -> bool:
    before = [r for r in ledger.before(CONTRACT_DAY, session) if r["selected"]]
    return bool(before) and selected is not None and before[-1]["contract_id"] != selected
