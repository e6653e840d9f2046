"""What is scored: a model in a role, and who is asked."""

from __future__ import annotations

from dataclasses import dataclass

from spymaster.contracts.scores import ROLES
from spymaster.errors import ScoringError
from spymaster.scoring.endpoint import Endpoint

#: What the pipelines of lines are called by.
_SCORE = "score"


@dataclass(frozen=True)
class LineName:
    """A model in a role; written MODEL.role."""

    model_id: str
    role: str

    @property
    def pipeline(self) -> str:
        """Its pipeline, whose lease, log and group on the bus are called so."""
        return f"{_SCORE}/{self.model_id}/{self.role}"

    @property
    def status_file(self) -> str:
        """The file, without its end, in which its process says how it is."""
        return f"{_SCORE}-{self.model_id}-{self.role}".lower()

    def __str__(self) -> str:
        return f"{self.model_id}.{self.role}"

    @classmethod
    def parse(cls, text: str) -> LineName:
        """Of MODEL.role. ScoringError for anything else."""
        model_id, _, role = text.rpartition(".")
        if not model_id or role not in ROLES:
            raise ScoringError(
                f"{text!r} is no line; allowed is MODEL.role, such as ES_MODEL.{ROLES[-1]}, with a "
                f"role of {', '.join(ROLES)}."
            )
        return cls(model_id, role)

    @classmethod
    def of_pipeline(cls, pipeline: str) -> LineName | None:
        """Of a pipeline's name; None for a pipeline that scores nothing."""
        what, _, rest = pipeline.partition("/")
        model_id, _, role = rest.rpartition("/")
        return cls(model_id, role) if what == _SCORE and model_id else None


@dataclass(frozen=True)
class Line:
    """What is scored: the vectors for a model, in a role, by one endpoint."""

    model_id: str
    role: str
    endpoint: Endpoint

    @property
    def called(self) -> LineName:
        """Its name in all its forms."""
        return LineName(self.model_id, self.role)

    @property
    def name(self) -> str:
        """Its pipeline."""
        return self.called.pipeline
