"""One connection's bytes: cut at record bounds, and what the gateway says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import databento_dbn
import numpy as np
from databento_dbn import ErrorCode, SystemCode

from spymaster.errors import SourceError
from spymaster.feed import dbn_records as dbn
from spymaster.feed.dbn import Chunk, cut

_SYSTEM = np.dtype(databento_dbn.SystemMsg._dtypes)
_ERROR = np.dtype(databento_dbn.ErrorMsg._dtypes)
KNOWN = dbn.known_rtypes(None)
#: Records wait for definitions at most until this many bytes of them do.
_MOST_HELD = 256 << 20
_EVERYTHING = 1 << 62


@dataclass(frozen=True)
class Said:
    """An ErrorMsg, or a SystemMsg that matters: its code and text."""

    code: int
    text: str


class Stream:
    """Gives whole records in order, those of before the definitions are complete after them.

    `replays`: how many schemas are replayed; the definitions are one of them. until: when to
    wait for them no longer, on the clock `monotonic` (s). `errors`, `slow`: what the gateway
    said; the caller takes from the lists. `unresolved`: errors that end nothing. After an error
    that tells of lost records nothing goes on.
    """

    def __init__(self, replays: int, until: float, monotonic: Callable[[], float]) -> None:
        self.errors: list[Said] = []
        self.unresolved: list[str] = []
        self.slow: list[Said] = []
        self.complete = False
        self.late = False
        self._replays, self._until, self._monotonic = replays, until, monotonic
        self._head = True
        self._carry = b""
        self._held: list[dbn.Bytes] = []
        self._held_bytes = 0
        self._completed = 0

    def take(self, pieces: Sequence[bytes]) -> dbn.Bytes:
        """The whole records that can go on, after these bytes. SourceError: no DBN record."""
        if self._head and pieces:
            # The client hands on the stream's own metadata first; a capture has its own.
            length = 8 + int.from_bytes(pieces[0][4:8], "little")
            pieces, self._head = [pieces[0][length:], *pieces[1:]], False
        data = np.frombuffer(bytearray().join((self._carry, *pieces)), np.uint8)
        whole = dbn.leading_mbo(data, dbn.WORDS, _EVERYTHING) * dbn.WORDS * 4
        if whole < len(data):
            whole = self._look(data)
        self._carry = data[whole:].tobytes()
        data = data[:whole]
        return data if self.complete and not self._held else self._hold(data)

    @property
    def replayed(self) -> bool:
        """Everything that was asked for again has come; what follows is live."""
        return self.complete and self._completed >= self._replays

    @property
    def half(self) -> int:
        """Bytes of a record that has not come whole."""
        return len(self._carry)

    def rest(self) -> dbn.Bytes:
        """What still waits, when the connection has ended."""
        self.complete = True
        return self._release()

    def _look(self, data: dbn.Bytes) -> int:
        chunk, used = cut(data, 0, dbn.WORDS, KNOWN, _EVERYTHING)
        if len(data) - used >= 2 and not dbn.possible(data, used, KNOWN, dbn.WORDS):
            raise SourceError(
                f"feed: no record begins with length {data[used]} x 4 bytes and rtype "
                f"{data[used + 1]:#04x}; allowed are DBN records of version 3. Connect again."
            )
        for other in chunk.others:
            if other.rtype == dbn.RTYPE_ERROR:
                message = np.frombuffer(other.raw[: _ERROR.itemsize], _ERROR)[0]
                said = Said(int(message["code"]), _text(message["err"]))
                self.errors.append(said)
                if said.code == int(ErrorCode.SYMBOL_RESOLUTION_FAILED):
                    self.unresolved.append(said.text)
                if lost_records(said):
                    return offset_of(data, other.number)
            elif other.rtype == dbn.RTYPE_SYSTEM:
                message = np.frombuffer(other.raw[: _SYSTEM.itemsize], _SYSTEM)[0]
                self._system(Said(int(message["code"]), _text(message["msg"])))
        return used

    def _system(self, said: Said) -> None:
        if said.code == int(SystemCode.REPLAY_COMPLETED):
            self._completed += 1
            named = "definition" in said.text.lower()
            self.complete = self.complete or named or self._completed >= self._replays
        elif said.code == int(SystemCode.SLOW_READER_WARNING):
            self.slow.append(said)

    def _hold(self, data: dbn.Bytes) -> dbn.Bytes:
        if len(data):
            self._held.append(data)
            self._held_bytes += len(data)
        if self._monotonic() > self._until or self._held_bytes > _MOST_HELD:
            self.complete = self.late = True
        return self._release() if self.complete else data[:0]

    def _release(self) -> dbn.Bytes:
        """All that was held: what tells of instruments first."""
        if not self._held:
            return np.empty(0, np.uint8)
        data = np.concatenate(self._held)
        self._held, self._held_bytes = [], 0
        chunk: Chunk = cut(data, 0, dbn.WORDS, KNOWN, _EVERYTHING)[0]
        if not chunk.others:
            return data
        others = np.frombuffer(bytearray().join(o.raw for o in chunk.others), np.uint8)
        return np.concatenate([others, chunk.records.view(np.uint8)])


def cut_whole(data: dbn.Bytes, first: int) -> Chunk:
    """All of `data`, which is whole records; the first one's number is `first`."""
    return cut(data, first, dbn.WORDS, KNOWN, len(data))[0]


def offset_of(data: dbn.Bytes, number: int) -> int:
    """Where the record of this number, counted from 0, begins."""
    places = np.empty(number + 1, np.int64)
    dbn.walk(data, KNOWN, dbn.WORDS, places)
    return int(places[number])


def fatal(said: Said) -> bool:
    """Is it something that no other try will change?"""
    return said.code in (int(ErrorCode.AUTH_FAILED), int(ErrorCode.API_KEY_DEACTIVATED))


def aged_out(said: Said) -> bool:
    return said.code == int(ErrorCode.REPLAY_DATA_AGED_OUT)


def lost_records(said: Said) -> bool:
    return said.code == int(ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")
