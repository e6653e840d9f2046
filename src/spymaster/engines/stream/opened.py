"""What a streamed session was begun with: facts that an intent carries, so that a replay and a
certificate begin with the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spymaster.contracts.stream import SUFFIX
from spymaster.engines.earlier import Earlier, earlier
from spymaster.engines.ledger import CONTRACT_DAY, SUMMARY, Ledger
from spymaster.engines.stream.past import PastSessions
from spymaster.engines.stream.warm_start import files_before
from spymaster.feed.topic import TOPIC
from spymaster.lake import Lake
from spymaster.lake import lineage as provenance
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.scale import Scale
from spymaster.market.sessions import Session
from spymaster.settings import Settings

#: What earlier sessions say lies in these tables; their versions are told with a session.
READ = (SUMMARY, CONTRACT_DAY, SUMMARY + SUFFIX, CONTRACT_DAY + SUFFIX, "bronze.definitions")


@dataclass(frozen=True)
class Opened:
    """A session as it stood when its first record came.

    `since`: from when on the stream knows the feed, ns UTC. `files`: landed files that tell what
    was before. `cold`: why the session cannot be known from its first window on, else None.
    `versions`: Delta versions that `earlier` was read at.
    """

    earlier: Earlier
    inputs_hash: str
    data_version: str
    since: int
    files: Sequence[str]
    cold: str | None
    versions: Mapping[str, int | None]

    def to_json(self) -> dict[str, Any]:
        """As an intent and the lineage keep it."""
        told = asdict(self.earlier)
        del told["contracts"]
        return {
            "earlier": told,
            "inputs_hash": self.inputs_hash,
            "data_version": self.data_version,
            "since": self.since,
            "files": list(self.files),
            "cold": self.cold,
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Opened:
        """Back from `to_json`; of the contracts themselves only the hash remains."""
        facts = dict(told["earlier"])
        scale = facts.pop("scale")
        return cls(
            earlier=Earlier(**facts, scale=Scale(*scale) if scale else None),
            inputs_hash=told["inputs_hash"],
            data_version=told["data_version"],
            since=told["since"],
            files=told["files"],
            cold=told["cold"],
            versions=told["versions"],
        )


@dataclass(frozen=True)
class Pending:
    """A session that has begun while the one before it is open.

    `begins`: the offsets before its first record; `since`: from when on the feed is known, ns UTC;
    `book`: what is known begins with a market snapshot.
    """

    begins: Mapping[int, int]
    since: int
    book: bool


def open_session(
    lake: Lake,
    settings: Settings,
    session: Session,
    waited: Pending,
    past: PastSessions,
    *,
    landed: bool = True,
) -> Opened:
    """Look up what is known before a session.

    `past`: sessions that ended and may not be in the lake yet. A book needs its market snapshot,
    and levels the session from its first window on: where the topic has not both, landed files
    must, or the session is cold; it is so, too, where no files may be asked (not `landed`).
    """
    versions = {name: lake.version(name) for name in READ}
    rows = lake.scan("bronze.definitions", missing_ok=True).to_pylist()
    instruments = Instruments(Instrument.from_row(r) for r in rows)
    ledger = Ledger(lake, streamed=True)
    past.into(ledger)
    found = earlier(ledger, session, settings.of(session.underlier), instruments)
    cold, files, since = None, [], waited.since
    known = since <= session.hull.start and (since <= session.input_start or waited.book)
    if not known and landed:
        files = [row["path"] for row in files_before(lake, session, since)]
    if not known and not files:
        at = dt.datetime.fromtimestamp(since / 1e9, dt.UTC)
        cold = (
            f"the stream began at {at:%Y-%m-%d %H:%M:%S}Z, in the middle of the session or without "
            "a market snapshot, and no landed files reach from before its first window to then"
        )
    version = provenance.data_version(
        [f"{TOPIC}/{partition} from {offset}" for partition, offset in waited.begins.items()],
        provenance.contracts_version(),
        provenance.code_version(),
        settings.config_hash(session.underlier),
        found.hash,
    )
    return Opened(found, found.hash, version, since, files, cold, versions)
