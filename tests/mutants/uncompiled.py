"""The kernel's source run by the interpreter, over scenarios whose rows are known.

    NUMBA_DISABLE_JIT=1 python uncompiled.py scenarios.pkl folder [folder ...]

Each folder holds a package `spymaster`; prints a line of JSON per folder: where its rows first
differ from the expected ones, or null.
"""

from __future__ import annotations

import json
import multiprocessing
import pickle
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = str(Path(__file__).resolve().parents[2])


class Record:
    """One row of a structured array, a field an attribute, as compiled code has it."""

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: np.ndarray, at: int) -> None:
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_at", at)

    def __getattr__(self, name: str) -> Any:
        return self._rows[name][self._at]

    def __setattr__(self, name: str, value: Any) -> None:
        self._rows[name][self._at] = value


class Records(np.ndarray):
    """A structured array whose rows are `Record`."""

    __array_priority__ = 1.0

    def __getitem__(self, key: Any) -> Any:
        if self.dtype.names is not None and isinstance(key, int | np.integer):
            return Record(self.view(np.ndarray), key)
        return super().__getitem__(key)


class _Numpy(types.ModuleType):
    """numpy, but new structured arrays are `Records`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def zeros(self, shape: Any, dtype: Any = float) -> np.ndarray:
        out = np.zeros(shape, dtype)
        return out.view(Records) if out.dtype.names is not None else out

    def empty(self, shape: Any, dtype: Any = float) -> np.ndarray:
        return self.zeros(shape, dtype)

    def array(self, *args: Any) -> np.ndarray:
        out = np.array(*args)
        return out.view(Records) if out.dtype.names is not None else out


def first_difference(folder: str, scenarios: list[tuple[Any, Any]]) -> str | None:
    """Where the rows of the kernel in `folder` first differ from the expected ones."""
    sys.path[:0] = [folder, REPOSITORY]
    warnings.simplefilter("ignore")
    from tests.comparison import difference
    from tests.kernel_tables import kernel_tables

    for name, module in list(sys.modules.items()):
        if name.startswith("spymaster"):
            assert str(module.__file__).startswith(folder), f"{name} is not the mutant's"
        if name.startswith("spymaster.kernel") and hasattr(module, "np"):
            module.np = _Numpy("numpy")  # type: ignore[attr-defined]
    for s, expected in scenarios:
        try:
            found = kernel_tables(s.events.view(Records), s)
        except Exception as error:  # a mutant that crashes is caught, too
            return f"{s.name}: {type(error).__name__}: {error}"
        where = difference(found, expected, all_columns=False)
        if where is not None:
            return f"{s.name}: {where}"
    return None


def _one(job: tuple[str, str]) -> str | None:
    path, folder = job
    sys.path[:0] = [folder, REPOSITORY]
    return first_difference(folder, pickle.loads(Path(path).read_bytes()))


if __name__ == "__main__":
    path, *folders = sys.argv[1:]
    import numba  # noqa: F401  # once, before the fork

    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        found = pool.imap(_one, [(path, folder) for folder in folders], chunksize=1)
        for folder, where in zip(folders, found, strict=True):
            print(json.dumps([folder, where]), flush=True)
