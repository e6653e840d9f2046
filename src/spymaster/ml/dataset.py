"""A dataset snapshot: frozen training data of one model and one day, and the arrays in it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spymaster.contracts.silver import DIRECTIONS
from spymaster.errors import ModelError
from spymaster.lake.parquet import SAFE
from spymaster.lake.place import Place
from spymaster.ml.folder import FrozenFolder
from spymaster.ml.frozen_files import LABELS, VECTORS, WEIGHTS
from spymaster.ml.manifest import Manifest, read_manifest
from spymaster.ml.outcomes import OUTCOMES


@dataclass(frozen=True)
class Dataset:
    """Vectors and what came of them: n rows, by session, vector_time, contract and episode.

    `episode` and `label` are codes into `episode_id` and OUTCOMES. Arrays are not to be written to.
    """

    model_id: str
    run_date: dt.date
    names: tuple[str, ...]  #: k features, in the vector's order
    feature_contract: str
    features: NDArray[np.float64]  #: [n, k], NaN = missing
    label: NDArray[np.int8]
    weight: NDArray[np.float64]  #: 1 / (vectors of the episode x episodes active at the bar)
    session: NDArray[np.datetime64]  #: [D]
    episode: NDArray[np.int64]
    episode_id: tuple[str, ...]
    feature_hash: NDArray[np.str_]
    vector_time: NDArray[np.int64]  #: ns UTC
    known_at: NDArray[np.int64]  #: when the label was, ns UTC
    contract_id: NDArray[np.str_]
    direction: NDArray[np.int8]  #: +1 from below, -1 from above
    level_price: NDArray[np.int64]  #: 1e-9
    touch_ticks: NDArray[np.int64]
    barrier_ticks: NDArray[np.int64]
    checksum: str  #: names the frozen content, also of a part of it

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, chosen: NDArray[Any]) -> Dataset:
        """These rows, by a mask or by indices; codes and checksum stay those of the whole."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in _PER_ROW})

    def of(self, sessions: tuple[dt.date, ...]) -> Dataset:
        """The rows of these sessions."""
        return self.rows(np.isin(self.session, np.array(sessions, "datetime64[D]")))

    def column(self, name: str) -> NDArray[np.float64]:
        """A feature by its name; ModelError for one that the contract does not hold."""
        if name not in self.names:
            raise ModelError(
                f"{self.model_id} {self.run_date}: no feature {name!r}; allowed are the "
                f"{len(self.names)} of gold.vector_spec, such as {', '.join(self.names[:3])}."
            )
        return np.asarray(self.features[:, self.names.index(name)])

    @property
    def sessions(self) -> tuple[dt.date, ...]:
        """The sessions that have rows, in order."""
        return tuple(np.unique(self.session).tolist())


_PER_ROW = (
    "features", "label", "weight", "session", "episode", "feature_hash", "vector_time", "known_at",
    "contract_id", "direction", "level_price", "touch_ticks", "barrier_ticks",
)  # fmt: skip


class Opened(NamedTuple):
    """A snapshot's folder whose files are what its manifest says."""

    folder: FrozenFolder
    manifest: Manifest


def snapshot_folder(root: str | Path, model_id: str, run_date: dt.date) -> FrozenFolder:
    """Where the snapshot of a model and a run date lies, or would lie."""
    if not SAFE.fullmatch(model_id):
        raise ModelError(
            f"{model_id!r} cannot name a folder. Allowed are letters, digits, '.', '_' and '-'."
        )
    return FrozenFolder(Place(root), f"ml-artifacts/datasets/{model_id}/{run_date.isoformat()}")


def open_snapshot(root: str | Path, model_id: str, run_date: dt.date) -> Opened:
    """Find a snapshot and verify every file; ModelError when there is none, or it was changed."""
    folder = snapshot_folder(root, model_id, run_date)
    if not folder.exists():
        found = sorted(p.name for p in folder.path.parent.glob("[0-9]*"))
        raise ModelError(
            f"{folder.path}: no snapshot of {model_id} with run date {run_date}; there are: "
            f"{', '.join(found) or 'none'}. Make it with: spymaster ml snapshot --model {model_id} "
            f"--run-date {run_date}"
        )
    manifest = read_manifest(folder)
    manifest.verify(folder)
    return Opened(folder, manifest)


def load(root: str | Path, model_id: str, run_date: dt.date) -> Dataset:
    """The arrays of a snapshot, its files verified. Raises ModelError as `open_snapshot` does."""
    folder, manifest = open_snapshot(root, model_id, run_date)
    names = tuple(manifest.about["names"])
    rows, features = _read_vectors(folder.path / VECTORS, names)
    labels = pq.read_table(folder.path / LABELS)
    weights = pq.read_table(folder.path / WEIGHTS)
    hashes = rows["feature_hash"]
    if not (labels["feature_hash"].equals(hashes) and weights["feature_hash"].equals(hashes)):
        raise ModelError(f"{folder.path}: its files do not hold the same rows. Remove the folder.")
    ids, episode = _codes(rows["episode_id"])
    return Dataset(
        model_id=model_id,
        run_date=run_date,
        names=names,
        feature_contract=str(manifest.about["feature_contract"]),
        features=features,
        label=_index(labels["label"], OUTCOMES).astype(np.int8),
        weight=weights["weight"].to_numpy(),
        session=rows["session_date"].to_numpy().astype("datetime64[D]"),
        episode=episode,
        episode_id=ids,
        feature_hash=np.array(hashes.to_pylist(), np.str_),
        vector_time=rows["vector_time"].to_numpy(),
        known_at=labels["known_at"].to_numpy(),
        contract_id=np.array(rows["contract_id"].to_pylist(), np.str_),
        direction=np.array([1, -1], np.int8)[_index(rows["direction"], DIRECTIONS)],
        level_price=rows["level_price"].to_numpy(),
        touch_ticks=rows["touch_ticks"].to_numpy(),
        barrier_ticks=rows["barrier_ticks"].to_numpy(),
        checksum=manifest.checksum,
    )


def _read_vectors(path: Path, names: tuple[str, ...]) -> tuple[pa.Table, NDArray[np.float64]]:
    """Row group after row group, so that the vectors are in memory about once."""
    file = pq.ParquetFile(path)
    features = np.empty((file.metadata.num_rows, len(names)), np.float64)
    others = [n for n in file.schema_arrow.names if n not in set(names)]
    parts, at = [], 0
    for group in range(file.num_row_groups):
        part = file.read_row_group(group)
        for i, name in enumerate(names):
            features[at : at + part.num_rows, i] = part[name].to_numpy()
        parts.append(part.select(others))
        at += part.num_rows
    return pa.concat_tables(parts), features


def _codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    coded = column.combine_chunks().dictionary_encode()
    return tuple(coded.dictionary.to_pylist()), coded.indices.to_numpy().astype(np.int64)


def _index(column: pa.ChunkedArray, values: tuple[str, ...]) -> NDArray[np.int64]:
    place = {value: i for i, value in enumerate(values)}
    return np.array([place[v] for v in column.to_pylist()], np.int64)
