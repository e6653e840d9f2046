"""What every trial came to, a file each, beside the snapshots: what a sweep is resumed from.

MLflow's store is told from these files. A trial counts once its file is whole; one that was
killed before is made again, and comes to the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spymaster.errors import ModelError
from spymaster.lake.place import fsync
from spymaster.ml.dataset import Dataset
from spymaster.ml.split import Split
from spymaster.ml.split_file import to_json

Record = dict[str, Any]

#: Whose sources decide what a trial comes to.
_CODE = (
    "arrays", "calibration", "candidate", "fitting", "forest", "histogram", "lightgbm", "logistic",
    "metrics", "outcomes", "search", "trial", "trust",
)  # fmt: skip
_LIBRARIES = ("hyperopt", "lightgbm", "numpy", "scikit-learn", "scipy")
_WALL_CLOCK = ("started_ms", "ended_ms")


def identity(data: Dataset, split: Split, seed: int) -> dict[str, Any]:
    """All that decides what trial i of a sweep is and comes to: data, split, seed, code."""
    code = blake2b(digest_size=16)
    for name in _CODE:
        code.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return {
        "model_id": data.model_id,
        "run_date": data.run_date.isoformat(),
        "checksum": data.checksum,
        "split": to_json(split),
        "seed": seed,
        "code": code.hexdigest(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def key_of(identity: Mapping[str, Any]) -> str:
    """BLAKE2b-64 of an identity, in hexadecimal."""
    text = json.dumps(identity, sort_keys=True)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def lasting(record: Record) -> Record:
    """A record without the wall clock: what two equal sweeps have in common."""
    return {name: value for name, value in record.items() if name not in _WALL_CLOCK}


class TrialLog:
    """The records of one sweep, by trial."""

    def __init__(self, root: str | Path, identity: Mapping[str, Any]) -> None:
        self.key = key_of(identity)
        self.path = (
            Path(root)
            / "ml-artifacts/sweeps"
            / str(identity["model_id"])
            / str(identity["run_date"])
            / f"seed-{identity['seed']}-{self.key}"
        )
        self.path.mkdir(parents=True, exist_ok=True)
        for left in self.path.glob(".*.part"):
            left.unlink()
        if not (self.path / "sweep.json").exists():
            self._write("sweep.json", dict(identity))

    def get(self, trial: int) -> Record | None:
        """A trial's record; ModelError when its file is damaged."""
        path = self.path / _name(trial)
        try:
            return dict(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except ValueError:
            raise ModelError(
                f"{path}: is damaged. Remove it; the trial is made again, to the same."
            ) from None

    def put(self, record: Record) -> Record:
        """Keep a record, durably; it comes back as any later run will read it."""
        self._write(_name(record["trial"]), record)
        return dict(json.loads(json.dumps(record)))

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        part = self.path / f".{name}.part"
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        fsync(part)
        os.replace(part, self.path / name)
        fsync(self.path)


def _name(trial: int) -> str:
    return f"trial-{trial:04d}.json"
