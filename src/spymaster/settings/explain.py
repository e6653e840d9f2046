"""What is wrong with a value: where it was given, what it is, what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Sources = Sequence[tuple[str, Mapping[str, Any]]]


def explain(error: ValidationError, model: type[BaseModel], sources: Sources) -> str:
    errors = error.errors()
    more = f" ({len(errors) - 1} more like it)" if len(errors) > 1 else ""
    return _sentence(errors[0], model, sources) + more


def _sentence(problem: ErrorDetails, model: type[BaseModel], sources: Sources) -> str:
    path = tuple(str(part) for part in problem["loc"] if part != "[key]")
    key, source = ".".join(path), _source(path, sources)
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed(model, path))
        return f"{source}: unknown key {key}; allowed: {allowed}. Remove it or correct its name"
    if problem["type"] == "missing":
        return f"{source}: {key} is missing; an underlier without defaults needs it. Add it"
    message = re.sub(r"^(Value error, |(Input|String) should )", "", problem["msg"])
    found = problem["input"]
    if isinstance(found, Mapping | BaseModel):
        return f"{source}: {key}: {message}. Correct it, or leave it out for the default"
    return (
        f"{source}: {key} = {json.dumps(found, default=str)}: should"
        f" {message.removeprefix('must ')}. Correct it, or leave it out for the default"
    )


def _source(path: tuple[str, ...], sources: Sources) -> str:
    """The highest source that says something at this place, or else nearest above it."""
    for depth in range(len(path), 0, -1):
        for name, values in sources:
            here: Any = values
            for part in path[:depth]:
                here = here.get(part) if isinstance(here, Mapping) else None
            if here is not None:
                return name
    return "settings"


def _allowed(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """The keys of the table in which the key at `path` lies."""
    kind: Any = model
    for part in path[:-1]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation
        else:  # a table by name, dict[name, section]
            kind = get_args(kind)[-1]
    assert issubclass(kind, BaseModel)
    return list(kind.model_fields)
