"""What a micro-batch tells every contract: which sessions are open, what the feed lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from spymaster.feed.topic import Gap


class Missed(NamedTuple):
    """A gap of the feed, told in the commit `version` of bronze.stream."""

    version: int
    gap: Gap


@dataclass(frozen=True)
class Turn:
    """All that decides a micro-batch's rows beside the rows of bronze.stream themselves.

    `opened`: underlier -> (session date, `Opened.to_json()`) of the session that is open. `over`:
    underlier -> the last session date of which nothing more is made. `files`: name of a file of
    bronze.stream -> the version that brought it. `gaps`: in the order of the feed.
    """

    opened: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    over: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    gaps: Sequence[Missed] = ()

    def to_json(self) -> dict[str, Any]:
        """As an intent keeps it."""
        return {
            "opened": dict(self.opened),
            "over": dict(self.over),
            "files": dict(self.files),
            "gaps": [[m.version, asdict(m.gap)] for m in self.gaps],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Turn:
        """Back from `to_json`."""
        return cls(
            opened={name: (date, facts) for name, (date, facts) in told["opened"].items()},
            over=told["over"],
            files=told["files"],
            gaps=[Missed(version, Gap(**gap)) for version, gap in told["gaps"]],
        )
