"""A streamed session: its stages, what it was begun with, and whether it has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from spymaster.engines.session_stages import SessionStages
from spymaster.engines.stream.opened import Opened
from spymaster.feed.topic import Gap
from spymaster.kernel.state import pack, unpack
from spymaster.market.sessions import Session
from spymaster.settings import UnderlierSettings


class StreamSession:
    """The stages of one session of one underlier.

    One that the stream could not know from its first window on makes no levels, episodes or
    vectors, and its bars are not warm.
    """

    def __init__(self, session: Session, settings: UnderlierSettings, opened: Opened) -> None:
        self.session, self.opened = session, opened
        self.stages = SessionStages(session, settings, opened.earlier, cold=opened.cold)
        self.venue = settings.venue
        self.counts: dict[str, int] = {}

    @property
    def key(self) -> tuple[str, str]:
        """Underlier and session date."""
        return self.session.underlier, self.session.session_date.isoformat()

    def hit_by(self, gap: Gap) -> bool:
        """Does a gap of the feed reach into the session's time?"""
        return gap.venue == self.venue and self.stages.reached_by(gap.from_ts, gap.to_ts)

    def to_bytes(self) -> bytes:
        """The whole state."""
        told = json.dumps({"opened": self.opened.to_json(), "counts": self.counts}).encode()
        parts = [told, self.stages.to_bytes()]
        return pack("STREAM", 1, [np.frombuffer(p, "u1") for p in parts])

    @classmethod
    def from_bytes(
        cls, session: Session, settings: UnderlierSettings, data: bytes
    ) -> StreamSession:
        """Go on where `to_bytes` left off."""
        head, stages = (a.tobytes() for a in unpack(data, "STREAM", 1)[1])
        told: Mapping[str, Any] = json.loads(head)
        made = cls(session, settings, Opened.from_json(told["opened"]))
        made.stages.restore(stages)
        made.counts = dict(told["counts"])
        return made
