"""One thing that a challenger must show, and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """A check's name, whether it passed, a sentence with what was found and what is allowed."""

    name: str
    passed: bool
    told: str
    facts: Mapping[str, Any] = field(default_factory=dict)  #: JSON values, for the ledger

    def line(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}  {self.name}: {self.told}"


def failed(checks: Iterable[Check]) -> list[Check]:
    """Those that did not pass."""
    return [check for check in checks if not check.passed]
