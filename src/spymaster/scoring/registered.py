"""Versions of a model in an MLflow registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spymaster.errors import ModelError, ScoringError
from spymaster.scoring.scorer import Scorer
from spymaster.settings import Settings


def store(settings: Settings) -> str:
    """The registry that the settings name; by default one file under the root."""
    if settings.serving.registry:
        return settings.serving.registry
    path = Path(settings.root).absolute() / "ml-artifacts" / "mlflow" / "mlflow.db"
    if not path.exists():
        raise ModelError(
            f"{path}: no registry there. Train and promote a model first, or name another place in "
            "[serving]: registry."
        )
    return f"sqlite:///{path}"


class MlflowRegistry:
    """The versions of `model_id` in the registry at `uri`; `load` makes one of models:/NAME/N."""

    def __init__(self, uri: str, model_id: str, load: Callable[[str], Scorer]) -> None:
        mlflow = _mlflow()
        mlflow.set_tracking_uri(uri)
        self._client = mlflow.MlflowClient(uri)
        self._uri, self._model_id, self._load = uri, model_id, load
        self._exception: type[Exception] = mlflow.MlflowException

    def resolve(self, wanted: str) -> str:
        """The version behind an @alias or a number; ModelError when there is none."""
        try:
            if wanted.startswith("@"):
                found = self._client.get_model_version_by_alias(self._model_id, wanted[1:])
            else:
                found = self._client.get_model_version(self._model_id, wanted)
        except self._exception as error:
            raise ModelError(
                f"{self._model_id} {wanted}: not in the registry {self._uri} ({_line(error)}). "
                f"See what there is, or promote one: spymaster ml promote --model {self._model_id}"
            ) from None
        return str(found.version)

    def load(self, version: str) -> Scorer:
        """ScoringError when the version's files cannot be read as a model."""
        uri = f"models:/{self._model_id}/{version}"
        try:
            return self._load(uri)
        except (self._exception, OSError) as error:
            raise ScoringError(
                f"{uri}: cannot be loaded from {self._uri} ({_line(error)}). Is the extra [ml] "
                "here the one it was made with, and are its files there?"
            ) from error


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _mlflow() -> Any:
    try:
        import mlflow
    except ModuleNotFoundError:
        raise ScoringError(
            "serving needs MLflow, Starlette and uvicorn: install spymaster with its extra [ml]."
        ) from None
    return mlflow
