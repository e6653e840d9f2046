"""What is scored: a model in a role, its endpoint, and the vectors that it understands."""

from __future__ import annotations

from dataclasses import dataclass

from spymaster.errors import ScoringError
from spymaster.scoring.endpoint import Endpoint
from spymaster.settings import Settings
from spymaster.stages.vector_spec import lookback_spec, spec_hash, vector_spec_rows


@dataclass(frozen=True)
class Line:
    """What is scored: the vectors for a model, in a role, by one endpoint."""

    model_id: str
    role: str
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """Its pipeline."""
        return f"score/{self.model_id}/{self.role}"


def contract_of(settings: Settings, model_id: str) -> tuple[str, list[str]]:
    """The feature contract of a model's vectors as the settings make them, and their names.

    ScoringError for a model that no underlier is for, or whose underliers differ.
    """
    specs = {lookback_spec(u) for u in settings.underlier.values() if u.model_id == model_id}
    if len(specs) != 1:
        known = ", ".join(sorted({u.model_id for u in settings.underlier.values()}))
        found = "no underlier is for it" if not specs else "its underliers have other settings each"
        raise ScoringError(f"{model_id}: {found}; allowed: {known}. See spymaster settings.")
    (spec,) = specs
    return spec_hash(spec), [row["name"] for row in vector_spec_rows(spec)]
