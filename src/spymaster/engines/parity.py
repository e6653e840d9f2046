"""The parity certificate: a streamed session made once more, from its own record, and compared.

In another process and with another chunk size than the stream's, from the DBN files that the
ingestor captured and what was known of earlier sessions when the stream began it. Every fact of
every table must be the same, bit for bit.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.compute as pc

from spymaster.contracts.event import LATENESS_NS
from spymaster.contracts.stream import SUFFIX, TABLES, TOPIC
from spymaster.engines.earlier import earlier
from spymaster.engines.inputs import Inputs
from spymaster.engines.job import Job, make
from spymaster.engines.ledger import CONTRACT_DAY, SUMMARY, Ledger
from spymaster.engines.session_run import TABLES as MADE
from spymaster.engines.stream.opened import Opened
from spymaster.errors import SessionError
from spymaster.feed.capture_name import captured_batch
from spymaster.lake import Lake, Part
from spymaster.lake import lineage as provenance
from spymaster.lake.compare import Compared
from spymaster.lake.diff import Difference, diff
from spymaster.lake.manifest import Manifest, utc_day, without_replaced
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.market.sessions import Session, session
from spymaster.settings import Settings

Against = Literal["capture", "vendor"]
#: Not what the stream works with, and not a round number: cuts fall elsewhere.
CHUNK_RECORDS = 77_777
#: Schema of the landed files: a live capture has all in one, the vendor's files have one each.
_SCHEMA = {"capture": "mixed", "vendor": "mbo"}
_STREAMED = {t.name for t in TABLES}


@dataclass(frozen=True)
class Certificate:
    """What a comparison came to; `row` is in gold.parity."""

    row: Mapping[str, Any]
    difference: Difference

    @property
    def equal(self) -> bool:
        return bool(self.row["equal"])

    def lines(self) -> list[str]:
        """One line per table, and what differs first."""
        date, name = self.row["session_date"], self.row["underlier"]
        verdict = "equal" if self.equal else "DIFFERENT"
        return [
            *self.difference.lines(),
            *(line for line in self.row["differences"] if line.startswith("doubt: ")),
            f"{name} {date} against the {self.row['against']}: {verdict}, "
            f"{self.row['vectors']:,} vectors",
        ]


def certify(
    settings: Settings,
    underlier: str,
    date: dt.date,
    against: Against = "capture",
    now: Callable[[], int] = time.time_ns,
    chunk_records: int = CHUNK_RECORDS,
) -> Certificate:
    """Make a streamed session again and compare; the certificate is a row of gold.parity.

    SessionError when the stream has not ended the session, or its files are not there.
    """
    lake = Lake(settings.root)
    s = session(settings.of(underlier), underlier, date)
    opened = _opened(lake, s)
    files = _files(lake, s, against, opened.files)
    inputs = Inputs(s, opened.earlier, {}, opened.data_version, opened.cold)
    scratch = Path(lake.place.root) / "lake" / "checkpoints" / f"parity-{now()}"
    try:
        again = Lake(scratch)
        _make(settings, lake, again, inputs, files, chunk_records, now)
        difference = _compare(lake, again, s, files, opened.since)
        first = _first(lake, again, difference)
        doubts = _doubts(settings, lake, s, opened, files, difference, against)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    row = _row(s, against, files, inputs, difference, chunk_records, now(), first, doubts)
    lake.append_rows("gold.parity", [row])
    return Certificate(row, difference)


def streamed_sessions(lake: Lake) -> list[tuple[str, dt.date]]:
    """(underlier, session date) of the sessions that the stream has ended, in order of time."""
    rows = lake.scan("lineage" + SUFFIX, ["underlier", "session_date"], missing_ok=True)
    found = {(r["underlier"], r["session_date"]) for r in rows.to_pylist()}
    return sorted(found, key=lambda x: (x[1], x[0]))


def _opened(lake: Lake, s: Session) -> Opened:
    rows = lake.scan(
        "lineage" + SUFFIX,
        filters={"session_date": s.session_date, "underlier": s.underlier},
        missing_ok=True,
    ).to_pylist()
    if not rows:
        ended = [f"{name} {date}" for name, date in streamed_sessions(lake)]
        raise SessionError(
            f"{s.underlier} {s.session_date}: no stream has ended this session under {lake.root}. "
            f"Ended are: {', '.join(ended[-5:]) or 'none'}. A session ends when a record at or "
            "after its last window's end has come: spymaster status"
        )
    latest = max(rows, key=lambda r: r["committed_at"])
    return Opened.from_json(json.loads(latest["opened"]))


def _files(
    lake: Lake, s: Session, against: Against, begun_with: Sequence[str]
) -> list[dict[str, Any]]:
    """The session's captures, and the files that the stream began it with; or the vendor's."""
    days = {f"{d:%Y%m%d}" for d in s.utc_days()}
    rows = [
        r
        for r in without_replaced(Manifest(lake).rows().values())
        if r["underlier"] == s.underlier
        and utc_day(r) in days
        and (r["schema"] == _SCHEMA[against] or (against == "capture" and r["path"] in begun_with))
    ]
    if not rows:
        what = "captured" if against == "capture" else "of the vendor"
        todo = (
            "A capture lands when its connection ends, at UTC midnight and at a session's end"
            if against == "capture"
            else "Land them: spymaster land FILE"
        )
        raise SessionError(
            f"{s.underlier} {s.session_date}: no file {what} of {', '.join(sorted(days))} has "
            f"landed under {lake.root}. {todo}."
        )
    return rows


def _make(
    settings: Settings,
    lake: Lake,
    again: Lake,
    inputs: Inputs,
    files: list[dict[str, Any]],
    chunk_records: int,
    now: Callable[[], int],
) -> None:
    rows = [{**r, "status": "landed"} for r in files]
    days = [f"{d:%Y%m%d}" for d in inputs.session.utc_days()]
    job = Job(
        underlier=inputs.session.underlier,
        inputs=inputs,
        days=tuple((day, tuple(r for r in rows if utc_day(r) == day)) for day in days),
        layers=("silver", "gold"),
        chunk_records=chunk_records,
    )
    known = lake.scan("bronze.definitions", missing_ok=True).to_pylist()
    instruments = Instruments(Instrument.from_row(r) for r in known)
    made = make(job, lake, settings, instruments, now, into=again)
    if made.error is not None:
        raise made.error
    for file in made.files:
        again.append("bronze.mbo", file.parts)
    assert made.session is not None
    for name, parts in made.session.parts.items():
        _show(again, name, parts)


def _show(lake: Lake, name: str, parts: list[Part]) -> None:
    for text in {json.dumps(dict(p.partition)) for p in parts}:
        partition = json.loads(text)
        lake.replace(name, partition, [p for p in parts if dict(p.partition) == partition])


def _compare(
    lake: Lake, again: Lake, s: Session, files: list[dict[str, Any]], since: int
) -> Difference:
    """Streamed against recomputed, table by table; of the topic the records of these captures.

    Up to the session's end: the stream may not have read all of the last capture yet.
    """
    where = {"session_date": s.session_date, "underlier": s.underlier}
    result = Difference()
    span = (0 if since <= s.hull.start else since + 1, s.hull.end + LATENESS_NS + 1)
    captured = [r["batch_id"] for r in files if captured_batch(r["path"]) is not None]
    pairs: list[tuple[str, str, dict[str, Any]]] = []
    if captured:
        asked = {"underlier": s.underlier, "batch_id": captured, "ts_recv": span}
        pairs.append((TOPIC.name, "bronze.mbo", asked))
    for layer in ("silver", "gold"):
        for name in MADE[layer]:
            if name + SUFFIX in _STREAMED:
                pairs.append((name + SUFFIX, name, where))
    for streamed, name, asked in pairs:
        if lake.exists(streamed) or again.exists(name):
            result.tables.update(diff(lake, again, (streamed, name), where=asked).tables)
    return result


def _doubts(
    settings: Settings,
    lake: Lake,
    s: Session,
    opened: Opened,
    files: list[dict[str, Any]],
    difference: Difference,
    against: Against,
) -> list[str]:
    """What the comparison itself cannot show: was there anything to compare, and from what?"""
    doubts = []
    rows = {name.partition(" ")[0]: t.rows for name, t in difference.tables.items()}
    for name in ("silver.bar_5s", "silver.session_summary"):
        if not sum(rows.get(name + SUFFIX, (0, 0))):
            doubts.append(f"doubt: {name} has no row of this session on either side")
    if against == "capture":
        captured = {r["batch_id"] for r in files}
        unlanded = sorted(_connections(lake, s, opened.since) - captured)
        if unlanded:
            doubts.append(
                f"doubt: the topic brought records of {', '.join(unlanded[:3])}, of which no "
                "capture of the session's days has landed"
            )
    now = earlier(
        Ledger(lake, streamed=True),
        s,
        settings.of(s.underlier),
        Instruments(
            Instrument.from_row(r)
            for r in lake.scan("bronze.definitions", missing_ok=True).to_pylist()
        ),
    )
    if any(opened.versions.get(name) != lake.version(name) for name in (SUMMARY, CONTRACT_DAY)):
        return doubts  # history has been made since: what was known then is not what is known now
    for name in ("selected", "levels", "volumes", "rolled", "scale"):
        was, is_now = getattr(opened.earlier, name), getattr(now, name)
        if was != is_now:
            doubts.append(
                f"doubt: the stream began the session with {name} {was}, and the sessions before "
                f"it say {is_now}"
            )
    return doubts


def _connections(lake: Lake, s: Session, since: int) -> set[str]:
    """The captures that the topic's records of the session are of; single events have none."""
    first, last = max(s.input_start, since), s.hull.end + LATENESS_NS
    ts = pc.field("ts_recv")
    mine = (pc.field("underlier") == s.underlier) & (ts >= first) & (ts <= last)
    rows = lake.scan(TOPIC.name, ["batch_id"], mine, missing_ok=True)
    return {b for b in rows["batch_id"].unique().to_pylist() if b not in (None, "event")}


def _row(
    s: Session,
    against: Against,
    files: list[dict[str, Any]],
    inputs: Inputs,
    difference: Difference,
    chunk_records: int,
    now: int,
    first: Mapping[str, Any] | None,
    doubts: list[str],
) -> dict[str, Any]:
    unequal = {name: t for name, t in difference.tables.items() if not t.equal}
    vectors = [t for name, t in difference.tables.items() if "setup_vectors" in name]
    return {
        "session_date": s.session_date,
        "underlier": s.underlier,
        "against": against,
        "checked_at": now,
        "equal": not unequal and not doubts,
        "rows": json.dumps(difference.rows),
        "vectors": sum(t.rows[0] for t in vectors),
        "differences": [
            *(line for name in unequal for line in _said(name, unequal[name])),
            *doubts,
        ],
        "first": json.dumps(first, default=str) if first else None,
        "files": sorted(r["sha256"] for r in files),
        "chunk_records": chunk_records,
        "data_version": inputs.data_version,
        "code_version": provenance.code_version(),
        "machine": provenance.machine(),
    }


def _said(name: str, t: Compared) -> list[str]:
    return Difference({name: t}).lines()


def _first(lake: Lake, again: Lake, difference: Difference) -> dict[str, Any] | None:
    """The first fact that is not the same: where, of which contract, at which time."""
    found = next(((n, t.first) for n, t in difference.tables.items() if t.first is not None), None)
    if found is None:
        return None
    tables, finding = found
    streamed, _, made = tables.partition(" / ")
    told = {
        "table": streamed,
        **finding.key,
        "column": finding.column,
        "streamed": finding.a,
        "recomputed": finding.b,
    }
    # A vector is named by its hash: the row says of which contract and bar it is.
    for side, name in ((lake, streamed), (again, made)):
        if side.exists(name):
            for row in side.scan(name, filters=finding.key).to_pylist()[:1]:
                for column in ("contract_id", "bar_start", "vector_time", "episode_id"):
                    if column in row:
                        told.setdefault(column, row[column])
    return told
