"""One session of one underlier: all its contracts, and its rows on their way into Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.contracts.event import LATENESS_NS
from spymaster.engines.earlier import Earlier
from spymaster.engines.inputs import Inputs
from spymaster.engines.ledger import CONTRACT_DAY, SUMMARY
from spymaster.engines.markets import Markets
from spymaster.engines.sink import Sink
from spymaster.engines.training import label_vectors, training_view
from spymaster.lake import Lake, Part
from spymaster.market.identify import Instrument
from spymaster.settings import Settings
from spymaster.stages.contract import ContractDay
from spymaster.stages.rows import Rows
from spymaster.stages.vector_spec import lookback_spec

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


@dataclass
class SessionMade:
    """A whole session's rows, written and not yet shown.

    `parts`: table -> its files. `small`: rows of silver.session_summary and silver.contract_day,
    which later sessions depend on.
    """

    inputs: Inputs
    layers: tuple[str, ...]
    parts: dict[str, list[Part]]
    small: dict[str, list[dict[str, Any]]]
    spec: str
    outcome: Outcome


class SessionRun:
    """Give it the feed's events in order, its gaps and its clock marks; then `finish`.

    Without layers it is the light pass: only what later sessions need to know of this one.
    """

    def __init__(
        self, lake: Lake, settings: Settings, inputs: Inputs, layers: Sequence[str]
    ) -> None:
        self.session = session = inputs.session
        self._inputs, self._earlier, self._layers = inputs, inputs.earlier, tuple(layers)
        self._u = settings.of(session.underlier)
        self._spec = lookback_spec(self._u)
        constants = {"data_version": inputs.data_version}
        self._sink = Sink(lake, session.session_date, session.underlier, constants)
        self._small: dict[str, list[dict[str, Any]]] = {}
        self._held: list[Rows] = []
        self._markets = Markets(session, self._spec, self._day, light=not self._layers)
        self._mark = -1
        self._missing: list[str] = []
        self._quality = {"unknown": 0, "crossed": 0, "backwards": 0, "lost_last": 0, "invalid": 0}

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

    def begin_file(self) -> None:
        """Another file follows: what it repeats of the ones before is a duplicate."""
        self._markets.begin_file()

    def advance(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> None:
        """Take events in feed order; `contract` indexes `contracts`."""
        for kind, rows in self._markets.advance(contracts, events):
            self._emit(kind, rows)

    def gap(self, ts_recv: int, reason: str) -> None:
        """Records are missing after `ts_recv`, ns UTC: no book is good until a snapshot."""
        self._missing.append(reason)
        for kind, rows in self._markets.gap(ts_recv):
            self._emit(kind, rows)

    def close(self, mark: int) -> None:
        """Take a clock mark of the feed, ns UTC."""
        self._mark = max(self._mark, mark)
        for kind, rows in self._markets.close(mark):
            self._emit(kind, rows)

    def _emit(self, kind: str, rows: list[Rows]) -> None:
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

    def finish(self) -> SessionMade:
        """Write the session's last rows; its files wait to be shown."""
        missing = self._what_is_missing()
        if "gold" in self._layers:
            self._gold(missing)
        if "silver" in self._layers or not self._layers:
            self._summaries(missing)
        if "silver" in self._layers:
            self._contract_days()
        parts = self._sink.close()
        tables = [t for layer in ("silver", "gold") if layer in self._layers for t in TABLES[layer]]
        outcome = Outcome(
            session_date=self.session.session_date.isoformat(),
            underlier=self.session.underlier,
            rows={t: self._sink.rows.get(t, 0) for t in tables},
            missing=missing,
            duplicates=self._markets.duplicates,
            data_version=self._inputs.data_version,
            selected=self._earlier.selected,
            absent=self._earlier.selected not in self._markets,
            quality=self._quality,
        )
        return SessionMade(self._inputs, self._layers, parts, self._small, self._spec, outcome)

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

    def _contract_missing(self, since: int | None, missing: str | None) -> str | None:
        """What a contract lacks whose book is good `since` then."""
        if since is not None and since <= self.session.bars.start:
            return missing
        when = "at the end" if since is None else f"before {np.datetime64(since, 'ns')}Z"
        return f"{missing}; " * bool(missing) + f"the book was not good {when}"

    def _gold(self, missing: str | None) -> None:
        for day, stages, number in self._markets.days():
            held = [r for r in self._held if r.columns["contract_id"] == day.contract_id]
            vectors = [r for r in held if r.table == "gold.setup_vectors"]
            labels = [r for r in held if r.table == "gold.labels"]
            labelled = label_vectors(vectors, labels)
            self._sink.add([*labelled, *labels], day.instrument_type)
            lacks = self._contract_missing(stages.book(number).good_since, missing)
            if lacks is None and not self.session.short and labelled:
                self._sink.add(training_view(day, labelled, labels), day.instrument_type)

    def _summaries(self, missing: str | None) -> None:
        for day, stages, number in self._markets.days():
            row = stages.summary(number)
            prices = {
                k: None if v is None else v * day.price_step
                for k, v in row.items()
                if k.endswith("_px")
            }
            lacks = self._contract_missing(stages.book(number).good_since, missing)
            columns = {
                **row,
                **prices,
                "contract_id": day.contract_id,
                "complete": lacks is None,
                "missing": lacks,
                "short_session": self.session.short,
            }
            self._add_small(SUMMARY, columns, day)

    def _contract_days(self) -> None:
        for day, _, _ in self._markets.days():
            if day.instrument_type != "OPT":
                self._add_small(CONTRACT_DAY, contract_day(day.contract_id, self._earlier), day)

    def _add_small(self, table: str, columns: dict[str, Any], day: ContractDay) -> None:
        """A row that later sessions will ask for: into the table, and kept at hand."""
        if self._layers:
            self._sink.add([Rows(table, None, columns, 1)], day.instrument_type)
        keys = {
            "session_date": self.session.session_date,
            "underlier": self.session.underlier,
            "instrument_type": day.instrument_type,
        }
        self._small.setdefault(table, []).append({**columns, **keys})


def contract_day(contract_id: str, earlier: Earlier) -> dict[str, Any]:
    """What silver.contract_day says of a contract: all of it known before the session begins."""
    selected = contract_id == earlier.selected
    return {
        "contract_id": contract_id,
        "selected": selected,
        "previous_volume": earlier.volumes.get(contract_id),
        "rolled": selected and earlier.rolled,
        "expiration": earlier.expirations.get(contract_id),
    }
