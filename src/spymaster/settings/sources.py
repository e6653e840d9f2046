"""Where values come from: a file, the environment, and what goes over what."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spymaster.errors import ContractError

PREFIX = "SPYMASTER_"
CONFIG_VARIABLE = "SPYMASTER_CONFIG"
CONFIG_FILE = "spymaster.toml"


def from_file(config: Path | None) -> tuple[str, dict[str, Any]]:
    named = config or os.environ.get(CONFIG_VARIABLE) or None
    path = Path(named or CONFIG_FILE)
    if named is None and not path.exists():
        return str(path), {}
    try:
        return str(path), tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContractError(
            f"{path}: cannot be read ({error.strerror}). Name a file with --config or"
            f" {CONFIG_VARIABLE}, or unset them to use the defaults"
        ) from None
    except ValueError as error:
        raise ContractError(f"{path}: not a TOML file: {error}. Correct it at that place") from None


def from_environment() -> dict[str, Any]:
    """SPYMASTER_ROOT, SPYMASTER_UNDERLIER__ES__APPROACH__SCALE and the like, as nested tables.

    Other SPYMASTER_ names without ``__`` belong to tests, secrets and deployments.
    """
    values: dict[str, Any] = {}
    for variable, text in sorted(os.environ.items()):
        parts = variable.removeprefix(PREFIX).split("__")
        if variable.startswith(PREFIX) and (len(parts) > 1 or parts[0] == "ROOT"):
            for part in reversed(_keys(parts)):
                nested: Any = {part: text}
                text = nested
            values = merged(values, nested)
    return values


def _keys(parts: list[str]) -> list[str]:
    """Names of underliers and models are upper case, all other keys are lower case."""
    lower = [part.lower() for part in parts]
    by_name = lower[:2] in (["feed", "symbols"], ["scoring", "endpoint"])
    at = 2 if by_name else 1 if lower[0] == "underlier" else len(parts)
    return lower[:at] + [part.upper() for part in parts[at : at + 1]] + lower[at + 1 :]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        found[key] = merged(old or {}, value) if both else value
    return found
