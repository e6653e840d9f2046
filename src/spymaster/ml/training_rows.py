"""What of the lake a model may learn from on a day: which sessions, which rows, which names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from spymaster.errors import LakeError, ModelError
from spymaster.lake import Lake, read
from spymaster.lake.lineage import complete
from spymaster.settings import Settings
from spymaster.stages.feature_contract import contract_of
from spymaster.stages.hashes import feature_hash
from spymaster.stages.vector_spec import spec_hash

VIEW, SPEC = "gold.training_view", "gold.vector_spec"
#: A scan looks at the table's whole log, and holds the rows of so many sessions.
_DAYS_AT_A_TIME = 16
_ORDER = [(n, "ascending") for n in ("vector_time", "contract_id", "episode_id", "feature_hash")]


@dataclass
class LeftOut:
    """Rows of the model that a snapshot does not take, and why; the first reason counts."""

    invisible: dict[str, int] = field(default_factory=dict)  #: session -> rows: not committed whole
    later: dict[str, int] = field(default_factory=dict)  #: session -> rows: from the run date on
    late: dict[str, int] = field(default_factory=dict)  #: session -> rows: some known too late
    other_contract: dict[str, int] = field(default_factory=dict)  #: feature contract -> rows

    def lines(self) -> list[str]:
        """One sentence per reason that took rows away."""
        told = (
            (self.invisible, "of sessions that lineage does not call complete", "session"),
            (self.later, "of sessions on or after the run date", "session"),
            (self.late, "of sessions with an outcome known only on the run date", "session"),
            (self.other_contract, "of another feature contract", "contract"),
        )
        return [
            f"{sum(rows.values()):,} rows {why} ({len(rows)} {noun}{'s' * (len(rows) > 1)})"
            for rows, why, noun in told
            if rows
        ]


@dataclass(frozen=True)
class Names:
    """A feature contract: its text, its hash, and what it calls the numbers of a vector."""

    lookback_spec: str
    feature_contract: str
    features: tuple[dict[str, Any], ...]  #: rows of gold.vector_spec, by position

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(row["name"]) for row in self.features)


@dataclass(frozen=True)
class TrainingRows:
    """The rows that were known before a day, of one model and one feature contract."""

    model_id: str
    run_date: dt.date
    contract: Names
    lineage: tuple[dict[str, Any], ...]  #: of the sessions taken, in order
    left_out: LeftOut
    table_versions: dict[str, int]
    _lake: Lake
    _view: DeltaTable

    def sessions(self) -> Iterator[tuple[pa.Table, NDArray[np.float64]]]:
        """Session after session: its rows without the vectors, in order, and the vectors [n, k].

        Raises LakeError when a row is not what its feature_hash says.
        """
        table = self._lake.table(VIEW)
        columns = [c for c in table.names if c != "lookback_spec"]
        days = sorted({row["session_date"] for row in self.lineage})
        for at in range(0, len(days), _DAYS_AT_A_TIME):
            some = days[at : at + _DAYS_AT_A_TIME]
            filters = self._filter(some)
            rows = read.scan(self._view, self._lake.place, table, columns, filters)
            for day in some:
                mine = rows.filter(pc.field("session_date") == day).sort_by(_ORDER)
                vectors = self._vectors(mine, day)
                yield mine.drop_columns(["feature_vector"]), vectors

    def _filter(self, days: list[dt.date]) -> Any:
        """These sessions' rows; an underlier's session counts only where it was taken."""
        table, whole = self._lake.table(VIEW), None
        for underlier in sorted({row["underlier"] for row in self.lineage}):
            mine = [r["session_date"] for r in self.lineage if r["underlier"] == underlier]
            one = {
                "session_date": [day for day in days if day in mine],
                "underlier": underlier,
                "model_id": self.model_id,
                "lookback_spec": self.contract.lookback_spec,
            }
            asked = read.expression(table, one)
            whole = asked if whole is None else whole | asked
        return whole

    def _vectors(self, rows: pa.Table, day: dt.date) -> NDArray[np.float64]:
        lists = rows["feature_vector"].combine_chunks()
        k = len(self.contract.features)
        lengths = set(pc.unique(pc.list_value_length(lists)).to_pylist())
        if lengths != {k} or lists.flatten().null_count:
            raise LakeError(
                f"{VIEW} {day}: vectors of {sorted(lengths)} numbers, some may be null; allowed: "
                f"{k}, as {SPEC} names them, NaN where missing. Make it anew: spymaster hist gold "
                f"--session {day}"
            )
        vectors = np.asarray(lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, k))
        identity = (rows[n].to_pylist() for n in ("contract_id", "vector_time", "episode_id"))
        hashes = rows["feature_hash"].to_pylist()
        for i, (contract, time, episode) in enumerate(zip(*identity, strict=True)):
            made = feature_hash(contract, time, episode, self.contract.feature_contract, vectors[i])
            if made != hashes[i]:
                raise LakeError(
                    f"{VIEW} {day} {contract} vector_time {time}: the vector's hash is {made}, "
                    f"its feature_hash {hashes[i]}. The row is not what was computed. Make it "
                    f"anew: spymaster hist gold --session {day}"
                )
        return vectors


def known_before(run_date: dt.date) -> int:
    """The first moment of the run date, ns UTC: what is known at or before it may be learnt."""
    return int(dt.datetime.combine(run_date, dt.time(), dt.UTC).timestamp()) * 1_000_000_000


def training_rows(lake: Lake, settings: Settings, model_id: str, run_date: dt.date) -> TrainingRows:
    """Choose what `model_id` may learn from on `run_date`.

    What the market had told by the run date's first moment (00:00 UTC), and no more: sessions
    named by an earlier day whose every row was known by then. A session is taken whole or not at
    all, since its weights count episodes beside each other. It says nothing of when the data came
    here: a file that lands late changes what a past run date gives, and freezing tells so.

    Only sessions that lineage calls complete, only the feature contract of the settings in force.
    Raises ModelError for an unknown model or when no row is left, LakeError without a lake.
    """
    contract = contract_of(settings, model_id)
    underliers, text = contract.underliers, contract.lookback_spec
    lake.check_exists()
    if not lake.exists(VIEW):
        raise ModelError(
            f"{lake.root}: there is no {VIEW} to learn from. Make it with: spymaster hist run"
        )
    made = {key: row for u in underliers for key, row in complete(lake, u).items()}
    opened = {name: lake.snapshot(name) for name in (VIEW, SPEC)}
    versions = {name: table.version() for name, table in opened.items()}
    versions["lineage"] = lake.version("lineage") or 0
    left, taken = _choose(lake, opened[VIEW], model_id, underliers, text, run_date, made)
    if not taken:
        why = "; ".join(left.lines()) or "the model has no training row at all"
        raise ModelError(
            f"{lake.root}: {model_id} has no training row known before {run_date} under the "
            f"feature contract {contract.hash} of these settings. Left out: {why}. Make "
            "sessions with: spymaster hist run, or name a later --run-date."
        )
    names = _names(lake, opened[SPEC], text)
    rows = tuple(made[key] for key in sorted(taken))
    return TrainingRows(model_id, run_date, names, rows, left, versions, lake, opened[VIEW])


def _choose(
    lake: Lake,
    view: DeltaTable,
    model_id: str,
    underliers: tuple[str, ...],
    text: str,
    run_date: dt.date,
    made: dict[tuple[str, str], dict[str, Any]],
) -> tuple[LeftOut, set[tuple[str, str]]]:
    left, taken, end = LeftOut(), set(), known_before(run_date)
    for (date, underlier, spec), group in _groups(lake, view, model_id, underliers).items():
        session, rows = (date, underlier), int(group["rows"])
        named = f"{underlier} {date}"
        if session not in made:
            left.invisible[named] = rows
        elif spec != text:
            other = spec_hash(spec)
            left.other_contract[other] = left.other_contract.get(other, 0) + rows
        elif date >= run_date.isoformat():
            left.later[named] = rows
        elif int(group["known_at"]) > end:
            left.late[named] = rows
        else:
            if group["data_version"] != {made[session]["data_version"]}:
                raise LakeError(
                    f"{VIEW} {named}: its rows are of another making than lineage tells. The "
                    "session is being made anew; take the snapshot when the run has ended."
                )
            taken.add(session)
    return left, taken


def _groups(
    lake: Lake, view: DeltaTable, model_id: str, underliers: tuple[str, ...]
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Rows, last known_at and data versions per (session, underlier, lookback_spec)."""
    keys = ["session_date", "underlier", "lookback_spec", "data_version"]
    filters = {"model_id": model_id, "underlier": list(underliers)}
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    batches = read.batches(
        view, lake.place, lake.table(VIEW), [*keys, "known_at"], filters, 1 << 17, True
    )
    for batch in batches:
        grouped = pa.Table.from_batches([batch]).group_by(keys)
        for row in grouped.aggregate([("known_at", "max"), ("known_at", "count")]).to_pylist():
            key = (str(row["session_date"]), row["underlier"], row["lookback_spec"])
            group = found.setdefault(key, {"rows": 0, "known_at": 0, "data_version": set()})
            group["rows"] += row["known_at_count"]
            group["known_at"] = max(group["known_at"], row["known_at_max"])
            group["data_version"].add(row["data_version"])
    return found


def _names(lake: Lake, spec: DeltaTable, text: str) -> Names:
    contract = spec_hash(text)
    filters = {"spec_hash": contract}
    found = read.scan(spec, lake.place, lake.table(SPEC), None, filters).to_pylist()
    rows = sorted(found, key=lambda row: int(row["position"]))
    columns = ("position", "name", "block", "unit", "meaning")
    features = tuple({c: row[c] for c in columns} for row in rows)
    if [row["position"] for row in features] != list(range(len(features))) or not features:
        raise LakeError(
            f"{SPEC}: the feature contract {contract} has {len(features)} rows, not one per "
            "position from 0. Make gold anew: spymaster hist gold"
        )
    return Names(text, contract, features)
