"""What frozen data say, as hashes: of facts, not of bytes on a disk.

A later Parquet library may write the same rows in other bytes: these hashes stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spymaster.lake.lineage import blake2b_128, canonical_json


class Content:
    """Hashes per column and per session, of rows that come session after session."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        self._about = dict(about)
        self._columns: dict[str, Any] = {}
        self.sessions: dict[str, dict[str, Any]] = {}

    def add(self, session: str, rows: pa.Table) -> None:
        """Take a whole session's rows."""
        whole = _digest()
        for name in rows.column_names:
            values = _digest(_bytes(rows[name])).digest()
            whole.update(name.encode() + b"\0" + values)
            self._columns.setdefault(name, _digest()).update(values)
        self.sessions[session] = {"rows": rows.num_rows, "digest": whole.hexdigest()}

    @property
    def columns(self) -> dict[str, str]:
        """Column -> BLAKE2b-128 over its sessions, in order."""
        return {name: digest.hexdigest() for name, digest in self._columns.items()}

    @property
    def checksum(self) -> str:
        """BLAKE2b-128 of all of it: names the frozen content."""
        return checksum(self._about, self.sessions, self.columns)


def checksum(
    about: Mapping[str, Any],
    sessions: Mapping[str, Mapping[str, Any]],
    columns: Mapping[str, str],
) -> str:
    """BLAKE2b-128 of what a snapshot holds, in hexadecimal (32 characters; MLflow takes 36)."""
    form = {"about": dict(about), "sessions": dict(sessions), "columns": dict(columns)}
    return blake2b_128(canonical_json(form))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], limit: int = 3) -> list[str]:
    """In what two contents differ, a sentence each; both as a manifest holds them."""
    lines = [
        f"{name} is {new['about'].get(name)!r}, was {old['about'].get(name)!r}"
        for name in sorted({*old["about"], *new["about"]})
        if old["about"].get(name) != new["about"].get(name) and name != "names"
    ]
    if old["about"]["names"] != new["about"]["names"]:
        lines.append("the features have other names or another order")
    before, after = old["sessions"], new["sessions"]
    lines += _listed([s for s in after if s not in before], "is new", limit)
    lines += _listed([s for s in before if s not in after], "is gone", limit)
    both = [s for s in after if s in before and before[s] != after[s]]
    rows = [
        f"{s} has {after[s]['rows']:,} rows, had {before[s]['rows']:,}"
        if before[s]["rows"] != after[s]["rows"]
        else f"{s} has other values in its {after[s]['rows']:,} rows"
        for s in both[:limit]
    ]
    lines += rows + ([f"and {len(both) - limit} sessions more"] if len(both) > limit else [])
    if (
        both
        and set(before) == set(after)
        and all(before[s]["rows"] == after[s]["rows"] for s in both)
    ):
        names = [n for n, d in new["columns"].items() if old["columns"].get(n) != d]
        lines.append(f"columns: {', '.join(names[:limit])}{' ...' * (len(names) > limit)}")
    return lines


def _listed(sessions: list[str], what: str, limit: int) -> list[str]:
    if not sessions:
        return []
    more = f" and {len(sessions) - limit} more" if len(sessions) > limit else ""
    return [f"{', '.join(sorted(sessions)[:limit])}{more} {what}"]


def _digest(data: bytes = b"") -> Any:
    return blake2b(data, digest_size=16)


def _bytes(column: pa.ChunkedArray | pa.Array) -> bytes:
    """Numbers and days little-endian; of texts and lists first the lengths, then what is in them.

    >>> _bytes(pa.array(["ab", "c"]))
    b'\\x02\\x00\\x00\\x00\\x01\\x00\\x00\\x00abc'
    """
    kind = column.type
    if pa.types.is_floating(kind):
        return np.asarray(column.to_numpy(), "<f8").tobytes()
    if pa.types.is_integer(kind):
        return np.asarray(column.to_numpy(), "<i8").tobytes()
    if pa.types.is_date32(kind):
        return _bytes(column.cast(pa.int32()))
    if pa.types.is_list(kind):
        lengths, inner = pc.list_value_length(column), _bytes(pc.list_flatten(column))
    else:
        lengths, inner = pc.binary_length(column), "".join(column.to_pylist()).encode()
    return np.asarray(lengths.to_numpy(), "<i4").tobytes() + inner
