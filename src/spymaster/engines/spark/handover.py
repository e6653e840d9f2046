"""A live session from one engine to the other: the same bytes, cut by contract or laid together.

The local engine keeps one state for all contracts of a session, Spark one for each. Both are the
stages' own bytes, so that no row is made again. Neither engine may be at work, and no session may
wait for the one before it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from spymaster.bus import partition_of
from spymaster.engines.spark.contract_part import ContractPart
from spymaster.engines.spark.contract_stream import ContractStream
from spymaster.engines.spark.stage_bytes import cut, joined
from spymaster.engines.spark.stream.openings import Openings
from spymaster.engines.spark.stream.session_at_work import SessionAtWork
from spymaster.engines.stream.feed import state_bytes
from spymaster.engines.stream.past import PastSessions
from spymaster.errors import LakeError
from spymaster.feed.topic import Gap
from spymaster.kernel.state import pack, unpack
from spymaster.lake import Lake
from spymaster.market.identify import Instrument
from spymaster.settings import Settings

_LIVE, _STREAM = ("LIVE", 1), ("STREAM", 1)
Facts = Mapping[str, Any]


class Handed(NamedTuple):
    """What Spark goes on from: a state for each contract, and the driver's (`Openings`)."""

    states: dict[str, bytes]
    openings: dict[str, Any]


def to_spark(
    settings: Settings,
    lake: Lake,
    data: bytes,
    offsets: Mapping[int, int],
    version: int,
    begun: Mapping[str, str],
) -> Handed:
    """The local engine's state (`LiveWork`'s bytes), as Spark's.

    offsets: of each partition the message behind it; version: of bronze.stream, the last one that
    it has been through; begun: sessions that are not to be made (`Start.begun`). LakeError where a
    session waits; ValueError for a state of another version of this program.
    """
    head, *sessions = _parts(data, _LIVE)
    told = json.loads(head)
    _check_waiting([f"{name} {date}" for (name, date), _ in told["pending"]])
    feed, openings = told["feed"], Openings(settings, lake)
    openings.past.restore(told["past"])
    openings.skip(begun)
    openings.skip({n: max(dates) for n, dates in told["past"].items() if dates})
    marks, streams = _marks(feed, len(offsets)), {}
    for row in feed["contracts"]:
        i = Instrument.from_row(row)
        stream = ContractStream(settings, ("silver", "gold"), str(i.contract_id))
        partition = partition_of(str(i.contract_id), len(offsets))
        stream.begin_behind(i, version, {partition: offsets[partition] - 1}, marks.get(i.venue, -1))
        streams[str(i.contract_id)] = stream
    for (name, date), session in zip(told["sessions"], sessions, strict=True):
        facts, stages = _parts(session, _STREAM)
        about = json.loads(facts)
        parts = cut(stages)
        at_work = SessionAtWork(date, about["opened"], begun=set(parts))
        at_work.rows = Counter(about["counts"])
        openings.open[name] = at_work
        for contract, own in parts.items():
            stream = streams[contract]
            connection = dict(feed["connection"]).get(partition_of(contract, len(offsets)))
            where = {
                "date": date,
                "connection": connection[0] if connection else "",
                "gaps": version,
            }
            body = _packed(_STREAM, [facts, own])
            stream.part = ContractPart.of(settings, name, stream.told, where, body)
        known = json.loads(_parts(stages, ("STAGES", 2))[0])
        venue = settings.of(name).venue
        cold = about["opened"]["cold"]
        for reason in known["missing"]:
            if reason != cold:
                ts = int(known["known_to"])
                openings.know_gap(version, Gap(venue, ts, ts, reason))
    openings.know(version, feed["since"], feed["with_book"], feed["last"], marks)
    states = {contract: stream.to_bytes() for contract, stream in streams.items()}
    return Handed(states, openings.to_json())


def to_local(settings: Settings, handed: Handed, feed: Facts) -> bytes:
    """Spark's states as the local engine's (`LiveWork`'s bytes).

    feed: `TopicFeed.to_json()` of the job that wrote bronze.stream, where it stands.
    """
    openings = handed.openings
    waiting = [f"{name} {date}" for (name, date), _ in openings["pending"]]
    _check_waiting(waiting + [f"{c} for {' '.join(key)}" for c, key in openings["waiting"].items()])
    ending = [f"{name} {s['date']}" for name, s in openings["open"].items() if s["ended"]]
    if ending:
        raise LakeError(
            f"handover: {', '.join(ending)} has ended for some contracts and not for all. Let the "
            "job come to the session's end first."
        )
    order = [str(row["contract_id"]) for row in feed["contracts"]]
    sessions = []
    for name, at_work in openings["open"].items():
        mine = []
        for contract in order:
            if contract in handed.states:
                stream = ContractStream(settings, ("silver", "gold"), contract)
                stream.restore(handed.states[contract])
                if stream.part is not None and stream.told.underlier == name:
                    mine.append(_parts(stream.part.to_bytes(), _STREAM)[1])
        facts = {"opened": at_work["opened"], "counts": dict(at_work["rows"])}
        sessions.append(_packed(_STREAM, [json.dumps(facts).encode(), joined(mine)]))
    past = PastSessions()
    past.restore(openings["past"])
    told = {
        "feed": dict(feed),
        "past": past.to_json(),
        "pending": [],
        "sessions": [[name, s["date"]] for name, s in openings["open"].items()],
    }
    return _packed(_LIVE, [state_bytes(told), *sessions])


def _check_waiting(waiting: list[str]) -> None:
    if waiting:
        raise LakeError(
            f"handover: {', '.join(waiting)} waits for the session before it. Let the engine that "
            "is at work come to that one's end first, and hand over then."
        )


def _marks(feed: Facts, partitions: int) -> dict[str, int]:
    """Of each venue the mark that all partitions have passed."""
    return {
        venue: min(ts for _, ts in marks)
        for venue, marks in feed["marks"]
        if len(marks) == partitions
    }


def _parts(data: bytes, kind: tuple[str, int]) -> list[bytes]:
    return [a.tobytes() for a in unpack(data, *kind)[1]]


def _packed(kind: tuple[str, int], parts: list[bytes]) -> bytes:
    return pack(*kind, [np.frombuffer(p, "u1") for p in parts])
