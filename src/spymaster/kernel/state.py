"""State as bytes: a versioned header and raw little-endian arrays. No pickle, no JSON."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"SPYM"
_DTYPES: tuple[np.dtype[Any], ...] = tuple(map(np.dtype, ("<i8", "<f8", "u1", "<i4", "?")))


def pack(kind: str, version: int, arrays: Sequence[NDArray[Any]]) -> bytes:
    """Arrays of int64, float64, bytes, int32 or bool, any shape, as one string of bytes.

    >>> kind, arrays = unpack(pack("BOOK", 1, [np.arange(3)]), "BOOK", 1)
    >>> kind, arrays[0].tolist()
    ('BOOK', [0, 1, 2])
    """
    head = [
        _MAGIC,
        kind.encode("ascii").ljust(12),
        np.array([version, len(arrays)], "<i8").tobytes(),
    ]
    for a in arrays:
        shape = [_DTYPES.index(a.dtype.newbyteorder("<")), a.ndim, *a.shape]
        head.append(np.array(shape, "<i8").tobytes())
    return b"".join(head + [np.ascontiguousarray(a).tobytes() for a in arrays])


def unpack(data: bytes, kind: str, version: int) -> tuple[str, list[NDArray[Any]]]:
    """The arrays again, writable. ValueError when it is another kind or version of state."""
    ours = data[:4] == _MAGIC and len(data) >= 32
    found = data[4:16].decode("ascii", "replace").strip() if ours else "no state at all"
    known, n = _integers(data, 2, 16) if ours else (-1, 0)
    if found != kind or known != version:
        raise ValueError(
            f"state: found {found} version {known}, this code reads {kind} version {version}; "
            "rebuild the state from its source, or run the code version that wrote it"
        )
    at = 32
    shapes = []
    for _ in range(n):
        dtype, ndim = _integers(data, 2, at)
        shapes.append((_DTYPES[dtype], _integers(data, ndim, at + 16)))
        at += 16 + 8 * ndim
    arrays = []
    for dtype_, shape in shapes:
        count = math.prod(shape)
        array: NDArray[Any] = np.frombuffer(data, dtype_, count, at).copy()
        arrays.append(array if len(shape) == 1 else array.reshape(shape))
        at += count * dtype_.itemsize
    return found, arrays


def _integers(data: bytes, n: int, at: int) -> tuple[int, ...]:
    if n < 0 or at + 8 * n > len(data):
        raise ValueError("state: it ends before its own description; it was cut or damaged")
    return struct.unpack_from(f"<{n}q", data, at)
