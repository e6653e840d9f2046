"""Opens the bus that the settings name."""

from __future__ import annotations

import time
from collections.abc import Callable

from spymaster.bus.embedded import EmbeddedBus
from spymaster.bus.interface import Bus
from spymaster.errors import BusError
from spymaster.settings import Settings


def open_bus(settings: Settings, now: Callable[[], int] = time.time_ns) -> Bus:
    """The bus of a root. `now` (ns UTC) stamps messages and tells their age.

    Raises BusError when it cannot be opened, or its extra is not installed.
    """
    if settings.bus.kind == "embedded":
        return EmbeddedBus(settings.root, settings.bus, now)
    try:
        from spymaster.bus.kafka import KafkaBus
    except ImportError as e:
        raise BusError(
            f"bus: bus.kind = \"kafka\" needs {e.name}. Install it: pip install 'spymaster[live]', "
            'or set bus.kind = "embedded".'
        ) from e
    return KafkaBus(settings.bus)
