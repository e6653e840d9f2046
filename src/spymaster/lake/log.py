"""A table's log, looked at file by file when it cannot be read, or may not be believed."""

from __future__ import annotations

import json
from pathlib import Path


def newest_is_empty(log: Path, version: int) -> str | None:
    """delta-rs takes an empty commit for no commit: rows would vanish without a word.

    A later one than was opened may be another writer's, made since.
    """
    found = _commits(log)
    last = max(found, default=-1)
    if last >= version and not found[last].stat().st_size:
        return f"{found[last]} is empty"
    return None


def fault(log: Path) -> str | None:
    """The first file of the log that is not what was written, and what is wrong with it."""
    found = _commits(log)
    for number, path in sorted(found.items(), reverse=True):
        if wrong := _wrong(path):
            return f"{path} {wrong}"
        before = number - 1
        if number > min(found) and before not in found:
            return f"{log / f'{before:020d}.json'} is gone"
    return None


def _commits(log: Path) -> dict[int, Path]:
    return {int(p.stem): p for p in log.glob("*.json") if p.stem.isdigit()}


def _wrong(path: Path) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        actions = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError):
        return "is cut short or altered"
    return None if actions else "is empty"
