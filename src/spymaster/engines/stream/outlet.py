"""Where a stream's rows go: to `features_gold` at once, and into the epoch's files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from spymaster.engines.stream.features import Features
from spymaster.engines.stream.feed import Taken
from spymaster.engines.stream.rows import EpochRows
from spymaster.engines.stream.session import StreamSession
from spymaster.lake import Lake
from spymaster.lake import lineage as provenance
from spymaster.settings import Settings
from spymaster.stages.rows import Rows
from spymaster.stages.vector_spec import spec_hash, vector_spec_rows


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
        self._specs: set[str] = set()  # of vectors to come; written before their epoch
        self._refused: list[dict[str, Any]] = []
        self._just_ended: list[Mapping[str, str]] = []

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
        self._rows.add_lineage(self._lineage(s))
        self._just_ended.append({"session_date": date, "underlier": name})
        self.sessions_ended.append(f"{name} {date}")

    def _lineage(self, s: StreamSession) -> dict[str, Any]:
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

    def cut(self, epoch: int) -> tuple[EpochRows, tuple[Mapping[str, str], ...]]:
        """The rows since the last time, those of an epoch, and the sessions that ended in them.

        What several pipelines append to is written here: each row once, by what it is of.
        """
        for row in self._refused:
            app = f"bronze.quarantine/{row['source']}/{row['offset']}"
            self._lake.append_rows("bronze.quarantine", [row], app=(app, 1))
        self._refused = []
        for spec in self._specs:
            app = f"gold.vector_spec/{spec_hash(spec)}"
            if self._lake.transaction_version("gold.vector_spec", app) is None:
                self._lake.append_rows("gold.vector_spec", vector_spec_rows(spec), app=(app, 1))
        self._specs.clear()
        for row in self._rows.lineage:
            row["epoch"] = epoch
        rows, ended = self._rows, tuple(self._just_ended)
        self._rows, self._just_ended = self._fresh(), []
        return rows, ended

    def abandon(self) -> None:
        """Leave no file behind."""
        self._rows.abandon()
