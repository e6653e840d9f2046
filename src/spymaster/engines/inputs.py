"""What a session is made from, and the one hash of all of it: the same hash, the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spymaster.engines.earlier import Earlier, earlier
from spymaster.engines.ledger import Ledger
from spymaster.lake import lineage as provenance
from spymaster.lake.manifest import utc_day
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session
from spymaster.settings import Settings


@dataclass(frozen=True)
class Inputs:
    """A session with all that decides its rows. `facts` are the columns of its lineage row.

    `cold`: why a stream could not know it from its first window on.
    """

    session: Session
    earlier: Earlier
    facts: Mapping[str, Any]
    data_version: str
    cold: str | None = None


def inputs_of(
    session: Session,
    files: Sequence[Mapping[str, Any]],
    ledger: Ledger,
    settings: Settings,
    instruments: Instruments,
) -> Inputs:
    """The inputs of a session as they stand now; `files` are manifest rows of its underlier."""
    days = {d.strftime("%Y%m%d") for d in session.utc_days()}
    shas = sorted(r["sha256"] for r in files if utc_day(dict(r)) in days)
    before = earlier(ledger, session, settings.of(session.underlier), instruments)
    facts = {
        "files": shas,
        "inputs_hash": before.hash,
        "code_version": provenance.code_version(),
        "config_hash": settings.config_hash(session.underlier),
        "contracts_version": provenance.contracts_version(),
    }
    version = provenance.data_version(
        shas,
        str(facts["contracts_version"]),
        str(facts["code_version"]),
        str(facts["config_hash"]),
        before.hash,
    )
    return Inputs(session, before, facts, version)
