"""What only the extra [ml] brings, with a clear word when it is not there."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spymaster.errors import ModelError

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of MLflow and what it is built on: they are for those who make it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def needed(module: str) -> Any:
    """Import a module of the extra [ml]; ModelError tells how to get it.

    MLflow warns of its own type hints when it is imported, reports home unless told not to, and
    talks of every file; a person's own environment variables win over what is set here.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        with quiet():
            return importlib.import_module(module)
    except ModuleNotFoundError as e:
        raise ModelError(
            f"{module.partition('.')[0]} is not installed ({e.name} is missing): install "
            "spymaster with its extra [ml]."
        ) from None
