"""What the engines are given, each scenario written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spymaster.settings import Settings
from tests.e2e.scenes import configured, evening, market
from tests.real_data import es_mbo


@dataclass(frozen=True)
class Scenario:
    """Files, the settings for a root, and the outcomes that the scenario must hold."""

    files: Callable[[Path], list[Path]]
    settings: Callable[[Path], Settings]
    outcomes: tuple[str, ...]


def _morning(out: Path) -> list[Path]:
    """Two sessions of two futures and four options, a file of each kind and day."""
    return market(out, sessions=2, events=12_000, options=4, option_events_per_session=2_000)


def _morning_settings(root: Path) -> Settings:
    return configured(root, approach={"scale": "fixed", "barrier_ticks": 16})


def _evening(out: Path) -> list[Path]:
    return [es_mbo("20231224"), es_mbo("20231225")]


SCENARIOS = {
    "evening": Scenario(_evening, evening, ("REJECT",)),
    "morning": Scenario(_morning, _morning_settings, ("BREAK", "REJECT", "CHOP")),
}
