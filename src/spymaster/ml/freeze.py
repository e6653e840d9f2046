"""Freezing: the rows that were known on a day become a folder that never changes."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.lake.lineage import code_version, machine
from spymaster.ml.content import Content, differences
from spymaster.ml.dataset import open_snapshot, snapshot_folder
from spymaster.ml.folder import FrozenFolder, sha256_of
from spymaster.ml.frozen_files import LOOKBACK_SPEC, MANIFEST, Files, frozen_rows, write_about
from spymaster.ml.manifest import VERSION, Manifest
from spymaster.ml.outcomes import OUTCOMES
from spymaster.ml.training_rows import LeftOut, TrainingRows, known_before, training_rows
from spymaster.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frozen:
    """A snapshot, and whether this call made it."""

    path: Path
    manifest: Manifest
    made: bool  #: False: the same content was there already
    left_out: LeftOut  #: what the lake holds of the model besides


def freeze(lake: Lake, settings: Settings, model_id: str, run_date: dt.date, now: int) -> Frozen:
    """Freeze what `model_id` may learn from on `run_date` (see `training_rows`); `now`: ns UTC.

    The same content is there already: nothing happens (what it was made from may differ: another
    code or file that came to the same rows). Other content under the same run date: ModelError
    that tells what differs; nothing changes. A run date after `now` is refused: what will be known
    by then is not known.
    """
    folder = snapshot_folder(lake.root, model_id, run_date)
    if known_before(run_date) > now:
        today = dt.datetime.fromtimestamp(now // 1_000_000_000, dt.UTC).date()
        raise ModelError(
            f"run date {run_date} has not begun; allowed: up to {today} (UTC). What will be known "
            "by then would change under the snapshot."
        )
    rows = training_rows(lake, settings, model_id, run_date)
    owner = uuid.uuid4().hex
    with folder.held(f"snapshot/{model_id}", owner, lambda: now):
        if folder.exists():
            return _again(lake, folder, rows)
        with folder.making(owner) as stage:
            manifest = _write(stage, rows, now)
    log.info("%s: frozen, %s rows", folder.path, f"{manifest.counts['vectors']:,}")
    return Frozen(folder.path, manifest, True, rows.left_out)


def _again(lake: Lake, folder: FrozenFolder, rows: TrainingRows) -> Frozen:
    """The snapshot that is there, if the lake still says the same."""
    there = open_snapshot(lake.root, rows.model_id, rows.run_date).manifest
    content = Content(_about(rows))
    for day, table in _sessions(rows):
        content.add(day, table)
    if content.checksum != there.checksum:
        new = {"about": _about(rows), "sessions": content.sessions, "columns": content.columns}
        raise ModelError(
            f"{folder.path}: is frozen with the checksum {there.checksum}, and the lake gives "
            f"{content.checksum} now: {'; '.join(differences(there.content, new))}. A snapshot is "
            "never changed. Take the new rows under another --run-date."
        )
    return Frozen(folder.path, there, False, rows.left_out)


def _about(rows: TrainingRows) -> dict[str, object]:
    return {
        "model_id": rows.model_id,
        "feature_contract": rows.contract.feature_contract,
        "names": list(rows.contract.names),
    }


def _sessions(rows: TrainingRows) -> Iterator[tuple[str, pa.Table]]:
    for table, vectors in rows.sessions():
        whole = frozen_rows(table, vectors, rows.contract.names)
        yield str(whole["session_date"][0].as_py()), whole


def _write(stage: Path, rows: TrainingRows, now: int) -> Manifest:
    content, counted = Content(_about(rows)), _Counted()
    with Files(stage, rows.contract.names) as files:
        for day, table in _sessions(rows):
            content.add(day, table)
            counted.add(table)
            files.add(table)
    write_about(stage, rows.lineage, rows.contract.features)
    (stage / LOOKBACK_SPEC).write_text(rows.contract.lookback_spec, encoding="utf-8")
    manifest = Manifest(
        version=VERSION,
        run_date=rows.run_date.isoformat(),
        checksum=content.checksum,
        about=_about(rows),
        counts=counted.counts(),
        sessions=content.sessions,
        columns=content.columns,
        files={
            file.name: {"sha256": sha256_of(file), "bytes": file.stat().st_size}
            for file in sorted(stage.iterdir())
        },
        made_from={
            "made_at": now,
            "known_before": known_before(rows.run_date),
            "table_versions": rows.table_versions,
            "left_out": vars(rows.left_out),
            "code_version": code_version(),
            "machine": machine(),
        },
    )
    (stage / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest


class _Counted:
    """Vectors and episodes, per outcome."""

    def __init__(self) -> None:
        self._vectors: Counter[str] = Counter()
        self._episodes: dict[str, str] = {}
        self._days: list[str] = []

    def add(self, rows: pa.Table) -> None:
        labels = rows["label"].to_pylist()
        self._vectors.update(labels)
        self._episodes.update(zip(rows["episode_id"].to_pylist(), labels, strict=True))
        self._days.append(str(rows["session_date"][0].as_py()))

    def counts(self) -> dict[str, object]:
        episodes = Counter(self._episodes.values())
        return {
            "sessions": len(self._days),
            "first_session": self._days[0],
            "last_session": self._days[-1],
            "vectors": self._vectors.total(),
            "episodes": episodes.total(),
            "outcomes": {
                name: {"vectors": self._vectors[name], "episodes": episodes[name]}
                for name in OUTCOMES
            },
        }
