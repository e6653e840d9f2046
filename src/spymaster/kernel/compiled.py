"""How the kernel is compiled: once per machine and version of its sources, never with fast maths.

Numba's cache on disk looks at one function's own file only, so an edit in a function that is
called from another file would go unseen. Here the cache lies in a folder named by all sources.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import numba
from numba import njit

_F = TypeVar("_F", bound=Callable[..., object])


def _fingerprint() -> str:
    """A hash of every source whose code or constants the compiled functions hold."""
    digest = blake2b(digest_size=8)
    for pattern in ("kernel/*.py", "contracts/*.py", "feed/dbn_*.py"):
        for source in sorted(Path(__file__).parents[1].glob(pattern)):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def _cache_dir() -> str:
    home = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "spymaster", "numba"
    )
    return os.path.join(home, _fingerprint())


_CACHE_DIR = _cache_dir()


def compiled(function: _F) -> _F:
    """Compile with Numba: division as numpy's, no reassociation, no contraction to FMA.

    Compiled code lets go of the interpreter's lock, so that another thread may work beside it.
    """
    return _compile(function)


def hot(function: _F) -> _F:
    """The same for the loop over records, which never allocates, laid into its caller.

    The book is a bundle of arrays that every function is handed: a hundred words. Counting
    references to them would take two thirds of the time and handing them over half of the rest,
    and nothing here can outlive its caller.
    """
    return _compile(function, _nrt=False, forceinline=True)


def seldom(function: _F) -> _F:
    """As `hot`, for what few records need: a call of its own, out of the loop's way."""
    return _compile(function, _nrt=False)


def _compile(function: _F, **options: bool) -> _F:
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _CACHE_DIR
    try:
        made: _F = njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        numba.config.CACHE_DIR = before
    return made
