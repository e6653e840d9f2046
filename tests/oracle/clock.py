"""Events, market snapshots, gaps and marks of one contract, on the project's clock."""

from __future__ import annotations

from typing import Protocol

from spymaster.contracts.event import (
    BAR_NS,
    F_LAST,
    F_SNAPSHOT,
    LATENESS_NS,
    SNAPSHOT_SILENCE_NS,
)

Record = dict[str, int | str]


class Listener(Protocol):
    """What happens on the clock, in order."""

    def snapshot_begins(self, t: int, ts_recv: int) -> None: ...
    def snapshot_record(self, record: Record, t: int, begins: bool) -> None: ...
    def snapshot_ends(self, t: int) -> None: ...
    def live_record(self, record: Record, t: int, begins: bool) -> None: ...
    def event_ends(self, t: int, lost_last: bool) -> None: ...
    def gap(self, t: int) -> None: ...
    def bar_closes(self, start: int) -> None: ...


class Clock:
    """Gives every record its t, says when events and snapshots end and when bars close."""

    def __init__(self, listener: Listener) -> None:
        self.say = listener
        self.t: int | None = None
        self.next_bar: int | None = None
        self.event: Record | None = None
        self.snapshot_last_recv: int | None = None

    def record(self, r: Record) -> None:
        if r["action"] == "G":
            self._end_snapshot()
            self._end_event(lost_last=True)
            self._advance(r["ts_recv"])
            self.say.gap(self.t)
        elif r["flags"] & F_SNAPSHOT:
            self._snapshot_record(r)
        else:
            self._live_record(r)

    def mark(self, c: int) -> None:
        if self.event is not None and c - self.event["ts_recv"] > LATENESS_NS:
            self._end_event(lost_last=True)
        if self._snapshot_silent(c):
            self._end_snapshot()
        if self.event is None and self.snapshot_last_recv is None:
            self._close_bars(c - LATENESS_NS)

    def _live_record(self, r: Record) -> None:
        self._end_snapshot()
        first = self.event
        if first is not None and (
            r["ts_event"] != first["ts_event"] or r["ts_recv"] - first["ts_recv"] > LATENESS_NS
        ):
            self._end_event(lost_last=True)
        begins = self.event is None
        if begins:
            self.event = r
            self._advance(max(min(r["ts_event"], r["ts_recv"]), r["ts_recv"] - LATENESS_NS))
        self.say.live_record(r, self.t, begins)
        if r["flags"] & F_LAST:
            self._end_event(lost_last=False)

    def _snapshot_record(self, r: Record) -> None:
        self._end_event(lost_last=True)
        if self._snapshot_silent(r["ts_recv"]):
            self._end_snapshot()
        begins = self.snapshot_last_recv is None
        if begins:
            self._advance(r["ts_recv"] - LATENESS_NS)
            self.say.snapshot_begins(self.t, r["ts_recv"])
        self.snapshot_last_recv = r["ts_recv"]
        self.say.snapshot_record(r, self.t, begins)
        if r["flags"] & F_LAST:
            self._end_snapshot()

    def _snapshot_silent(self, c: int) -> bool:
        last = self.snapshot_last_recv
        return last is not None and c >= last + SNAPSHOT_SILENCE_NS

    def _end_event(self, lost_last: bool) -> None:
        if self.event is not None:
            self.event = None
            self.say.event_ends(self.t, lost_last)

    def _end_snapshot(self) -> None:
        if self.snapshot_last_recv is not None:
            self.snapshot_last_recv = None
            self.say.snapshot_ends(self.t)

    def _advance(self, t: int) -> None:
        """Our time never runs backwards; the bars that lie wholly before it close."""
        self.t = t if self.t is None else max(self.t, t)
        if self.next_bar is None:
            self.next_bar = self.t // BAR_NS * BAR_NS
        self._close_bars(self.t)

    def _close_bars(self, until: int) -> None:
        while self.next_bar is not None and self.next_bar + BAR_NS <= until:
            self.say.bar_closes(self.next_bar)
            self.next_bar += BAR_NS
