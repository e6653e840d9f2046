"""Real models in a real registry: fitted, saved and registered as the sweep does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spymaster.ml.arrays import F8, FORMAT, OUTCOMES, Model, digest
from spymaster.ml.extra import needed
from spymaster.ml.fitting import fit, form
from spymaster.ml.model import save_model
from spymaster.ml.trust import calibration

MODEL = "ES_MODEL"
COLUMNS = tuple(f"x{i}" for i in range(298))
CONTRACT = "5f" * 16
KNOBS: dict[str, dict[str, Any]] = {
    "a": {"kind": "logistic", "alpha": 0.01, "scaling": "robust", "clip": 3.0, "indicators": True},
    "b": {"kind": "lightgbm", "learning_rate": 0.1, "rounds": 100, "leaves": 15, "depth": 6,
          "leaf_share": 0.02, "l2": 1.0, "columns": 0.7, "rows": 0.8},
}  # fmt: skip


def uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def vectors(n: int, seed: int = 0, size: int = len(COLUMNS)) -> F8:
    """Vectors with some numbers missing."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(n, size))
    rows[draw.random(rows.shape) < 0.02] = np.nan
    return rows


def save(path: Path, name: str, columns: Sequence[str] = COLUMNS, contract: str = CONTRACT) -> None:
    """The model `name` of KNOBS, fitted to drawn rows, in the folder `path`."""
    x = vectors(500, seed=1, size=len(columns))
    lean = np.nan_to_num(x[:, 0]) + np.random.default_rng(2).normal(size=len(x))
    label = np.digitize(lean, [-0.6, 0.6]).astype(np.int8)
    made = fit(KNOBS[name], x, label, np.ones(len(x)), seed=3)
    arrays = {**made, **calibration(0.9, np.full(len(OUTCOMES), 1 / len(OUTCOMES)))}
    card = {
        "format": FORMAT, "form": form(KNOBS[name]["kind"]), "model_id": MODEL,
        "feature_contract": contract, "outcomes": list(OUTCOMES), "columns": list(columns),
    }  # fmt: skip
    save_model(path, Model({**card, "digest": digest(card, arrays)}, arrays), x[:2])


def register(folder: Path, path: Path, alias: str | None = "champion") -> str:
    """Make the saved model the next version; the alias moves to it."""
    client = needed("mlflow").MlflowClient(uri(folder), uri(folder))
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(MODEL)
    version = str(client.create_model_version(MODEL, path.as_uri()).version)
    if alias is not None:
        point(folder, version, alias)
    return version


def point(folder: Path, version: str, alias: str = "champion") -> None:
    """The alias moves to a version."""
    client = needed("mlflow").MlflowClient(uri(folder), uri(folder))
    client.set_registered_model_alias(MODEL, alias, version)
