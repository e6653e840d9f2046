"""One MBO record of DBN in 56 bytes, and where records begin in a run of bytes."""

from __future__ import annotations

import databento_dbn
import numpy as np
import numpy.typing as npt

from spymaster.kernel.compiled import compiled

#: DBN's MboMsg, the same in versions 1, 2 and 3. Unsigned times and order ids are read as
#: int64: an undefined time is -1, an order id is two's complement.
MBO_RECORD = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<i8"),
        ("order_id", "<i8"),
        ("price", "<i8"),
        ("size", "<u4"),
        ("flags", "u1"),
        ("channel_id", "u1"),
        ("action", "u1"),
        ("side", "u1"),
        ("ts_recv", "<i8"),
        ("ts_in_delta", "<i4"),
        ("sequence", "<u4"),
    ]
)

RTYPE_MBO = 0xA0
RTYPE_DEFINITION = 0x13
RTYPE_ERROR, RTYPE_SYMBOL_MAPPING, RTYPE_SYSTEM = 0x15, 0x16, 0x17
WORDS = MBO_RECORD.itemsize // 4
TS_OUT_WORDS = 2
#: A record's header is 16 bytes; its length is told in one byte, in words of 4.
SHORTEST, LONGEST = 16, 255 * 4

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


def known_rtypes(schema: str | None) -> npt.NDArray[np.bool_]:
    """Which record types a file of this schema may hold, indexed by rtype.

    A gateway puts errors, symbol mappings and system messages into any stream; a capture
    without a schema may hold everything DBN knows.
    """
    known = np.zeros(256, np.bool_)
    known[[RTYPE_ERROR, RTYPE_SYMBOL_MAPPING, RTYPE_SYSTEM]] = True
    if schema is None:
        known[[int(r) for r in databento_dbn.RType.variants()]] = True
    elif schema == "mbo":
        known[RTYPE_MBO] = True
    elif schema == "definition":
        known[RTYPE_DEFINITION] = True
    return known


@compiled
def leading_mbo(data: Bytes, words: int, limit: int) -> int:
    """How many whole MBO records stand at the start of `data` before anything else."""
    stride = words * 4
    whole = min(limit, data.size // stride)
    for i in range(whole):
        if data[i * stride] != words or data[i * stride + 1] != RTYPE_MBO:
            return i
    return whole


@compiled
def walk(data: Bytes, known: npt.NDArray[np.bool_], words: int, places: Places) -> tuple[int, int]:
    """Find where each whole record begins; stop at a cut, an impossible header, or a full list.

    Fills `places`; returns (records found, bytes they take).
    """
    at = 0
    count = 0
    while count < places.size and at + 2 <= data.size:
        if not possible(data, at, known, words):
            break
        end = at + data[at] * 4
        if end > data.size:
            break
        places[count] = at
        count += 1
        at = end
    return count, at


@compiled
def possible(data: Bytes, at: int, known: npt.NDArray[np.bool_], words: int) -> bool:
    """Can a record begin here: a length that holds a header, and a type the file may hold."""
    length, rtype = data[at], data[at + 1]
    if length * 4 < SHORTEST or not known[rtype]:
        return False
    return bool(rtype != RTYPE_MBO or length == words)


@compiled
def gather(data: Bytes, places: Places, out: Bytes) -> None:
    """Copy the first `out.shape[1]` bytes of the records at `places`, one per row of `out`."""
    for i in range(places.size):
        for j in range(out.shape[1]):
            out[i, j] = data[places[i] + j]
