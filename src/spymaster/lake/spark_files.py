"""Files that Spark had begun and no commit ever named: its names tell no run, the log does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

from spymaster.lake import delta, read
from spymaster.lake.tables import Lake

#: A data file of Spark's, and the checksum that Hadoop puts beside it on a local disk.
_NAME = re.compile(r"\.?part-\d{5}-[0-9a-f-]{36}[.-]c\d{3}\.[a-z.]*parquet(\.crc)?")


def unnamed(lake: Lake, name: str) -> list[Path]:
    """Spark's files under a table that no version of it has, those that are readable included.

    Only while nobody writes the table. Local roots only.
    """
    if lake.place.local is None:
        return []
    folder = lake.place.local / delta.folder(lake.table(name))
    found = [p for p in folder.rglob("*part-*") if _NAME.fullmatch(p.name)]
    if not found:
        return []
    known = _named(lake, name, folder)
    return [p for p in found if _data_file(p).relative_to(folder).as_posix() not in known]


def _data_file(path: Path) -> Path:
    if path.suffix != ".crc":
        return path
    return path.with_name(path.name.removeprefix(".").removesuffix(".crc"))


def _named(lake: Lake, name: str, folder: Path) -> set[str]:
    """The files of the newest version, and those that the log's commits added or removed."""
    paths: set[str] = set()
    if lake.exists(name):
        paths |= set(read.files(lake.open(name))["path"].to_pylist())
    for commit in (folder / "_delta_log").glob("[0-9]*.json"):
        for line in commit.read_text(encoding="utf-8").splitlines():
            action = json.loads(line)
            told = action.get("add") or action.get("remove")
            if told:
                paths |= {told["path"], unquote(told["path"])}
    return paths
