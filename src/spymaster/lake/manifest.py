"""Every landed file and how far it has come: the latest row of a path wins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from spymaster.errors import LakeError
from spymaster.lake.commit import Commit
from spymaster.lake.tables import Lake

NAME = "bronze.manifest"
STATUSES = ("landed", "ingested", "damaged")


#: What was read of each lake's manifest, and at which version: a run asks for it often.
_READ: WeakKeyDictionary[Lake, tuple[int | None, dict[str, dict[str, Any]]]] = WeakKeyDictionary()


class Manifest:
    """The landed files of a lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def rows(self) -> dict[str, dict[str, Any]]:
        """Path -> its latest row, paths sorted."""
        version = self._lake.version(NAME)
        known, latest = _READ.get(self._lake, (None, {}))
        if version is None or known != version:
            rows = self._lake.scan(NAME, missing_ok=True).to_pylist()
            # Files come in the order of their commits; a compacted table has only the times.
            rows.sort(key=lambda row: row["landed_at"] or 0)
            latest = {row["path"]: row for row in rows}
            _READ[self._lake] = version, latest
        return {path: dict(latest[path]) for path in sorted(latest)}

    def by_sha256(self, sha256: str) -> dict[str, Any] | None:
        """The file with this checksum, None if it never landed."""
        return next((r for r in self.rows().values() if r["sha256"] == sha256), None)

    def for_days(
        self,
        underlier: str,
        days: Iterable[Any],
        *,
        schema: str | None = None,
        status: str | None = None,
    ) -> list[dict[str, Any]]:
        """The files of some UTC days (``2023-12-26``, ``20231226`` or dates), in their order."""
        wanted = {str(day).replace("-", "") for day in days}
        found = [
            row
            for row in self.rows().values()
            if row["underlier"] == underlier
            and utc_day(row) in wanted
            and (schema is None or row["schema"] == schema)
            and (status is None or row["status"] == status)
        ]
        return sorted(found, key=lambda row: (utc_day(row), row["path"]))

    def add(self, row: dict[str, Any]) -> Commit:
        known, latest = _READ.get(self._lake, (None, {}))
        commit = self._lake.append_rows(NAME, [row])
        if known is not None and commit.version == known + 1:
            _READ[self._lake] = commit.version, {**latest, row["path"]: dict(row)}
        return commit

    def set_status(self, path: str, status: str, now: int, **changes: Any) -> dict[str, Any]:
        """A landed file came further: append its row with the new status (and records, last_mark).

        ``now`` is the time of the change in ns, made later than the row before. Nothing is
        written when nothing changes.
        """
        before = self.rows().get(path)
        if before is None:
            raise LakeError(f"{NAME}: {path} never landed. Land it first: spymaster land FILE")
        if status not in STATUSES:
            raise LakeError(f"{NAME}: {status!r} is no status. Allowed are {', '.join(STATUSES)}.")
        after = {**before, **changes, "status": status}
        if after == before:
            return before
        # The latest row counts, whatever the clock does.
        after["landed_at"] = max(now, (before["landed_at"] or 0) + 1)
        self.add(after)
        return after


def without_replaced(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows less damaged files that have landed again whole: same feed, same times."""
    listed = list(rows)
    whole = {_feed(row) for row in listed if row["status"] != "damaged"}
    return [row for row in listed if row["status"] != "damaged" or _feed(row) not in whole]


def _feed(row: dict[str, Any]) -> tuple[Any, ...]:
    kinds = tuple(row["instrument_types"])
    return (row["dataset"], row["schema"], row["underlier"], kinds, row["start"], row["end"])


def utc_day(row: dict[str, Any]) -> str:
    """The UTC day of a landed file, ``yyyymmdd``, as its folder says."""
    return str(row["path"]).split("/")[-2]
