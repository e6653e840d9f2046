"""One contract's part in one session: rows of the topic through the stages that engines share."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from spymaster.contracts.event import LATENESS_NS
from spymaster.engines.spark.contract_sink import ContractSink
from spymaster.engines.spark.contract_turn import Turn
from spymaster.engines.spark.stream_rows import GAP, MARK, RECORD, VERSION, StreamRows
from spymaster.engines.stream.opened import Opened
from spymaster.engines.stream.session import StreamSession
from spymaster.feed.topic import Gap
from spymaster.market.identify import Instrument
from spymaster.market.sessions import Session, session
from spymaster.settings import Settings, UnderlierSettings
from spymaster.stages.rows import Rows

#: Events that were posted one by one are of no connection.
_SINGLE = "event"


class ContractPart:
    """A contract in the session that is open; `ended`: a mark has passed its last window."""

    def __init__(self, s: StreamSession, instrument: Instrument) -> None:
        self.ended = False
        self._s, self._instrument = s, instrument
        self._connection = ""
        self._gaps = -1  # up to which version of bronze.stream gaps are known

    @classmethod
    def begin(
        cls, session: Session, settings: UnderlierSettings, opened: Opened, instrument: Instrument
    ) -> ContractPart:
        """One that has seen nothing yet."""
        return cls(StreamSession(session, settings, opened), instrument)

    @property
    def date(self) -> str:
        """The session's."""
        return self._s.key[1]

    def sink(self) -> ContractSink:
        """Where rows of this session go."""
        session = self._s.session
        return ContractSink(
            {
                "data_version": self._s.opened.data_version,
                "session_date": session.session_date,
                "underlier": session.underlier,
            }
        )

    def play(self, turn: Turn, rows: StreamRows, sink: ContractSink) -> None:
        """Take rows, in the feed's order, until the session ends."""
        versions, ranks = rows.column(VERSION), rows.ranks
        connections = rows.words("batch_id")
        controls = {c.place: c for c in rows.controls()}
        for first, behind in _runs(versions, ranks, connections):
            self._know_gaps(turn, int(versions[first]))
            control = controls.get(first)
            if control is None:
                self._connects(connections[first])
                events = rows.events(first, behind, self._instrument)
                self._emit(sink, self._s.stages.advance([self._instrument], events))
            elif control.rank == GAP:
                told = control.told
                gap = Gap(self._s.venue, told["from_ts"], told["to_ts"], told["reason"])
                if told["touched"] and self._s.hit_by(gap):
                    self._emit(sink, self._s.stages.gap(gap.from_ts, gap.reason))
            elif control.rank == MARK:
                self._emit(sink, self._s.stages.close(control.ts_recv))
                if self._s.stages.closed:
                    self.ended = True
                    return

    def _connects(self, connection: str) -> None:
        """Records of another connection follow: what they repeat is a duplicate."""
        if connection == _SINGLE:
            return
        if self._connection not in ("", connection):
            self._s.stages.begin_file()
        self._connection = connection

    def _know_gaps(self, turn: Turn, version: int) -> None:
        """Gaps of the feed are the whole session's, whether or not they touch this contract."""
        if version <= self._gaps:
            return
        for missed in turn.gaps:
            if self._gaps < missed.version <= version and self._s.hit_by(missed.gap):
                gap = missed.gap
                for _ in self._s.stages.gap(gap.from_ts, gap.reason, lambda contract: False):
                    pass
        self._gaps = version

    @staticmethod
    def _emit(sink: ContractSink, made: Iterator[tuple[str, list[Rows]]]) -> None:
        for kind, rows in made:
            sink.add(rows, kind)

    # At its end

    def small(self, sink: ContractSink) -> dict[str, list[dict[str, Any]]]:
        """Its rows of what later sessions ask for: into the sink, and by table for the driver."""
        small: dict[str, list[dict[str, Any]]] = {}
        s = self._s.session
        for table, kind, row in self._s.stages.small():
            sink.add([Rows(table, None, row, 1)], kind)
            if kind != "OPT":  # no later session depends on one
                keys = {"session_date": s.session_date, "underlier": s.underlier}
                small.setdefault(table, []).append({**row, **keys, "instrument_type": kind})
        return small

    def counters(self) -> dict[str, Any]:
        """What its lineage says of it."""
        stages = self._s.stages
        return {
            "duplicates": stages.duplicates,
            **stages.quality,
            "missing": stages.missing(),
        }

    # State

    def to_json(self) -> dict[str, Any]:
        """The state beside that of the stages."""
        return {"date": self.date, "connection": self._connection, "gaps": self._gaps}

    def to_bytes(self) -> bytes:
        """The state of the stages, and what the session was begun with."""
        return self._s.to_bytes()

    @classmethod
    def restore(
        cls,
        session: Session,
        settings: UnderlierSettings,
        instrument: Instrument,
        told: Mapping[str, Any],
        data: bytes,
    ) -> ContractPart:
        """Go on where `to_json` and `to_bytes` left off. ValueError for another version."""
        made = cls(StreamSession.from_bytes(session, settings, data), instrument)
        made._connection, made._gaps = told["connection"], told["gaps"]
        return made

    @classmethod
    def of(
        cls,
        settings: Settings,
        underlier: str,
        instrument: Instrument,
        told: Mapping[str, Any],
        data: bytes,
    ) -> ContractPart:
        """`restore`, for the session of a date that `told` names."""
        u = settings.of(underlier)
        s = session(u, underlier, dt.date.fromisoformat(told["date"]))
        return cls.restore(s, u, instrument, told, data)


def concerns(session: Session, rows: StreamRows) -> bool:
    """Are any of these records the session's?"""
    if not len(rows):
        return False
    ts = rows.column("ts_recv")[rows.ranks == RECORD]
    end = session.hull.end + LATENESS_NS
    return bool(((ts >= session.input_start) & (ts <= end)).any())


def _runs(versions: Any, ranks: Any, connections: list[str]) -> Iterator[tuple[int, int]]:
    """Rows that are taken at once: a control row, or records of a commit and a connection."""
    if not len(ranks):
        return
    codes = np.unique(np.array(connections, object), return_inverse=True)[1]
    same = (np.diff(versions) == 0) & (np.diff(codes) == 0)
    same &= (ranks[1:] == RECORD) & (ranks[:-1] == RECORD)
    edges = [0, *(np.flatnonzero(~same) + 1).tolist(), len(ranks)]
    yield from itertools.pairwise(edges)
