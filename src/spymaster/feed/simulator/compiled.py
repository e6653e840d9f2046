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

from spymaster.feed.simulator import book, clock, nasdaq, options, tape

_advance, _snapshot, _stock = clock.advance, tape.snapshot, book.stock
_clear, _enter_printed, _withdraw = nasdaq.clear, nasdaq.enter_printed, nasdaq.withdraw
_play = options.advance


def _sources() -> int:
    digest = blake2b(digest_size=7)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest(), "little")


def _entries(sources: int) -> tuple[Callable[..., Any], ...]:
    @njit(cache=True, error_model="numpy", _nrt=False)
    def advance(m, plan, touches, seconds, path, start_ns, share):  # type: ignore[no-untyped-def]
        return sources < 0 or _advance(m, plan, touches, seconds, path, start_ns, share)

    @njit(cache=True, error_model="numpy", _nrt=False)
    def snapshot(m, ts_recv, ts_event, framed, from_row):  # type: ignore[no-untyped-def]
        return min(sources, 0) + _snapshot(m, ts_recv, ts_event, framed, from_row)

    @njit(cache=True, error_model="numpy", _nrt=False)
    def stock(m, mid, spread, orders):  # type: ignore[no-untyped-def]
        _stock(m, mid, spread + min(sources, 0), orders)

    @njit(cache=True, error_model="numpy", _nrt=False)
    def begin_day(m, mid, levels, clears):  # type: ignore[no-untyped-def]
        if clears:
            _clear(m)
        _enter_printed(m, mid, levels + min(sources, 0))

    @njit(cache=True, error_model="numpy", _nrt=False)
    def withdraw(m, printed):  # type: ignore[no-untyped-def]
        _withdraw(m, printed or sources < 0)

    @njit(cache=True, error_model="numpy", _nrt=False)
    def play_options(c, books, rng, ladder, seconds, fair, start_ns, share, out):  # type: ignore[no-untyped-def]
        return sources < 0 or _play(c, books, rng, ladder, seconds, fair, start_ns, share, out)

    return advance, snapshot, stock, begin_day, withdraw, play_options


advance, snapshot, stock, begin_day, withdraw, play_options = _entries(_sources())
