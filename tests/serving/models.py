"""Real models in a real registry: scikit-learn, MLflow, SQLite."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import mlflow
import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = "ES_MODEL"
COLUMNS = tuple(f"x{i}" for i in range(298))
CONTRACT = "5f" * 16


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow's own warnings, about its types and its database, are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def vectors(n: int, seed: int = 0, width: int = len(COLUMNS)) -> NDArray[np.float64]:
    """Vectors with some numbers missing."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(n, width))
    rows[draw.random(rows.shape) < 0.02] = np.nan
    return rows


def save(path: Path, seed: int, columns: tuple[str, ...] = COLUMNS) -> None:
    """An MLflow model in the folder `path`, fitted to what `seed` draws."""
    draw = np.random.default_rng([seed, 1])
    x = vectors(300, seed, len(columns))
    y = (np.nan_to_num(x[:, 0]) + draw.normal(size=len(x))).argsort().argsort() * 3 // len(x)
    steps = (SimpleImputer(), StandardScaler(), LogisticRegression())
    estimator = make_pipeline(*steps).fit(x, y)
    example = pd.DataFrame(x[:2], columns=list(columns))
    answer = pd.DataFrame(np.full((2, 3), 1 / 3), columns=["p_break", "p_reject", "p_chop"])
    answer["prediction"] = "BREAK"
    with quiet(), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "estimator.joblib"
        joblib.dump({"estimator": estimator, "contract": CONTRACT}, file)
        mlflow.pyfunc.save_model(
            path,
            python_model=str(Path(__file__).with_name("estimator.py")),
            artifacts={"estimator": str(file)},
            signature=infer_signature(example, answer, {"feature_contract": CONTRACT}),
            input_example=example,
            pip_requirements=["scikit-learn"],
        )


def register(folder: Path, path: Path, alias: str | None = "champion") -> str:
    """Make the saved model the next version; the alias moves to it."""
    with quiet():
        client = mlflow.MlflowClient(uri(folder))
        if not client.search_registered_models(f"name = '{MODEL}'"):
            client.create_registered_model(MODEL)
        version = str(client.create_model_version(MODEL, path.as_uri()).version)
        if alias is not None:
            client.set_registered_model_alias(MODEL, alias, version)
    return version


@dataclass(frozen=True)
class PyfuncScorer:
    """The fast path of these models."""

    columns: tuple[str, ...]
    feature_contract: str
    model: Any

    def probabilities(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.model.probabilities(features)
        return found


def load(address: str) -> PyfuncScorer:
    with quiet():
        loaded = mlflow.pyfunc.load_model(address)
    names = tuple(loaded.metadata.signature.inputs.input_names())
    return PyfuncScorer(names, CONTRACT, loaded.unwrap_python_model())
