"""The registry's versions, as the service asks for them."""

from __future__ import annotations

from spymaster.errors import ModelError
from spymaster.ml.registry import Registry
from spymaster.scoring.scorer import Scorer


class Registered:
    """The versions of one model. Both methods block, and raise ModelError."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def resolve(self, wanted: str) -> str:
        """The version that `wanted`, a version or an @alias, stands for now."""
        if not wanted.startswith("@"):
            return self._registry.version(wanted).number
        found = self._registry.alias(wanted[1:])
        if found is None:
            raise ModelError(
                f"{self._registry.model_id}: no version is {wanted} in {self._registry.shown}. See "
                f"spymaster ml models, or promote one: spymaster ml promote --model "
                f"{self._registry.model_id}"
            )
        return found

    def load(self, version: str) -> Scorer:
        return self._registry.scorer(version)
