"""A market to learn from: short sessions, many episodes, and order flow that knows something."""

from __future__ import annotations

from pathlib import Path

from spymaster.feed.simulator import SimulationConfig, configured
from spymaster.settings import Settings

#: The settings of this market, and of all that reads it.
SETTINGS = Path(__file__).with_name("learning_market.toml")
#: How surely flow foretells: the Bayes gain is 0.06, 0.135 and 0.22 nats per episode.
WEAK, MIDDLE, STRONG = 0.6, 0.85, 1.0
SESSIONS, EVENTS = 60, 60_000


def learning_settings(root: str | Path | None = None) -> Settings:
    """The settings to make and read this market with; `root`: where its lake lies."""
    return Settings.load(SETTINGS, root=None if root is None else str(root))


def learning_market(
    strength: float = MIDDLE, sessions: int = SESSIONS, seed: int = 7, events: int = EVENTS
) -> SimulationConfig:
    """ES futures, front month alone, `events` records a session; strength 0: no signal.

    >>> learning_market().timeout_bars
    72
    """
    return configured(
        learning_settings(),
        "ES",
        sessions=sessions,
        seed=seed,
        events_per_session=events,
        contracts=1,
        strength=strength,
        signal=strength > 0,
        gaps_per_session=0.0,
    )
