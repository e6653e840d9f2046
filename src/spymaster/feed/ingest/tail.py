"""How far a feed has come, and from where it must be asked for again.

Databento replays by ts_event, and identities count within groups of equal ts_recv (domain,
section 1): from the smallest ts_event of the last group, less a second, all of that group comes
again, and whatever came after it. What is known of it already is dropped by its identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import F_SNAPSHOT

_SECOND = 1_000_000_000
_UNDEFINED = 2**63 - 1


@dataclass
class Tail:
    """The end of a feed: `ts_recv` of its last group (ns UTC, running maximum; 0: nothing came).

    `first_event`: the smallest ts_event of that group's live records; None if it has none.
    `in_snapshot`: the last record was of a market snapshot, of which the rest cannot be replayed.
    """

    ts_recv: int = 0
    first_event: int | None = None
    in_snapshot: bool = False

    def update(self, records: NDArray[Any]) -> None:
        """Take the feed's next MBO records."""
        good = records[(records["ts_recv"] > 0) & (records["ts_recv"] < _UNDEFINED)]
        if not len(good):
            return
        high = max(self.ts_recv, int(good["ts_recv"].max()))
        if high > self.ts_recv:
            good = good[int(np.argmax(good["ts_recv"] == high)) :]
            self.ts_recv, self.first_event = high, None
        last = int(good["flags"][-1])
        self.in_snapshot = bool(last & F_SNAPSHOT)
        live = good["ts_event"][(good["flags"] & F_SNAPSHOT == 0) & (good["ts_event"] > 0)]
        if len(live):
            first = int(live.min())
            self.first_event = first if self.first_event is None else min(first, self.first_event)

    @property
    def start(self) -> int | None:
        """Where a replay must begin, ns UTC; None where only a market snapshot helps."""
        if not self.ts_recv or self.in_snapshot:
            return None
        return (self.ts_recv if self.first_event is None else self.first_event) - _SECOND

    def further(self, other: Tail) -> Tail:
        """Of two ends of one feed the one that is further on."""
        if other.ts_recv == self.ts_recv and other.first_event is not None:
            events = [e for e in (self.first_event, other.first_event) if e is not None]
            return Tail(self.ts_recv, min(events), self.in_snapshot and other.in_snapshot)
        return other if other.ts_recv > self.ts_recv else self
