"""State as bytes: a versioned header and raw little-endian arrays. No pickle, no JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"SPYM"
_DTYPES: tuple[np.dtype[Any], ...] = (np.dtype("<i8"), np.dtype("<f8"), np.dtype("u1"))


def pack(kind: str, version: int, arrays: Sequence[NDArray[Any]]) -> bytes:
    """Arrays of int64, float64 or bytes, any shape, as one string of bytes.

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
    found = data[4:16].decode("ascii").strip() if data[:4] == _MAGIC else "no state at all"
    known, n = np.frombuffer(data, "<i8", 2, 16) if data[:4] == _MAGIC else (-1, 0)
    if found != kind or known != version:
        raise ValueError(
            f"state: found {found} version {known}, this code reads {kind} version {version}; "
            "rebuild the state from its source, or run the code version that wrote it"
        )
    at = 32
    shapes = []
    for _ in range(n):
        dtype, ndim = np.frombuffer(data, "<i8", 2, at)
        shapes.append((_DTYPES[dtype], tuple(np.frombuffer(data, "<i8", ndim, at + 16))))
        at += 16 + 8 * int(ndim)
    arrays = []
    for dtype_, shape in shapes:
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(data, dtype_, count, at).reshape(shape).copy())
        at += count * dtype_.itemsize
    return found, arrays
