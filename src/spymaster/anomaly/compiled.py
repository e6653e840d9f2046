"""How the anomaly functions are compiled: once for each version of this folder, exact arithmetic.

Numba's cache on disk looks at one function's own file only. Here it lies in a folder named by all
sources, so that an edit in a function that is called from another file is seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
_F = TypeVar("_F", bound=Callable[..., Any])


def _cache() -> str:
    digest = blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    home = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "spymaster", "numba"
    )
    return os.path.join(home, f"anomaly-{digest.hexdigest()}")


_CACHE_DIR = _cache()


def compiled(function: _F) -> _F:
    """Compile with Numba: no reassociation, no contraction to FMA, no interpreter's lock."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _CACHE_DIR
    try:
        made: _F = njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before
    return made
