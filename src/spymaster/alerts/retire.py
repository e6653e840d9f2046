"""Lets go of topics that no rule watches any more: the bus need not keep them for alerts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import ExitStack

from spymaster.alerts.loop import group_of, status_of
from spymaster.alerts.reading import FIGURES
from spymaster.bus import Bus
from spymaster.engines.lease import Lease
from spymaster.engines.stream.report import forget_status
from spymaster.errors import BusError
from spymaster.lake import Lake
from spymaster.settings import Settings


def retire(settings: Settings, bus: Bus, now: Callable[[], int]) -> list[str]:
    """Drop the groups of alerts, which hold their topics' retention; the topics they were of.

    Rows, logs and states stay. LakeError while one of them is at work; nothing is dropped then.
    `now` gives ns UTC.
    """
    held = [topic for topic in FIGURES if group_of(topic) in _groups(bus, topic)]
    with ExitStack() as leases:
        place = Lake(settings.root).place
        for topic in held:
            leases.enter_context(Lease(place, uuid.uuid4().hex, now, group_of(topic)))
        for topic in held:
            bus.drop_group(group_of(topic), topic)
            forget_status(settings.root, status_of(topic))
    return held


def _groups(bus: Bus, topic: str) -> list[str]:
    try:
        return bus.groups(topic)
    except BusError:  # there is no such topic
        return []
