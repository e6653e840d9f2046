"""Delta tables as Spark writes them: made from the contract, appended once, replaced whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spymaster.engines.spark.extra import needed
from spymaster.engines.spark.names import Names
from spymaster.engines.spark.schema import create_statement, quoted
from spymaster.errors import LakeError
from spymaster.lake import Lake, delta
from spymaster.settings import SparkSettings

#: Rows stay as they were given: a table is read back in the order of its files' rows.
_AS_GIVEN = {"compression": "zstd", "optimizeWrite": "false", "maxRecordsPerFile": "0"}
#: What a cluster may add to new tables by default, and the contracts do not allow.
_DEFAULTS = "spark.databricks.delta.properties.defaults."
_FORBIDDEN = ("enableDeletionVectors", "enableRowTracking", "enableChangeDataFeed")


class SparkTables:
    """The lake's tables, written by Spark; `Lake` reads and checks what is there."""

    def __init__(self, spark: Any, lake: Lake, settings: SparkSettings | None = None) -> None:
        self._spark, self._lake = spark, lake
        self._names = Names(spark, lake, settings or SparkSettings())

    def read(self, name: str) -> Any:
        """A table's rows, as a DataFrame."""
        called = self._names.registered(name)
        if called is not None:
            return self._spark.read.table(called)
        return self._spark.read.format("delta").load(self._lake.uri(name))

    def create(self, name: str) -> None:
        """Make the table from its contract, if there is none; LakeError if it is another."""
        if not self._lake.exists(name):
            table = self._lake.table(name)
            self._check_defaults()
            self._lake.place.make_folder(delta.folder(table))
            called = self._names.prepared(name)
            self._spark.sql(
                create_statement(table, self._lake.uri(name), dict(delta.properties(table)), called)
            )
        self._lake.open(name)

    def _check_defaults(self) -> None:
        for name in _FORBIDDEN:
            if self._spark.conf.get(_DEFAULTS + name, "false") == "true":
                raise LakeError(
                    f"{_DEFAULTS}{name} is true: new tables would be of a protocol that not every "
                    "engine can write. Set it to false on this cluster."
                )

    def append(
        self,
        name: str,
        rows: Any,
        app: tuple[str, int],
        info: Mapping[str, Any] | None = None,
    ) -> bool:
        """Add rows (a DataFrame) in one commit; False where the table has this epoch already.

        `info` is kept with the commit, as its userMetadata.
        """
        self.create(name)
        stored = self._lake.transaction_version(name, app[0])
        if stored is not None and stored >= app[1]:
            return False
        options = {**_AS_GIVEN, "txnAppId": app[0], "txnVersion": str(app[1])}
        if info is not None:
            options["userMetadata"] = json.dumps(info, separators=(",", ":"))
        called = self._names.registered(name)
        if called is not None:
            rows.writeTo(called).options(**options).append()
        else:
            self._by_path(name, rows, "append", options)
        return True

    def replace(
        self,
        name: str,
        underlier: str,
        dates: Sequence[str],
        rows: Any,
        info: Mapping[str, Any],
    ) -> int:
        """Put rows in the place of whole sessions of an underlier, in one commit; its version."""
        self.create(name)
        where = f"underlier = {quoted(underlier)} AND session_date IN ({_listed(dates)})"
        options = {**_AS_GIVEN, "userMetadata": json.dumps(info)}
        called = self._names.registered(name)
        if called is not None:
            condition = needed("pyspark.sql.functions").expr(where)
            rows.writeTo(called).options(**options).overwrite(condition)
        else:
            self._by_path(name, rows, "overwrite", {**options, "replaceWhere": where})
        version = self._lake.version(name)
        assert version is not None
        return version

    def _by_path(self, name: str, rows: Any, mode: str, options: Mapping[str, str]) -> None:
        writer = rows.write.format("delta").mode(mode).options(**options)
        writer.save(self._lake.uri(name))

    def holds(self, name: str, underlier: str, dates: Iterable[str]) -> bool:
        """Has the table files of any of these sessions?"""
        wanted = {(underlier, d) for d in dates}
        found = self._lake.partitions(name)
        return any((p["underlier"], p["session_date"]) in wanted for p in found)


def _listed(dates: Iterable[str]) -> str:
    return ", ".join(f"DATE {quoted(d)}" for d in dates)
