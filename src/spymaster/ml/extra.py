"""What only the extra [ml] brings, with a clear word when it is not there."""

from __future__ import annotations

import importlib
from typing import Any

from spymaster.errors import ModelError


def needed(module: str) -> Any:
    """Import a module of the extra [ml]; ModelError tells how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as e:
        raise ModelError(
            f"{module.partition('.')[0]} is not installed ({e.name} is missing): install "
            "spymaster with its extra [ml]."
        ) from None
