"""What a result was made from: one hash for all of it, and the facts behind the hash."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import spymaster
from spymaster.contracts import TABLES
from spymaster.contracts.column import Table
from spymaster.lake.tables import Lake

#: The folders whose code decides what a row says.
_DECIDING = ("contracts", "kernel", "market", "stages")
_LIBRARIES = ("numpy", "numba", "llvmlite", "pyarrow", "deltalake", "databento")


def canonical_json(value: Any) -> str:
    """The one spelling of a value: sorted keys, no spaces, no NaN.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    '{"a":[1.5,null],"b":1}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def blake2b_128(data: str | bytes) -> str:
    """BLAKE2b with 128 bits, in hexadecimal.

    >>> blake2b_128("")
    'cae66941d9efbd404e4d88758ea67670'
    """
    raw = data.encode() if isinstance(data, str) else data
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def contracts_version(tables: Mapping[str, Table] | None = None) -> str:
    """BLAKE2b-128 over what the contracts say about rows; words of explanation do not count."""
    listed = TABLES if tables is None else tables
    form = {
        t.name: {
            "version": t.version,
            "partition": t.partition,
            "append": t.append,
            "columns": [
                [c.name, c.type, c.unit, c.null, c.key, c.kind, c.values] for c in t.columns
            ],
        }
        for t in listed.values()
    }
    return blake2b_128(canonical_json(form))


@cache
def code_version() -> str:
    """The package's version and a hash over the sources that decide what a row says."""
    home = Path(spymaster.__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for folder in _DECIDING:
        for source in sorted((home / folder).rglob("*.py")):
            text = source.read_bytes()
            digest.update(f"{source.relative_to(home).as_posix()}\0{len(text)}\0".encode())
            digest.update(text)
    return f"{spymaster.__version__}+{digest.hexdigest()}"


def data_version(
    inputs: Iterable[str],
    contracts: str,
    code: str,
    config_hash: str,
    inputs_hash: str = "",
) -> str:
    """What a row was made from, in one hash.

    ``inputs``: sha256 of the input files, or a topic's offset ranges, in any order;
    ``inputs_hash``: of the earlier summaries that the session depends on.
    """
    form = {
        "inputs": sorted(inputs),
        "contracts": contracts,
        "code": code,
        "config": config_hash,
        "inputs_hash": inputs_hash,
    }
    return blake2b_128(canonical_json(form))


@cache
def machine() -> str:
    """This machine as JSON: CPU, Python and the libraries that could change a bit."""
    return canonical_json(
        {
            "cpu": _cpu(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        }
    )


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def latest(lake: Lake, underlier: str | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    """The last lineage row of each (session_date, underlier), whatever its status."""
    filters = None if underlier is None else {"underlier": underlier}
    rows = lake.scan("lineage", filters=filters, missing_ok=True).to_pylist()
    rows.sort(key=lambda row: row["committed_at"] or 0)
    return {(str(row["session_date"]), row["underlier"]): row for row in rows}


def complete(
    lake: Lake, underlier: str | None = None, layer: str = "gold"
) -> dict[tuple[str, str], dict[str, Any]]:
    """The sessions whose tables are all committed: (session_date, underlier) -> lineage row.

    Silver may be read before gold has been made of it.
    """
    enough = ("complete", "silver") if layer == "silver" else ("complete",)
    rows = latest(lake, underlier)
    return {session: row for session, row in rows.items() if row["status"] in enough}
