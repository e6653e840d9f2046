"""One contract on its way through the sessions: state and rows of the topic in, rows out.

What Spark runs for a key, whichever of its interfaces calls it, and what a handover reads and
writes. No Spark, no clock, no lake: state as bytes, rows of bronze.stream, and the driver's word
on which session is open (`Turn`). A session that is not open yet finds its rows in the state.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from spymaster.engines.session_run import TABLES
from spymaster.engines.spark.contract_part import ContractPart, concerns
from spymaster.engines.spark.contract_turn import Turn
from spymaster.engines.spark.staged import FACT, Piece, count, told
from spymaster.engines.spark.stream_rows import INSTRUMENT, MARK, RECORD, VERSION, StreamRows
from spymaster.engines.stream.opened import Opened
from spymaster.errors import SourceError
from spymaster.kernel.state import pack, unpack
from spymaster.market.identify import Instrument
from spymaster.market.sessions import Session, session, sessions_touched
from spymaster.settings import Settings, UnderlierSettings

Chunk = tuple[int, pa.RecordBatch]  #: a commit's version, rows of it
_FORMAT = ("CONTRACT", 1)


def run_key(
    settings: Settings,
    layers: Sequence[str],
    contract: str,
    state: bytes | None,
    turn: Turn,
    chunks: Iterable[Chunk],
) -> tuple[list[Piece], bytes]:
    """What a contract's rows of some commits come to, and its state behind them.

    Pieces of tables (`layers`: silver, gold) and facts for the driver. SourceError for rows that
    cannot be; ValueError for a state of another version of this program.
    """
    stream = ContractStream(settings, layers, contract)
    if state is not None:
        stream.restore(state)
    return stream.take(turn, StreamRows.read(chunks)), stream.to_bytes()


class ContractStream:
    """One contract: what it is, its part in the session that is open, and rows that wait.

    Facts: `#seen`, the last version; `#contract`, when a session begins or ends for it, when rows
    wait for one, and how many rows came again (`repeated`) or below a mark (`late`).
    """

    def __init__(self, settings: Settings, layers: Sequence[str], contract: str) -> None:
        self.instrument: Instrument | None = None
        self.part: ContractPart | None = None
        self.waiting = StreamRows.empty()
        self._contract, self._settings = contract, settings
        self._tables = {name for layer in layers for name in TABLES[layer]}
        self._over = ""  # the last session that it has ended
        self._waits: str | None = None  # the first session that rows wait for
        self._seen = -1
        self._at: dict[int, int] = {}
        self._mark = -1

    def take(self, turn: Turn, rows: StreamRows) -> list[Piece]:
        """Rows of the next commits: pieces of tables, and facts."""
        new = rows.without_repeated(self._seen, self._at)
        facts: dict[str, Any] = {"repeated": new.repeated, "late": self._late(new)}
        pieces: list[Piece] = []
        if len(rows):
            self._seen = max(self._seen, int(rows.column(VERSION).max()))
        if len(new):
            self._learn(new)
        if self.instrument is not None:
            pieces = self._take(turn, new, facts)
        said = {k: v for k, v in facts.items() if v}
        if said:
            about = {"contract": self._contract, "underlier": self._underlier, **said}
            pieces.append(told(self._kind, "contract", about))
        return [*pieces, count("", "seen", self._seen)]

    @property
    def _underlier(self) -> str:
        return str(self.instrument.underlier) if self.instrument else ""

    @property
    def _kind(self) -> str:
        return str(self.instrument.instrument_type) if self.instrument else ""

    @property
    def _u(self) -> UnderlierSettings:
        return self._settings.of(self._underlier)

    def _session(self, date: str) -> Session:
        return session(self._u, self._underlier, dt.date.fromisoformat(date))

    def _learn(self, rows: StreamRows) -> None:
        """What the contract is: as it was told first."""
        controls = list(rows.controls())
        for control in controls:
            if control.rank == INSTRUMENT and self.instrument is None:
                self.instrument = Instrument.from_row(control.told["row"])
        if self.instrument is None and len(rows) > len(controls):
            raise SourceError(
                f"bronze.stream version {self._seen}: records of {self._contract}, and no row "
                "tells what it is. The job that writes them tells it with a contract's first "
                "records: begin silver where bronze began, or both anew."
            )

    def _late(self, rows: StreamRows) -> int:
        """Records below a mark that was passed."""
        if not len(rows):
            return 0
        ts, ranks = rows.column("ts_recv"), rows.ranks
        passed = np.maximum.accumulate(np.where(ranks == MARK, ts, self._mark))
        self._mark = int(passed[-1])
        late = (ranks == RECORD) & ~rows.flag("is_snapshot") & (ts < passed)
        return int(late.sum())

    # Sessions

    def _take(self, turn: Turn, new: StreamRows, facts: dict[str, Any]) -> list[Piece]:
        name = self._underlier
        date, opened = turn.opened.get(name, ("", {}))
        behind = StreamRows.joined(self.waiting, new)
        pieces: list[Piece] = []
        if self._over < date:
            # Rows that wait have been through the session that is open, or are of it.
            playing = new if self.part is not None else behind
            if self.part is None and concerns(self._session(date), playing):
                assert self.instrument is not None
                self.part = ContractPart.begin(
                    self._session(date), self._u, Opened.from_json(opened), self.instrument
                )
                facts["begun"] = date
            if self.part is not None and self.part.date != date:
                raise SourceError(
                    f"{self._contract}: session {self.part.date} is open in its state, and the "
                    f"job has opened {date}. State and job are not of one stream: begin anew."
                )
            if self.part is not None:
                pieces = self._play(self.part, turn, playing, facts)
        self._wait(behind, max(turn.over.get(name, ""), self._over, date), facts)
        return pieces

    def _play(
        self, part: ContractPart, turn: Turn, rows: StreamRows, facts: dict[str, Any]
    ) -> list[Piece]:
        sink = part.sink()
        part.play(turn, rows, sink)
        if part.ended:
            facts["ended"] = {
                "date": part.date,
                "small": part.small(sink),
                "counters": part.counters(),
            }
            self._over, self.part = part.date, None
        return [p for p in sink.rest() if p.name in self._tables]

    def _wait(self, rows: StreamRows, behind: str, facts: dict[str, Any]) -> None:
        """Keep what sessions after `behind` will ask for: all rows from their first one on."""
        waits, start = self._next(rows, behind)
        if waits != self._waits:
            facts["waits"] = waits or "none"
        self._waits = waits
        if waits is None:
            self.waiting = StreamRows.empty()
        else:
            self.waiting = rows.since(int(np.argmax(rows.times() >= start)))

    def _next(self, rows: StreamRows, behind: str) -> tuple[str | None, int]:
        """The first session after `behind` that these rows touch, and when its input begins."""
        times = rows.times()
        times = times[times >= 0]
        if not len(times):
            return None, 0
        low, high = int(times.min()), int(times.max())
        for s in sessions_touched(self._u, self._underlier, low, high + 1):
            if s.session_date.isoformat() > behind and (times >= s.input_start).any():
                return s.session_date.isoformat(), s.input_start
        return None, 0

    # State

    @property
    def told(self) -> Instrument:
        """What the contract is; only for one that was told."""
        assert self.instrument is not None
        return self.instrument

    def begin_behind(
        self, instrument: Instrument, seen: int, at: Mapping[int, int], mark: int
    ) -> None:
        """Begin where another engine stood: behind a version, offsets and a mark."""
        self.instrument = instrument
        self._seen, self._at, self._mark = seen, dict(at), mark

    def to_bytes(self) -> bytes:
        """The whole state."""
        head = {
            "instrument": None if self.instrument is None else self.instrument.to_row(),
            "part": None if self.part is None else self.part.to_json(),
            "over": self._over,
            "waits": self._waits,
            "seen": self._seen,
            "at": list(self._at.items()),
            "mark": self._mark,
        }
        part = b"" if self.part is None else self.part.to_bytes()
        parts = [json.dumps(head).encode(), self.waiting.to_bytes(), part]
        return pack(*_FORMAT, [np.frombuffer(p, "u1") for p in parts])

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` left off. ValueError for another version."""
        head, waiting, part = (a.tobytes() for a in unpack(data, *_FORMAT)[1])
        found: Mapping[str, Any] = json.loads(head)
        if found["instrument"] is not None:
            self.instrument = Instrument.from_row(found["instrument"])
        self.waiting = StreamRows.from_bytes(waiting)
        self._over, self._waits = found["over"], found["waits"]
        self._seen, self._mark = found["seen"], found["mark"]
        self._at = {int(p): int(o) for p, o in found["at"]}
        if found["part"] is not None:
            assert self.instrument is not None
            s = self._session(found["part"]["date"])
            self.part = ContractPart.restore(s, self._u, self.instrument, found["part"], part)


def facts_of(pieces: Iterable[Piece], name: str) -> list[Any]:
    """What was told under a name."""
    return [json.loads(p.body or b"null") for p in pieces if p.name == FACT + name]
