"""Law 1, one kernel: it imports numpy, numba and the contracts, and its arithmetic is exact.

The anomaly functions, which batch and stream share as well, import even less.
"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import spymaster.anomaly
import spymaster.kernel

KERNEL = sorted(m.name for m in pkgutil.iter_modules(spymaster.kernel.__path__))
#: What a declaration of tables needs; schemas of Arrow and Spark import theirs when called.
CONTRACTS = {
    "",
    ".column",
    ".event",
    ".bronze",
    ".silver",
    ".stream",
    ".gold",
    ".lineage",
    ".numpy_dtype",
    ".scores",
    ".alerts",
    ".learning",
}

_IMPORT = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module("spymaster.kernel." + name)
modules = [
    n for n, m in list(sys.modules.items()) if getattr(m, "__spec__", None) or n == "spymaster"
]
print(json.dumps(modules))
"""
_NUMBA_ALONE = """
import json, sys
import numba, numpy
print(json.dumps(list(sys.modules)))
"""


def modules_after(code: str, *args: str) -> set[str]:
    """Modules that a fresh interpreter holds after some code."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_kernel_imports_only_numpy_numba_and_the_contracts() -> None:
    found = modules_after(_IMPORT, *KERNEL)
    own = {name for name in found if name.split(".")[0] == "spymaster"}
    kernel = {name for name in own if name.startswith("spymaster.kernel")}
    contracts = {f"spymaster.contracts{name}" for name in CONTRACTS}
    assert {f"spymaster.kernel.{name}" for name in KERNEL} < kernel
    assert own - kernel - contracts - {"spymaster", "spymaster.errors"} == set()

    roots = {name.split(".")[0] for name in found}
    numbas = {name.split(".")[0] for name in modules_after(_NUMBA_ALONE)}
    foreign = {
        name
        for name in roots - numbas - sys.stdlib_module_names - {"spymaster"}
        if not name.startswith("_")  # hooks of the environment, such as an editable install's
    }
    assert foreign == set()
    heavy = {"pandas", "pyspark", "deltalake", "pyarrow", "databento", "pydantic", "polars"}
    assert roots & heavy == set()
    print(f"{len(KERNEL)} modules of the kernel, {len(roots)} packages in all")
    assert len(KERNEL) > 15


def test_the_anomaly_functions_import_only_numpy_and_numba() -> None:
    names = [
        f"spymaster.anomaly.{m.name}" for m in pkgutil.iter_modules(spymaster.anomaly.__path__)
    ]
    found = modules_after(_IMPORT.replace("spymaster.kernel.", ""), *names)
    own = {name for name in found if name.split(".")[0] == "spymaster"}
    assert set(names) < own
    assert own - set(names) == {"spymaster", "spymaster.anomaly", "spymaster.errors"}
    roots = {name.split(".")[0] for name in found}
    numbas = {name.split(".")[0] for name in modules_after(_NUMBA_ALONE)}
    foreign = roots - numbas - sys.stdlib_module_names - {"spymaster"}
    assert {name for name in foreign if not name.startswith("_")} == set()


_ASSEMBLY = """
import json, re, sys
import numpy as np
from numba import njit
from spymaster.contracts import TABLES
from spymaster.contracts.event import EVENT
from spymaster.contracts.numpy_dtype import numpy_dtype
from spymaster.kernel import bars, books, level_book, primitives, vectors, window
from spymaster.kernel.approach import SETUP
from spymaster.kernel.contract_book import BookParams, ContractBook
from spymaster.kernel.levels import LEVEL

bar = numpy_dtype(TABLES["silver.bar_5s"])
book = ContractBook(BookParams(1, 1, 0, (0, 10**12), [], True), bar)
book.advance(np.zeros(1, EVENT))
book.close(0)
rows, watched = np.zeros(1, bar), np.zeros((1, 7, level_book.V_SIZE), np.int64)
vectors.SetupVectors(1, 1, 0, 1).advance(rows, watched, np.zeros(0, LEVEL), np.zeros(1, SETUP))
primitives.Primitives(1, 1, 1).advance(rows)

@njit(fastmath=True)
def fast(a, b, c):
    return a * b + c

fast(1.0, 2.0, 3.0)

def count(*functions):
    text = "\\n".join(asm for f in functions for asm in f.inspect_asm().values())
    fused = len(re.findall(r"\\bv?fn?m(?:add|sub)\\w*|\\bfmla\\b|\\bfmls\\b", text))
    floats = len(re.findall(r"\\b(?:v?(?:add|sub|mul|div)sd|f(?:add|sub|mul|div))\\b", text))
    options = [f.targetoptions.get("fastmath", False) for f in functions]
    return [fused, floats, any(options)]

kernel = (
    books.advance, books.close, bars.close_bar, primitives._advance, primitives.kyle_lambda,
    vectors._advance, window.moments,
)
print(json.dumps([count(*kernel), count(fast)]))
"""


def test_no_multiplication_is_fused_with_an_addition(tmp_path: Path) -> None:
    """Compiled anew, since code from the cache shows no assembly."""
    done = subprocess.run(
        [sys.executable, "-c", _ASSEMBLY],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    (fused, floats, fastmath), (control, _, _) = json.loads(done.stdout.splitlines()[-1])
    print(f"{floats} float instructions, {fused} fused; a control with fastmath has {control}")
    assert (fused, fastmath) == (0, False)
    assert floats > 100
