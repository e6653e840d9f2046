"""What a catalog calls the lake's tables: external tables, each where the lake has it."""

from __future__ import annotations

from typing import Any

from spymaster.engines.spark.schema import quoted
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.settings import SparkSettings


class Names:
    """Names of a catalog (Unity Catalog, or Spark's own), by `settings`; none without a catalog."""

    def __init__(self, spark: Any, lake: Lake, settings: SparkSettings) -> None:
        self._spark, self._lake, self._settings = spark, lake, settings
        self._known: set[str] = set()

    def of(self, name: str) -> str | None:
        """The name in SQL; None: the table is called by its path."""
        if not self._settings.catalog:
            return None
        return f"{self._schema(name)}.`{name.rpartition('.')[2]}`"

    def prepared(self, name: str) -> str | None:
        """The name of a table that is about to be made; its schema is there afterwards."""
        called = self.of(name)
        if called is not None:
            schema = self._schema(name)
            if not self._spark.catalog.databaseExists(schema):
                self._spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        return called

    def registered(self, name: str) -> str | None:
        """The name of a table that is there; the catalog knows it afterwards, at its place.

        LakeError where the name is that of a table at another place.
        """
        called = self.of(name)
        if called is None or name in self._known:
            return called
        if not self._spark.catalog.tableExists(called):
            self.prepared(name)
            place = quoted(self._lake.uri(name))
            self._spark.sql(f"CREATE TABLE IF NOT EXISTS {called} USING DELTA LOCATION {place}")
        (found,) = self._spark.sql(f"DESCRIBE DETAIL {called}").select("location").first()
        if _plain(found) != _plain(self._lake.uri(name)):
            raise LakeError(
                f"{called} is a table at {found}; the lake has {name} at {self._lake.uri(name)}. "
                "Name another catalog or schema_name in [spark], or drop that table's name."
            )
        self._known.add(name)
        return called

    def _schema(self, name: str) -> str:
        layer = self._lake.table(name).layer
        s = self._settings
        parts = (p.replace("{layer}", layer) for p in (s.catalog, s.schema_name))
        return ".".join(f"`{p}`" for p in parts)


def _plain(place: str) -> str:
    """One spelling of a place: file:/a, file:///a and /a are the same folder."""
    if place.startswith("file:"):
        place = "/" + place.removeprefix("file:").lstrip("/")
    return place.rstrip("/")
