"""Where a stream's rows go: to `features_gold` at once, and into the epoch's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spymaster.contracts.stream import SUFFIX
from spymaster.engines.stream.features import Features
from spymaster.engines.stream.feed import Taken
from spymaster.engines.stream.rows import EpochRows
from spymaster.engines.stream.session import StreamSession
from spymaster.lake import Lake, Part
from spymaster.lake import lineage as provenance
from spymaster.settings import Settings
from spymaster.stages.rows import Rows
from spymaster.stages.vector_spec import spec_hash, vector_spec_rows

LINEAGE = "lineage" + SUFFIX


@dataclass(frozen=True)
class Epoch:
    """What an epoch's intents came to, as the committer takes it.

    `stages`: rows of the `_stream` tables; `lineage`: of sessions that ended; `refused`: rows of
    bronze.quarantine; `specs`: layouts of its vectors.
    """

    stages: EpochRows
    lineage: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    specs: list[str]

    @property
    def ended(self) -> list[dict[str, str]]:
        """Partitions of the sessions that ended."""
        return [
            {"session_date": row["session_date"].isoformat(), "underlier": row["underlier"]}
            for row in self.lineage
        ]

    def share(self, lake: Lake, app: str) -> None:
        """What could not be read, and the layouts that are new."""
        if self.refused:
            lake.append_rows("bronze.quarantine", self.refused, app=(f"{app}/refused", 1))
        for spec in self.specs:
            name = f"gold.vector_spec/{spec_hash(spec)}"
            if lake.transaction_version("gold.vector_spec", name) is None:
                lake.append_rows("gold.vector_spec", vector_spec_rows(spec), app=(name, 1))

    def files(self) -> dict[str, list[Part]]:
        """The files of each table, on disk for good."""
        return self.stages.close()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Lineage has a row for each session that ended."""
        return self.lineage if table == LINEAGE else []


class Outlet:
    """Takes rows of the sessions and of the topic; `cut` gives those of an epoch."""

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        features: Features,
        fresh: Callable[[], EpochRows],
        run_id: str,
        now: Callable[[], int],
    ) -> None:
        self.features = features
        self.sessions_ended: list[str] = []
        self._lake, self._settings, self._run_id, self._now = lake, settings, run_id, now
        self._fresh = fresh
        self._rows = fresh()
        self._specs: set[str] = set()  # of vectors to come
        self._refused: list[dict[str, Any]] = []
        self._lineage: list[dict[str, Any]] = []  # of sessions that ended

    def topic(self, taken: Taken) -> None:
        """What was read, for bronze.stream and bronze.quarantine."""
        self._rows.add_topic(taken)
        self._refused += taken.refused

    def expect(self, spec: str) -> None:
        """Vectors of this layout may come."""
        self._specs.add(spec)

    def take(self, s: StreamSession, kind: str, rows: list[Rows]) -> None:
        """Rows of a session's stages, of one kind of contract."""
        if not rows:
            return
        version = s.opened.data_version
        for r in rows:
            s.counts[r.table] = s.counts.get(r.table, 0) + len(r)
        self.features.add(rows, s.session.session_date, s.session.underlier, kind, version)
        self._rows.add(s.key, kind, rows, version)

    def ended(self, s: StreamSession) -> None:
        """A session can change no more: its lineage, and its small files become one."""
        name, date = s.key
        self._lineage.append(self._lineage_of(s))
        self.sessions_ended.append(f"{name} {date}")

    def _lineage_of(self, s: StreamSession) -> dict[str, Any]:
        missing = s.stages.missing()
        counters = {"duplicates": s.stages.duplicates, **s.stages.quality, "missing": missing}
        return {
            "session_date": s.session.session_date,
            "underlier": s.session.underlier,
            "status": "incomplete" if missing else "complete",
            "data_version": s.opened.data_version,
            "files": list(s.opened.files),
            "inputs_hash": s.opened.inputs_hash,
            "opened": json.dumps(s.opened.to_json(), sort_keys=True),
            "code_version": provenance.code_version(),
            "config_hash": self._settings.config_hash(s.session.underlier),
            "contracts_version": provenance.contracts_version(),
            "table_versions": json.dumps(dict(s.opened.versions)),
            "rows": json.dumps(s.counts),
            "counters": json.dumps(counters),
            "run_id": self._run_id,
            "epoch": None,
            "machine": provenance.machine(),
            "committed_at": self._now(),
        }

    def cut(self, epoch: int) -> Epoch:
        """What was made since the last time: an epoch's."""
        lineage = [{**row, "epoch": epoch} for row in self._lineage]
        made = Epoch(self._rows, lineage, self._refused, sorted(self._specs))
        self._rows, self._lineage, self._refused, self._specs = self._fresh(), [], [], set()
        return made

    def abandon(self) -> None:
        """Leave no file behind."""
        self._rows.abandon()
