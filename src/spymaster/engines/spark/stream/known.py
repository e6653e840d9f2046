"""What the bronze job knows of the topic behind its last commit: small, and kept by epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spymaster.engines.spark.stream.messages import READ
from spymaster.errors import LakeError

Row = dict[str, Any]
#: A contract gets no more marks when one has come so long behind its expiry, ns: its sessions are
#: over.
_OVER = 2 * 86_400 * 1_000_000_000
#: What may change of a contract from one day's telling to the next and means nothing.
_PASSING = ("ts_recv", "batch_id")
_EMPTY: Row = {
    "contracts": [],
    "connection": [],
    "marks": [],
    "since": {},
    "last": {},
    "with_book": {},
    "counts": [0, 0],
    "singles": {},
}


@dataclass
class News:
    """What a micro-batch brought beside its rows.

    ranges: of each partition the offsets [from, to); gaps: (partition, offset, gap) in order;
    instruments: contract -> (partition, offset, row) of those that are new or told anew, as first
    told; seen: contract -> (partition, offset, session date of its last record); moved: the venues
    whose mark is another; contracts: those that are new.
    """

    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    gaps: list[tuple[int, int, Row]] = field(default_factory=list)
    instruments: dict[str, tuple[int, int, Row]] = field(default_factory=dict)
    seen: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    contracts: list[str] = field(default_factory=list)
    messages: int = 0
    records: int = 0
    refused: int = 0


class Known:
    """Offsets that are read next, and the feed's state (`TopicFeed.to_json`) before them.

    `contracts`: by contract_id, as they were told first; a later telling with other facts is kept
    beside it.
    """

    def __init__(self, offsets: Mapping[int, int], feed: Mapping[str, Any] | None = None) -> None:
        self.offsets = dict(offsets)
        self.feed: Row = json.loads(json.dumps(feed or _EMPTY))
        self.contracts: dict[str, Row] = {r["contract_id"]: r for r in self.feed["contracts"]}
        self._anew: dict[str, Row] = {}
        self._over: set[str] = set()

    @property
    def marks(self) -> dict[str, int]:
        """Per venue the mark that all partitions have passed, ns UTC."""
        whole = {v: dict(m) for v, m in self.feed["marks"] if len(m) == len(self.offsets)}
        return {v: min(m.values()) for v, m in whole.items()}

    @property
    def active(self) -> list[str]:
        """The contracts that get marks and gaps."""
        return [name for name in self.contracts if name not in self._over]

    def take(self, facts: Sequence[Mapping[str, Any]]) -> News:
        """Learn what the tasks of a micro-batch told, each of its partitions."""
        news, before = News(), self.marks
        for told in sorted(facts, key=lambda f: min(map(int, f["next"]))):
            for p, offset in told["next"].items():
                if int(p) in news.ranges:
                    raise LakeError(
                        f"{READ}: two tasks read partition {p} of the topic; nobody knows the "
                        "order of its messages then. Leave minPartitions and "
                        "maxRecordsPerPartition out of the Kafka options."
                    )
                news.ranges[int(p)] = (self.offsets[int(p)], int(offset))
            self._take(told, news)
        for p, (_, end) in news.ranges.items():
            self.offsets[p] = end
        self._tell_anew(facts, news)
        news.gaps.sort(key=lambda g: g[:2])
        news.moved = {v for v, ts in self.marks.items() if before.get(v) != ts}
        return news

    def _take(self, told: Mapping[str, Any], news: News) -> None:
        news.messages += told["messages"]
        news.records += told["records"]
        news.refused += told["refused"]
        news.gaps += [(p, o, g) for p, o, g in told["gaps"]]
        for venue, (low, high) in told["spans"].items():
            a, b = news.spans.get(venue, (low, high))
            news.spans[venue] = min(a, low), max(b, high)
        for name, (p, o, date) in told["seen"].items():
            a, b, last = news.seen.get(name, (p, o, date))
            news.seen[name] = (*min((a, b), (p, o)), max(last, date))
        self._learn(told, news)
        self._merge(told["feed"])

    def _learn(self, told: Mapping[str, Any], news: News) -> None:
        """Contracts that are new, at the message that told them or brought their first record."""
        places = {r["contract_id"]: (p, o) for p, o, r in reversed(told["instruments"])}
        for row in told["feed"]["contracts"]:
            name = row["contract_id"]
            if name in self.contracts:
                continue
            self.contracts[name] = row
            self.feed["contracts"].append(row)
            news.contracts.append(name)
            first = [places[name]] if name in places else []
            if name in news.seen:
                first.append(news.seen[name][:2])
            news.instruments[name] = (*min(first), row)

    def _merge(self, feed: Mapping[str, Any]) -> None:
        mine = self.feed
        mine["connection"] = sorted(
            {int(p): c for p, c in [*mine["connection"], *feed["connection"]]}.items()
        )
        marks = {v: dict(m) for v, m in mine["marks"]}
        for venue, told in feed["marks"]:
            marks.setdefault(venue, {}).update(told)
        mine["marks"] = [(v, sorted(m.items())) for v, m in marks.items()]
        for venue, ts in feed["since"].items():
            mine["since"][venue] = min(ts, mine["since"].get(venue, ts))
        for venue, ts in feed["last"].items():
            mine["last"][venue] = max(ts, mine["last"].get(venue, ts))
        for venue, book in feed["with_book"].items():
            mine["with_book"].setdefault(venue, book)
        mine["counts"] = [a + b for a, b in zip(mine["counts"], feed["counts"], strict=True)]
        mine["singles"].update(feed["singles"])

    def _tell_anew(self, facts: Sequence[Mapping[str, Any]], news: News) -> None:
        for told in facts:
            for p, o, row in told["instruments"]:
                name = row["contract_id"]
                known = self._anew.get(name, self.contracts[name])
                if _lasting(row) != _lasting(known) and name not in news.contracts:
                    self._anew[name] = row
                    news.instruments[name] = (p, o, row)

    def over(self, marked: Mapping[str, int]) -> None:
        """Contracts that were given these marks: those behind their expiry get no more."""
        for name, ts in marked.items():
            expiry = self.contracts[name]["expiration"]
            if expiry is not None and ts > expiry + _OVER:
                self._over.add(name)

    def to_bytes(self) -> bytes:
        """The whole state, the same for the same state."""
        told = {
            "offsets": sorted(self.offsets.items()),
            "feed": self.feed,
            "anew": self._anew,
            "over": sorted(self._over),
        }
        return json.dumps(told, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Known:
        """Back from `to_bytes`. ValueError, KeyError for another version."""
        told = json.loads(data)
        known = cls({int(p): int(o) for p, o in told["offsets"]}, told["feed"])
        known._anew, known._over = dict(told["anew"]), set(told["over"])
        return known


def _lasting(row: Mapping[str, Any]) -> Row:
    return {k: v for k, v in row.items() if k not in _PASSING}
