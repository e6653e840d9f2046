"""A model's feature contract: what its vectors mean, by the settings in force."""

from __future__ import annotations

from dataclasses import dataclass

from spymaster.errors import ModelError
from spymaster.settings import Settings
from spymaster.stages.vector_spec import lookback_spec, spec_hash, vector_spec_rows


@dataclass(frozen=True)
class FeatureContract:
    """The one contract of a model, and the underliers whose vectors are made by it."""

    underliers: tuple[str, ...]
    lookback_spec: str

    @property
    def hash(self) -> str:
        """What vectors and models carry of it."""
        return spec_hash(self.lookback_spec)

    @property
    def names(self) -> list[str]:
        """What a vector's numbers are called, by position."""
        return [str(row["name"]) for row in vector_spec_rows(self.lookback_spec)]


def contract_of(settings: Settings, model_id: str) -> FeatureContract:
    """The feature contract of a model's vectors as the settings make them.

    ModelError for a model that no underlier is for, or whose underliers differ.
    """
    mine = {u: lookback_spec(s) for u, s in settings.underlier.items() if s.model_id == model_id}
    if not mine:
        known = sorted({s.model_id for s in settings.underlier.values()})
        raise ModelError(
            f"{model_id!r} is no model of these settings; allowed: {', '.join(known)}. Name one, "
            "or give an underlier this model_id in the configuration."
        )
    if len(set(mine.values())) > 1:
        raise ModelError(
            f"{model_id}: its underliers {', '.join(mine)} differ in windows, approach or "
            "calendar, so their vectors do not mean the same; a model has exactly one feature "
            "contract. Give each its own model_id, or the same settings."
        )
    return FeatureContract(tuple(sorted(mine)), next(iter(mine.values())))
