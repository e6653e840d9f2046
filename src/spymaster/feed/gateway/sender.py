"""What leaves for a client: records, messages, and what a script does to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from databento_dbn import SType

from spymaster.feed.gateway.batch import Batch, Longs
from spymaster.feed.gateway.clock import Clock
from spymaster.feed.gateway.faults import Fault
from spymaster.feed.gateway.messages import ErrorCode, Messages, SystemCode
from spymaster.feed.gateway.wire import Wire

_AT_ONCE = 8192
#: How far a remapped instrument's new number lies from the old one.
_RENUMBERED = 1_000_000_000
#: Faults that are no matter of records sent.
_ELSEWHERE = ("bad-key", "silence", "duplicates")


@dataclass
class Told:
    """What a session has sent so far. now: its place in the feed's time, ns UTC."""

    records: int = 0
    now: int = 0


class Ended(Exception):
    """The session is over; its text says why. The connection is closed already."""


class Sender:
    """Sends records and messages to one client, doing what its faults say on the way.

    skips: a slow client loses records, else it is warned. name_of: what the client knows an
    instrument id as.
    """

    def __init__(
        self,
        wire: Wire,
        messages: Messages,
        clock: Clock,
        faults: Sequence[Fault],
        *,
        ts_out: bool,
        skips: bool,
        tell: Callable[[str], None],
        name_of: Callable[[int], str],
    ) -> None:
        self.told = Told()
        self._wire, self._messages, self._clock = wire, messages, clock
        self._faults = [f for f in faults if f.kind not in _ELSEWHERE]
        self._ts_out, self._skips, self._tell, self._name_of = ts_out, skips, tell, name_of
        self._renumbered: dict[int, int] = {}
        self._to_skip = 0
        self._after_skip: Callable[[], None] | None = None

    def records(self, batch: Batch) -> None:
        """Send records. Raises Ended where the script ends the connection."""
        for a in range(0, len(batch), _AT_ONCE):
            self._piece(batch.cut(a, min(a + _AT_ONCE, len(batch))))

    def say(self, code: int, text: str) -> None:
        self._wire.write(self._messages.system(self._clock.time(), code, text))

    def error(self, code: int, text: str) -> None:
        self._wire.write(self._messages.error(self._clock.time(), code, text))

    def warn(self, how: str) -> None:
        """Tell a client that it is slow."""
        self.say(SystemCode.SLOW_READER_WARNING, f"Slow reader: {how}")
        self._tell(f"the client is slow: {how}")

    def skipped(self, count: int) -> None:
        """Tell a client that it was slow, and how many records it has lost by that."""
        text = f"Skipped {count} records after slow reading"
        self.error(ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING, text)
        self._tell(text[0].lower() + text[1:])

    def stall(self, kind: str) -> None:
        """Say nothing more until the client goes."""
        self._tell(f"{kind}: nothing is sent until the client goes")
        while True:
            self._wire.lines.clear()
            self._wire.wait()

    def _piece(self, batch: Batch) -> None:
        while len(batch):
            if self._to_skip:
                batch = self._skip(batch)
                continue
            fault = min(self._faults, key=lambda f: f.after, default=None)
            left = len(batch) if fault is None else fault.after - self.told.records
            if left > 0:
                self._write(batch.cut(0, min(left, len(batch))))
            if fault is None or left >= len(batch):
                return
            batch = batch.cut(max(left, 0), len(batch))
            self._clock.played(batch.first, self.told.now)
            self._break(fault, batch)

    def _write(self, batch: Batch) -> None:
        if self._renumbered:
            batch = self._with_new_numbers(batch)
        self._wire.write(self._encoded(batch))
        self.told.records += len(batch)
        self.told.now = int(batch.keys[-1])

    def _encoded(self, batch: Batch) -> bytes | memoryview:
        """A record is sent when it is due, or now if that is later."""
        sent: Longs | None = None
        if self._ts_out:
            sent = np.maximum(batch.keys, self._clock.time())
        return batch.encode(sent)

    def _break(self, fault: Fault, batch: Batch) -> None:
        """Do what a fault says, before the first of these records."""
        self._faults.remove(fault)
        self._tell(f"fault {fault}")
        if fault.kind in ("reset", "half-record"):
            whole = self._encoded(batch.cut(0, 1))
            self._wire.write(whole[: len(whole) // 2])
        if fault.kind == "reset":
            self._wire.reset()
        if fault.kind in ("half-record", "stall"):
            self.stall(fault.kind)
        if fault.kind == "error":
            self.error(ErrorCode.INTERNAL_ERROR, "Internal error (scripted)")
        if fault.kind in ("error", "close"):
            self._wire.finish()
        if fault.kind in ("reset", "error", "close"):
            raise Ended(f"{fault.kind}, as its script says")
        if fault.kind == "gap":
            self._to_skip, self._after_skip = fault.count, None
        elif fault.kind == "slow" and self._skips:
            self._to_skip = fault.count
            self._after_skip = lambda: self.skipped(fault.count)
        elif fault.kind == "slow":
            self.warn("as its script says")
        else:
            self._remap(int(batch.column("instrument_id")[0]))

    def _skip(self, batch: Batch) -> Batch:
        n = min(self._to_skip, len(batch))
        self._to_skip -= n
        if not self._to_skip and self._after_skip is not None:
            self._after_skip()
        return batch.cut(n, len(batch))

    def _remap(self, old: int) -> None:
        name = self._name_of(old)
        self._renumbered[old] = new = (old + _RENUMBERED) % 2**32
        raw: SType = SType.RAW_SYMBOL  # type: ignore[assignment]
        self._wire.write(self._messages.mapping(self._clock.time(), new, name, raw, name))

    def _with_new_numbers(self, batch: Batch) -> Batch:
        changed: dict[str, Any] = {}
        for kind in ("mbo", "definitions"):
            rows = getattr(batch, kind).copy()
            for old, new in self._renumbered.items():
                rows["instrument_id"][rows["instrument_id"] == old] = new
            changed[kind] = rows
        return replace(batch, **changed)
