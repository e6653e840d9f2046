"""One session of one underlier: all its contracts, and its rows on their way into Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from spymaster.engines.inputs import Inputs
from spymaster.engines.markets import Made as MarketsMade
from spymaster.engines.session_stages import SessionStages, as_rows
from spymaster.engines.sink import RowSink, Sink
from spymaster.engines.training import label_vectors, training_view
from spymaster.lake import Lake, Part
from spymaster.market.identify import Instrument
from spymaster.settings import Settings
from spymaster.stages.rows import Rows

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
    `sink`: where the rows go, by default files of the lake.
    """

    def __init__(
        self,
        lake: Lake | None,
        settings: Settings,
        inputs: Inputs,
        layers: Sequence[str],
        sink: RowSink | None = None,
    ) -> None:
        self.session = session = inputs.session
        self._inputs, self._layers = inputs, tuple(layers)
        self._stages = SessionStages(
            session,
            settings.of(session.underlier),
            inputs.earlier,
            light=not self._layers,
            cold=inputs.cold,
        )
        constants = {"data_version": inputs.data_version}
        if sink is None:
            assert lake is not None
            sink = Sink(lake, session.session_date, session.underlier, constants)
        self._sink = sink
        self._held: list[Rows] = []

    def begin_file(self) -> None:
        """Another file follows: what it repeats of the ones before is a duplicate."""
        self._stages.begin_file()

    def advance(self, contracts: Sequence[Instrument], events: NDArray[Any]) -> None:
        """Take events in feed order; `contract` indexes `contracts`."""
        self._emit(self._stages.advance(contracts, events))

    def gap(self, ts_recv: int, reason: str) -> None:
        """Records are missing after `ts_recv`, ns UTC: no book is good until a snapshot."""
        self._emit(self._stages.gap(ts_recv, reason))

    def reached_by(self, from_ts: int, to_ts: int) -> bool:
        """Does a gap of the feed (ns UTC) reach into the session's time?"""
        return self._stages.reached_by(from_ts, to_ts)

    def close(self, mark: int) -> None:
        """Take a clock mark of the feed, ns UTC."""
        self._emit(self._stages.close(mark))

    def _emit(self, made: MarketsMade) -> None:
        for kind, rows in made:
            for r in rows:
                if r.table.split(".")[0] not in self._layers:
                    continue
                if r.table in ("gold.setup_vectors", "gold.labels"):
                    self._held.append(r)
                    continue
                self._sink.add([r], kind)

    def finish(self) -> SessionMade:
        """Write the session's last rows; its files wait to be shown."""
        if "gold" in self._layers:
            self._gold()
        small = self._small() if "silver" in self._layers or not self._layers else {}
        parts = self._sink.close()
        tables = [t for layer in ("silver", "gold") if layer in self._layers for t in TABLES[layer]]
        outcome = Outcome(
            session_date=self.session.session_date.isoformat(),
            underlier=self.session.underlier,
            rows={t: self._sink.rows.get(t, 0) for t in tables},
            missing=self._stages.missing(),
            duplicates=self._stages.duplicates,
            data_version=self._inputs.data_version,
            selected=self._inputs.earlier.selected,
            absent=self._stages.absent,
            quality=self._stages.quality,
        )
        return SessionMade(self._inputs, self._layers, parts, small, self._stages.spec, outcome)

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._sink.abandon()

    def _gold(self) -> None:
        for day, lacks in self._stages.days():
            held = [r for r in self._held if r.columns["contract_id"] == day.contract_id]
            vectors = [r for r in held if r.table == "gold.setup_vectors"]
            labels = [r for r in held if r.table == "gold.labels"]
            labelled = label_vectors(vectors, labels)
            self._sink.add([*labelled, *labels], day.instrument_type)
            if lacks is None and not self.session.short and labelled:
                self._sink.add(training_view(day, labelled, labels), day.instrument_type)

    def _small(self) -> dict[str, list[dict[str, Any]]]:
        """Rows that later sessions will ask for: into their tables, and kept at hand."""
        kept: dict[str, list[dict[str, Any]]] = {}
        for table, kind, row in self._stages.small(days=bool(self._layers)):
            if self._layers:
                self._sink.add([as_rows(table, row)], kind)
            keys = {
                "session_date": self.session.session_date,
                "underlier": self.session.underlier,
                "instrument_type": kind,
            }
            kept.setdefault(table, []).append({**row, **keys})
        return kept
