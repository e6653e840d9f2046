"""Versions of a model in an MLflow registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spymaster.errors import ModelError, SpymasterError
from spymaster.ml.extra import needed
from spymaster.scoring.scorer import Scorer


class MlflowRegistry:
    """The versions of `model_id` in the registry at `uri`; `load` makes one of models:/NAME/N.

    Opening it may take ten seconds.
    """

    def __init__(self, uri: str, model_id: str, load: Callable[[str], Scorer]) -> None:
        self._mlflow = needed("mlflow")
        self._uri, self._model_id, self._load = uri, model_id, load
        with self._told(model_id):
            self._mlflow.set_tracking_uri(uri)
            self._client = self._mlflow.MlflowClient(uri)

    def resolve(self, wanted: str) -> str:
        """The version behind an @alias or a number; ModelError when there is none."""
        with self._told(f"{self._model_id} {wanted}"):
            if wanted.startswith("@"):
                found = self._client.get_model_version_by_alias(self._model_id, wanted[1:])
            else:
                found = self._client.get_model_version(self._model_id, wanted)
        return str(found.version)

    def load(self, version: str) -> Scorer:
        """ModelError when the version's files cannot be had, or are no model."""
        uri = f"models:/{self._model_id}/{version}"
        with self._told(uri):
            return self._load(uri)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except SpymasterError:
            raise
        except (self._mlflow.MlflowException, OSError) as error:
            raise ModelError(
                f"{what}: cannot be had from the registry {self._uri} "
                f"({str(error).partition(chr(10))[0]}). Sweep and promote a model first, or "
                "correct the name, the version or [ml] tracking_uri."
            ) from error
