"""Is what the log promises on the disk? Files that are missing, cut short or altered are named."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spymaster.lake import Lake, delta, read

_MAGIC = b"PAR1"


@dataclass
class _Cut:
    """What a table holds of one session, or of one landed file."""

    rows: int = 0
    paths: list[tuple[str, int]] = field(default_factory=list)


class Stored:
    """The files of the lake's tables against their log, each looked at once.

    By default their presence, length and Parquet marks at both ends; with `deep` every page is
    read against its checksum.
    """

    def __init__(self, lake: Lake, *, deep: bool = False) -> None:
        self._lake, self._deep = lake, deep
        self._tables: dict[str, dict[tuple[str, ...], _Cut]] = {}
        self._faults: dict[tuple[str, str], str | None] = {}

    def session(self, name: str, session_date: str, underlier: str, rows: int) -> str | None:
        """What is wrong with a session's rows of a table, None if nothing is."""
        cut = self._by(name, session_date, underlier)
        for path, size in cut.paths:
            if fault := self._file(name, path, size):
                return fault
        if cut.rows != rows:
            return f"{name} holds {cut.rows:,} rows of it, and {rows:,} were written"
        return None

    def bad(self, name: str) -> dict[str, str]:
        """Of a whole table, the files (paths under it) that are damaged, and how."""
        if not self._lake.exists(name):
            return {}
        found = read.files(self._lake.open(name)).select(["path", "size_bytes"]).to_pylist()
        looked = {f["path"]: self._file(name, f["path"], f["size_bytes"]) for f in found}
        return {path: fault for path, fault in looked.items() if fault}

    def _by(self, name: str, session_date: str, underlier: str) -> _Cut:
        return self._cuts(name).get((session_date, underlier), _Cut())

    def _cuts(self, name: str) -> dict[tuple[str, ...], _Cut]:
        if name not in self._tables:
            cuts: dict[tuple[str, ...], _Cut] = defaultdict(_Cut)
            for f in self._files(name):
                key = (str(f["partition.session_date"]), str(f["partition.underlier"]))
                cuts[key].rows += f["num_records"]
                cuts[key].paths.append((f["path"], f["size_bytes"]))
            self._tables[name] = cuts
        return self._tables[name]

    def _files(self, name: str) -> list[dict[str, Any]]:
        if not self._lake.exists(name):
            return []
        found = read.files(self._lake.open(name))
        wanted = ["path", "size_bytes", "num_records"]
        wanted += [f"partition.{p}" for p in ("session_date", "underlier")]
        rows: list[dict[str, Any]] = found.select(wanted).to_pylist()
        return rows

    def _file(self, name: str, path: str, size: int) -> str | None:
        if (name, path) not in self._faults:
            full = f"{delta.folder(self._lake.table(name))}/{path}"
            self._faults[name, path] = self._look(full, size)
        return self._faults[name, path]

    def _look(self, full: str, size: int) -> str | None:
        place = self._lake.place
        here = place.size(full)
        if here is None:
            return f"{full} is gone"
        if here != size:
            return f"{full} has {here:,} bytes, and {size:,} were written"
        if place.local is None:
            return None
        with (place.local / full).open("rb") as file:
            start = file.read(len(_MAGIC))
            file.seek(-len(_MAGIC), 2)
            if start != _MAGIC or file.read(len(_MAGIC)) != _MAGIC:
                return f"{full} is no Parquet file any more"
        return _pages(full, str(place.local / full)) if self._deep else None


def _pages(full: str, path: str) -> str | None:
    """Every page against its checksum."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        with file:
            for _ in file.iter_batches(1 << 17):
                pass
    except (OSError, pa.ArrowException) as e:
        return f"{full} is damaged ({str(e).splitlines()[0]})"
    return None
