"""The simulator's loops, compiled once for each version of their sources.

Numba's cache looks at one function's own file. These entry points close over a fingerprint of
the whole folder, so that an edit anywhere in it compiles them anew.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from numba import njit

from spymaster.feed.simulator import book, clock, tape

_advance, _snapshot, _stock = clock.advance, tape.snapshot, book.stock


def _sources() -> int:
    digest = blake2b(digest_size=7)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest(), "little")


def _entries(sources: int) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    @njit(cache=True, error_model="numpy", _nrt=False)
    def advance(m, plan, touches, seconds, path, start_ns, share):  # type: ignore[no-untyped-def]
        return sources < 0 or _advance(m, plan, touches, seconds, path, start_ns, share)

    @njit(cache=True, error_model="numpy", _nrt=False)
    def snapshot(m, ts_recv, ts_event, framed, from_row):  # type: ignore[no-untyped-def]
        return min(sources, 0) + _snapshot(m, ts_recv, ts_event, framed, from_row)

    @njit(cache=True, error_model="numpy", _nrt=False)
    def stock(m, mid, spread):  # type: ignore[no-untyped-def]
        _stock(m, mid, spread + min(sources, 0))

    return advance, snapshot, stock


advance, snapshot, stock = _entries(_sources())
