"""One session of one underlier: all its contracts, and its tables on their way into the lake."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import ACTION_GAP, EVENT, F_SNAPSHOT, LATENESS_NS
from spymaster.engines.earlier import Earlier
from spymaster.engines.sink import Sink
from spymaster.engines.training import label_vectors, training_view
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.lake import lineage as provenance
from spymaster.market.identify import Instrument
from spymaster.market.sessions import Session
from spymaster.settings import Settings
from spymaster.stages.contract import ContractDay
from spymaster.stages.contract_session import ContractSession
from spymaster.stages.rows import Rows
from spymaster.stages.vector_spec import lookback_spec, spec_hash, vector_spec_rows

log = logging.getLogger(__name__)

#: Tables of a session by layer, in the order in which they are committed.
TABLES = {
    "silver": (
        "silver.mbo_normalized",
        "silver.orderbook_state",
        "silver.bar_5s",
        "silver.level_book",
        "silver.feature_primitives",
        "silver.session_levels",
        "silver.level_approach_2m",
        "silver.contract_day",
        "silver.session_summary",
    ),
    "gold": ("gold.feature_series", "gold.setup_vectors", "gold.labels", "gold.training_view"),
}


_BEFORE = (-1, -1)


@dataclass
class _Contract:
    """A contract's stages, and the last identities of this file and of the files before it."""

    stages: ContractSession
    live: tuple[int, int] = _BEFORE
    snapshot: tuple[int, int] = _BEFORE
    live_before: tuple[int, int] = _BEFORE
    snapshot_before: tuple[int, int] = _BEFORE


@dataclass
class Outcome:
    """What a session came to."""

    session_date: str
    underlier: str
    rows: dict[str, int]
    missing: str | None
    duplicates: int
    data_version: str
    selected: str | None
    absent: bool = False  #: the selected contract is not in the feed
    quality: dict[str, int] = field(default_factory=dict)


class SessionRun:
    """Give it the feed's events in order, its gaps and its clock marks; then `finish`."""

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        session: Session,
        earlier: Earlier,
        shas: Sequence[str],
        layers: Sequence[str],
    ) -> None:
        self.session = session
        self._lake, self._earlier, self._layers = lake, earlier, layers
        self._u = settings.of(session.underlier)
        self._spec = lookback_spec(self._u)
        self._lineage = {
            "files": sorted(shas),
            "inputs_hash": earlier.hash,
            "code_version": provenance.code_version(),
            "config_hash": settings.config_hash(session.underlier),
            "contracts_version": provenance.contracts_version(),
        }
        self.data_version = provenance.data_version(
            shas,
            str(self._lineage["contracts_version"]),
            str(self._lineage["code_version"]),
            str(self._lineage["config_hash"]),
            earlier.hash,
        )
        constants = {"data_version": self.data_version}
        self._sink = Sink(lake, session.session_date, session.underlier, constants)
        self._held: list[Rows] = []
        self._contracts: dict[str, _Contract] = {}
        self._mark = -1
        self._missing: list[str] = []
        self._quality = {"unknown": 0, "crossed": 0, "backwards": 0, "lost_last": 0, "invalid": 0}
        self.duplicates = 0

    def advance(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> None:
        """Take events in feed order; `contract` indexes `contracts`."""
        end = self.session.hull.end + LATENESS_NS
        wanted = np.array([c.underlier == self.session.underlier for c in contracts], np.bool_)
        mine = (events["ts_recv"] >= self.session.input_start) & (events["ts_recv"] <= end)
        if len(wanted):
            mine &= wanted[events["contract"]]
        events = events[mine]
        if not len(events):
            return
        order = np.argsort(events["contract"], kind="stable")
        events = events[order]
        cuts = np.flatnonzero(np.diff(events["contract"])) + 1
        for part in np.split(events, cuts):
            self._take(contracts[int(part["contract"][0])], part)

    def _take(self, instrument: Instrument, events: NDArray[Any]) -> None:
        contract = self._contracts.get(str(instrument.contract_id))
        if contract is None:
            contract = _Contract(ContractSession(self._day(instrument), self._spec))
            self._contracts[str(instrument.contract_id)] = contract
        fresh = self._without_duplicates(contract, events)
        if len(fresh):
            self._emit(contract.stages, contract.stages.advance(fresh))

    def _day(self, instrument: Instrument) -> ContractDay:
        name = str(instrument.contract_id)
        return ContractDay(
            contract_id=name,
            instrument_type=str(instrument.instrument_type),
            price_step=int(instrument.price_step or 0),
            tick=int(instrument.tick or 0),
            session=self.session,
            approach=self._u.approach,
            model_id=self._u.model_id,
            selected=name == self._earlier.selected,
            previous=self._earlier.levels.get(name, {}),
            previous_volume=self._earlier.volumes.get(name),
            scale=self._earlier.scale,
            warm=not self._missing,
        )

    def _without_duplicates(self, contract: _Contract, events: NDArray[Any]) -> NDArray[Any]:
        """Drop what is at or before the last identity of the files before: they brought it."""
        snapshot = events["flags"] & F_SNAPSHOT != 0
        keep = np.ones(len(events), np.bool_)
        for which, mask in (("snapshot", snapshot), ("live", ~snapshot)):
            at = np.flatnonzero(mask)
            if not len(at):
                continue
            last_ts, last_index = getattr(contract, f"{which}_before")
            ts, index = events["ts_recv"][at], events["event_index"][at]
            if ts[0] <= last_ts:
                keep[at] = (ts > last_ts) | ((ts == last_ts) & (index > last_index))
            kept = at[keep[at]]
            if len(kept):
                last = events[kept[-1]]
                setattr(contract, which, (int(last["ts_recv"]), int(last["event_index"])))
        self.duplicates += int((~keep).sum())
        return events if keep.all() else events[keep]

    def begin_file(self) -> None:
        """Another file follows: what it repeats of the ones before is a duplicate."""
        for contract in self._contracts.values():
            contract.live_before, contract.snapshot_before = contract.live, contract.snapshot

    def gap(self, ts_recv: int, reason: str) -> None:
        """Records are missing after `ts_recv`, ns UTC: no book is good until a snapshot."""
        self._missing.append(reason)
        event = np.zeros(1, EVENT)
        event["action"], event["ts_event"], event["ts_recv"] = ACTION_GAP, ts_recv, ts_recv
        for contract in self._contracts.values():
            self._emit(contract.stages, contract.stages.advance(event))

    def close(self, mark: int) -> None:
        """Take a clock mark of the feed, ns UTC."""
        self._mark = max(self._mark, mark)
        for contract in self._contracts.values():
            self._emit(contract.stages, contract.stages.close(mark))

    def _emit(self, stages: ContractSession, rows: list[Rows]) -> None:
        kind = stages.day.instrument_type
        for r in rows:
            if r.table == "silver.bar_5s" and r.records is not None:
                for name in ("unknown", "crossed", "backwards", "lost_last"):
                    self._quality[name] += int(r.records[f"n_{name}"].sum())
                self._quality["invalid"] += int((~r.records["valid"]).sum())
            if r.table.split(".")[0] not in self._layers:
                continue
            if r.table in ("gold.setup_vectors", "gold.labels"):
                self._held.append(r)
                continue
            self._sink.add([r], kind)

    def finish(self, now: Callable[[], int], run_id: str) -> Outcome:
        """Write the session's last rows, commit its tables, then its lineage."""
        missing = self._what_is_missing()
        if "gold" in self._layers:
            self._gold(missing)
        if "silver" in self._layers:
            self._summaries(missing)
            self._contract_days()
        done = self._done()
        self._note(now(), run_id, "started", {})
        tables = [t for layer in ("silver", "gold") if layer in self._layers for t in TABLES[layer]]
        info = {"data_version": self.data_version, "run_id": run_id}
        versions = self._sink.commit(tables, info)
        self._note(now(), run_id, done, versions)
        return Outcome(
            session_date=self.session.session_date.isoformat(),
            underlier=self.session.underlier,
            rows={t: self._sink.rows.get(t, 0) for t in tables},
            missing=missing,
            duplicates=self.duplicates,
            data_version=self.data_version,
            selected=self._earlier.selected,
            absent=self._earlier.selected not in self._contracts,
            quality=self._quality,
        )

    def _done(self) -> str:
        """`complete` when silver and gold of the session are of one making, else `silver`."""
        before = self._last()
        if "gold" in self._layers:
            if "silver" not in self._layers and (
                before.get("status") not in ("silver", "complete")
                or before.get("data_version") != self.data_version
            ):
                raise LakeError(
                    f"gold of {self.session.underlier} {self.session.session_date}: its silver is "
                    "not there, or of other input, code or settings. Run: spymaster hist silver "
                    f"--session {self.session.session_date}"
                )
            return "complete"
        same = before.get("data_version") == self.data_version
        return "complete" if same and before.get("status") == "complete" else "silver"

    def _last(self) -> dict[str, Any]:
        rows = provenance.latest(self._lake, self.session.underlier)
        return rows.get((self.session.session_date.isoformat(), self.session.underlier), {})

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._sink.abandon()

    def _what_is_missing(self) -> str | None:
        reasons = list(self._missing)
        end = self.session.hull.end + LATENESS_NS
        if self._mark < end:
            day = np.datetime64(max(self._mark, 0), "ns")
            reasons.append(
                f"no record at or after {np.datetime64(end, 'ns')}Z, the feed ends at {day}Z"
            )
        return "; ".join(reasons) or None

    def _contract_missing(self, contract: _Contract, missing: str | None) -> str | None:
        since = contract.stages.book.good_since
        if since is not None and since <= self.session.bars.start:
            return missing
        when = "at the end" if since is None else f"before {np.datetime64(since, 'ns')}Z"
        return f"{missing}; " * bool(missing) + f"the book was not good {when}"

    def _gold(self, missing: str | None) -> None:
        for name, contract in self._contracts.items():
            day = contract.stages.day
            held = [r for r in self._held if r.columns["contract_id"] == name]
            vectors = [r for r in held if r.table == "gold.setup_vectors"]
            labels = [r for r in held if r.table == "gold.labels"]
            labelled = label_vectors(vectors, labels)
            self._sink.add([*labelled, *labels], day.instrument_type)
            whole = self._contract_missing(contract, missing) is None and not self.session.short
            if whole and labelled:
                self._sink.add(training_view(day, labelled, labels), day.instrument_type)
        spec = spec_hash(self._spec)
        self._lake.append_rows(
            "gold.vector_spec", vector_spec_rows(self._spec), app=(f"gold.vector_spec/{spec}", 1)
        )

    def _summaries(self, missing: str | None) -> None:
        for name, contract in sorted(self._contracts.items()):
            day = contract.stages.day
            row = contract.stages.summary.row()
            prices = {
                k: None if v is None else v * day.price_step
                for k, v in row.items()
                if k.endswith("_px")
            }
            lacks = self._contract_missing(contract, missing)
            columns = {
                **row,
                **prices,
                "contract_id": name,
                "complete": lacks is None,
                "missing": lacks,
                "short_session": self.session.short,
            }
            rows = Rows("silver.session_summary", None, columns, 1)
            self._sink.add([rows], day.instrument_type)

    def _contract_days(self) -> None:
        for name, contract in sorted(self._contracts.items()):
            day = contract.stages.day
            if day.instrument_type == "OPT":
                continue
            columns = {
                "contract_id": name,
                "selected": day.selected,
                "previous_volume": self._earlier.volumes.get(name),
                "rolled": day.selected and self._earlier.rolled,
                "expiration": self._earlier.expirations.get(name),
            }
            self._sink.add([Rows("silver.contract_day", None, columns, 1)], day.instrument_type)

    def _note(self, now: int, run_id: str, status: str, versions: dict[str, int]) -> None:
        row = {
            "session_date": self.session.session_date,
            "underlier": self.session.underlier,
            "status": status,
            "data_version": self.data_version,
            **self._lineage,
            "table_versions": json.dumps(versions),
            "rows": json.dumps(dict(self._sink.rows)),
            "counters": json.dumps({"duplicates": self.duplicates, **self._quality}),
            "run_id": run_id,
            "epoch": None,
            "machine": provenance.machine(),
            "committed_at": now,
        }
        self._lake.append_rows("lineage", [row])
