"""A model as MLflow knows it, and its fast path.

What is saved is arrays, and one file of Python that computes with them (`arrays.py`): it loads
wherever MLflow, numpy and pandas are, without Spymaster, scikit-learn or LightGBM, and holds no
pickle.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spymaster.errors import ModelError, ScoringError
from spymaster.ml import arrays
from spymaster.ml.extra import needed, quiet

#: Where MLflow lays the arrays inside a saved model.
_INSIDE = Path("artifacts") / "model"
#: Azure's server for a model without a script of its own, and the collector it asks for. The
#: server brings inference-schema, which its script imports, and MLflow brings scipy.
AZURE = ("azureml-inference-server-http", "azureml-ai-monitoring")
_PINNED = ("mlflow", "numpy", "pandas")
_REGISTERED = re.compile(r"models:/[^/@]+/(\d+)")


@dataclass(frozen=True)
class Scorer:
    """A model's fast path: arrays in, arrays out. May be called from several threads."""

    model: arrays.Model
    version: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The features' names, in the order in which `probabilities` takes them."""
        return self.model.columns

    @property
    def feature_contract(self) -> str:
        """The hash of the lookback_spec it has learnt."""
        return self.model.feature_contract

    @property
    def model_id(self) -> str:
        return str(self.model.card["model_id"])

    def probabilities(
        self, features: NDArray[np.float64], feature_contract: str = ""
    ) -> NDArray[np.float64]:
        """[n, k] -> [n, 3]: p_break, p_reject, p_chop; never NaN, and the same in any batch.

        NaN is missing. ScoringError for another number of columns or another feature contract.
        """
        try:
            self.model.check_contract(feature_contract)
            return self.model.probabilities(features)
        except ValueError as error:
            raise ScoringError(
                f"{self.model_id} version {self.version}: {error}. Send vectors of the contract "
                f"{self.feature_contract}, or register a model of theirs."
            ) from None


def load_scorer(uri: str | Path, feature_contract: str = "") -> Scorer:
    """The fast path of a saved model: a folder, or what MLflow's URIs name (models:/, runs:/).

    `version` is the registry's number, else the first twelve digits of the model's digest. Raises
    ModelError for what is damaged, no model of Spymaster, or has learnt another feature contract.
    """
    from spymaster.ml import walk

    text = str(uri)
    folder = Path(text.removeprefix("file://"))
    if not folder.exists():
        download = needed("mlflow.artifacts").download_artifacts
        with quiet():
            folder = Path(download(artifact_uri=text))
    try:
        model = arrays.read(folder / _INSIDE, walk.RAW)
        model.check_contract(feature_contract)
    except ValueError as error:
        raise ModelError(
            f"{text}: {error}. Name a model that `spymaster ml sweep` saved for this contract."
        ) from None
    registered = _REGISTERED.fullmatch(text)
    return Scorer(model, registered[1] if registered else model.card["digest"][:12])


def save_model(folder: Path, model: arrays.Model, example: NDArray[np.float64]) -> None:
    """Save a model in MLflow's pyfunc flavor, with signature, example rows and requirements.

    The `example` is one or two rows; what is missing in it is shown as 0. ModelError when what
    was saved does not say, to the last bit, what the model says.
    """
    pyfunc = needed("mlflow.pyfunc")
    rows = np.where(np.isfinite(example), example, 0.0)
    with tempfile.TemporaryDirectory() as temporary, quiet():
        inside = Path(temporary) / _INSIDE.name
        arrays.write(inside, model.card, model.arrays)
        pyfunc.save_model(
            path=str(folder),
            python_model=str(Path(arrays.__file__)),
            artifacts={_INSIDE.name: str(inside)},
            signature=signature(model.columns),
            input_example=needed("pandas").DataFrame(rows, columns=list(model.columns)),
            pip_requirements=[*(f"{name}=={installed(name)}" for name in _PINNED), *AZURE],
            metadata={
                "model_id": model.card["model_id"],
                "feature_contract": model.feature_contract,
                "digest": model.card["digest"],
            },
        )
    again = load_scorer(folder)
    if not np.array_equal(again.probabilities(example), model.probabilities(example)):
        raise ModelError(f"{folder}: does not say what was saved. This is a defect of Spymaster")


def signature(columns: tuple[str, ...]) -> Any:
    """Columns by name, each a double (NaN: missing) that must be there; what comes out; params."""
    schema = needed("mlflow.types.schema")
    column = schema.ColSpec
    return needed("mlflow.models").ModelSignature(
        inputs=schema.Schema([column("double", name) for name in columns]),
        outputs=schema.Schema(
            [
                *(column("double", name) for name in arrays.PROBABILITIES),
                column("string", "prediction"),
            ]
        ),
        params=schema.ParamSchema([schema.ParamSpec("feature_contract", "string", "")]),
    )
