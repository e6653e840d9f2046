"""Control rows of bronze.stream: each contract's own copies of marks and gaps, and what it is.

They lie in the file of the contract's records, so that whoever reads a contract reads its clock.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pyarrow as pa

from spymaster.bus import partition_of
from spymaster.contracts.arrow import to_arrow
from spymaster.engines.spark.staged import POSITION, Piece, packed
from spymaster.engines.spark.stream.known import Known, News
from spymaster.engines.spark.stream.messages import GAP, INSTRUMENT, MARK, STREAM
from spymaster.market.sessions import session_date_of
from spymaster.settings import UnderlierSettings
from spymaster.stages.envelope import STREAM as TABLE

Row = dict[str, Any]
_FIELDS = (
    "venue", "ts_recv", "payload", "contract_id", "symbol", "session_date", "underlier",
    "instrument_type", "topic_partition", "topic_offset", POSITION,
)  # fmt: skip


class Controls:
    """The control rows of one commit, behind what its messages told.

    `marked`: the contracts that get a mark, with it, ns UTC.
    """

    def __init__(
        self, known: Known, news: News, underliers: Mapping[str, UnderlierSettings]
    ) -> None:
        self.marked: dict[str, int] = {}
        self._known, self._news, self._underliers = known, news, underliers
        self._count = len(known.offsets)
        self._marks = known.marks
        self._date = cache(lambda name, ts: session_date_of(underliers[name], ts))

    def pieces(self) -> list[tuple[int, Piece]]:
        """The rows, by the number of the file that they go to."""
        files: dict[int, list[Row]] = defaultdict(list)
        for name in {**dict.fromkeys(self._known.active), **dict.fromkeys(self._news.seen)}:
            contract = self._known.contracts[name]
            if contract["underlier"] in self._underliers:
                lane = partition_of(name, self._count)
                files[lane] += self._of(name, contract, lane)
        return [(lane, _packed(rows)) for lane, rows in files.items() if rows]

    def _of(self, name: str, contract: Row, lane: int) -> Iterator[Row]:
        u = self._underliers[contract["underlier"]]
        date: list[dt.date] = []  # found when there is a first row

        def row(ts: int, payload: Row, at: tuple[int, int], rank: int) -> Row:
            if not date:
                date.append(self._session(name, contract, u.venue, ts))
            told = (
                u.venue, ts, json.dumps(payload, separators=(",", ":")), name,
                contract["raw_symbol"], date[0], contract["underlier"],
                contract["instrument_type"], *at, rank,
            )  # fmt: skip
            return dict(zip(_FIELDS, told, strict=True))

        begins = (-1, -1)
        if name in self._news.instruments:
            *at, told = self._news.instruments[name]
            where = (int(at[0]), int(at[1]))
            if name in self._news.contracts:
                begins = where
            yield row(told["ts_recv"], {"kind": "instrument", "row": told}, where, INSTRUMENT)
        for p, o, gap in self._news.gaps:
            if gap["venue"] == u.venue and (p, o) > begins:
                facts = {k: gap[k] for k in ("from_ts", "to_ts", "reason")}
                said = {"kind": "gap", **facts, "touched": p == lane}
                yield row(gap["to_ts"], said, (p, o), GAP)
        mark = self._marks.get(u.venue)
        if mark is not None and (u.venue in self._news.moved or begins != (-1, -1)):
            # Behind all that any partition has in this commit.
            last = self._count - 1
            self.marked[name] = mark
            yield row(mark, {"kind": "mark"}, (last, self._known.offsets[last]), MARK)

    def _session(self, name: str, contract: Row, venue: str, ts: int) -> dt.date:
        """The session of the contract's last record, so that its commit is one file; else of now.

        A definition may be older than any session that the calendar knows.
        """
        if name in self._news.seen and self._news.seen[name][2]:
            return dt.date.fromisoformat(self._news.seen[name][2])
        now = self._marks.get(venue) or self._known.feed["last"].get(venue) or ts
        return self._date(contract["underlier"], now)


def _packed(rows: list[Row]) -> Piece:
    columns: Row = dict.fromkeys(TABLE.names)
    columns |= {name: [r[name] for r in rows] for name in _FIELDS if name != POSITION}
    columns["is_snapshot"] = False
    batch = to_arrow(TABLE, None, columns, dictionary=True)
    places = pa.array([r[POSITION] for r in rows], pa.int64())
    return packed("", STREAM, batch.append_column(POSITION, places))
