"""Begins pipelines anew: what `--fresh` means, of whichever pipelines a command runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Protocol

from spymaster.engines.lease import Lease


class Restartable(Protocol):
    """A pipeline that can begin without its old state."""

    def lease(self) -> Lease:
        """Its lease."""

    def leave_state(self) -> None:
        """Put log and state aside, for good, and begin anew where the state stood."""


def begin_anew(pipelines: Iterable[Restartable]) -> None:
    """All of these begin anew, or none: a lease that another process holds is a LakeError."""
    with ExitStack() as held:
        all_of = list(pipelines)
        for one in all_of:
            held.enter_context(one.lease())
        for one in all_of:
            one.leave_state()
