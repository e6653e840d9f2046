"""Lets go of a line that is scored no more: the bus need not keep vectors for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from spymaster.bus import Bus
from spymaster.engines.lease import Lease
from spymaster.engines.stream.features import TOPIC
from spymaster.engines.stream.report import forget_status
from spymaster.errors import ScoringError
from spymaster.lake import Lake
from spymaster.scoring.line import LineName
from spymaster.settings import Settings


@dataclass(frozen=True)
class Retired:
    """A line that holds nothing any more.

    `behind`: messages that it had not worked on. `named`: the settings still name its endpoint.
    """

    line: LineName
    behind: int
    named: bool


def retire(settings: Settings, bus: Bus, line: LineName, now: Callable[[], int]) -> Retired:
    """Drop a line's group, which holds the retention of `features_gold`, and its status.

    Its rows, its log and its state stay. ScoringError for a line that holds nothing, LakeError
    while its loop is at work. `now` gives ns UTC.
    """
    lines = [LineName.of_pipeline(group) for group in bus.groups(TOPIC)]
    if line not in lines:
        known = ", ".join(str(one) for one in lines if one is not None) or "none"
        raise ScoringError(
            f"{line}: no such line holds messages of {TOPIC}; those that do: {known}. Name one of "
            "them, or leave it as it is."
        )
    with Lease(Lake(settings.root).place, uuid.uuid4().hex, now, line.pipeline):
        reported, ends = bus.reported(line.pipeline, TOPIC), bus.ends(TOPIC)
        bus.drop_group(line.pipeline, TOPIC)
        forget_status(settings.root, line.status_file)
    behind = sum(max(0, end - reported.get(p, 0)) for p, end in ends.items())
    return Retired(line, behind, line.role in settings.scoring.endpoint.get(line.model_id, {}))
