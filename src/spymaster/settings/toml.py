"""Settings as a TOML file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any


def lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Values before tables, as TOML needs them; its strings are JSON's."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if plain and path:
        yield f"\n[{'.'.join(_bare(part) for part in path)}]"
    for key, value in plain.items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from lines(value, (*path, key))


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
