"""What is scored: a model in a role, and who is asked."""

from __future__ import annotations

from dataclasses import dataclass

from spymaster.scoring.endpoint import Endpoint


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
