"""What only the extra [spark] brings, with a clear word when it is not there."""

from __future__ import annotations

import importlib
from typing import Any

from spymaster.errors import LakeError


def needed(module: str) -> Any:
    """Import a module of the extra [spark]; LakeError tells how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as e:
        raise LakeError(
            f"{module.partition('.')[0]} is not installed ({e.name} is missing): install "
            "spymaster with its extra [spark]."
        ) from None
