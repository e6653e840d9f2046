"""Tables by name in a catalog: the same lake at the same paths, whichever way it is called."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from spymaster.engines.local import LocalEngine
from spymaster.engines.spark.engine import SparkEngine
from spymaster.engines.spark.names import Names
from spymaster.engines.spark.tables import SparkTables
from spymaster.errors import LakeError
from spymaster.lake import Lake
from spymaster.lake.diff import diff
from spymaster.settings import Settings, SparkSettings
from tests.e2e.scenes import SHORT, market, run, short

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]

CATALOG = {"catalog": "spark_catalog", "schema_name": "lake_{layer}"}


def by_name(root: Path) -> Settings:
    return Settings.model_validate({**short(root).model_dump(), "spark": CATALOG})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("market")
    first = date(2024, 1, 9)
    return market(out, sessions=1, events=4_000, windows=SHORT, first=first, contracts=1)


def test_jobs_read_and_write_by_name_what_the_local_engine_has_at_the_paths(
    files: list[Path], tmp_path: Path, spark: Any
) -> None:
    """Two days locally; then silver and gold again, by name: tables are registered as they are."""
    local, root = tmp_path / "local", tmp_path / "root"
    run(short(local), files)
    engine = SparkEngine(spark, by_name(root))
    engine.bronze(files[:2])
    LocalEngine(short(root)).bronze(files)
    report = SparkEngine(spark, by_name(root)).run((), from_bronze=True)
    assert len(report.sessions) == 2
    assert not report.failed
    found = diff(local, root)
    print(found)
    assert found.equal, str(found)
    for name, table in (("bronze.mbo", "mbo"), ("gold.training_view", "training_view")):
        layer = name.partition(".")[0]
        shown = spark.sql(f"DESCRIBE EXTENDED spark_catalog.lake_{layer}.{table}").collect()
        told = {r["col_name"]: r["data_type"] for r in shown}
        assert told["Type"] == "EXTERNAL"
        assert told["Location"].removeprefix("file:") == Lake(root).uri(name)
        counted = spark.table(f"spark_catalog.lake_{layer}.{table}").count()
        assert counted == Lake(root).count(name) > 0
    _is_as_by_path(root, spark, tmp_path / "paths")
    assert not SparkEngine(spark, by_name(root)).run((), from_bronze=True).sessions

    with pytest.raises(LakeError, match="drop that table's name"):
        Names(spark, Lake(local), SparkSettings(**CATALOG)).registered("bronze.mbo")


def _is_as_by_path(root: Path, spark: Any, other: Path) -> None:
    """Protocol, properties, schema and the writers' epochs are those of tables made by path."""
    named, plain = Lake(root), Lake(other)
    for name in ("bronze.mbo", "silver.bar_5s", "gold.setup_vectors"):
        SparkTables(spark, plain).create(name)
        a, b = named.open(name), plain.open(name)
        assert a.protocol() == b.protocol()
        assert a.metadata().configuration == b.metadata().configuration
        assert a.schema().to_json() == b.schema().to_json()
    for row in named.scan("bronze.manifest").to_pylist():
        if row["schema"] == "mbo":
            epoch = named.transaction_version("bronze.mbo", f"bronze.mbo/{row['batch_id']}")
            assert epoch == 1
    last = named.open("silver.bar_5s").history(1)[0]
    assert "sessions" in json.loads(last["userMetadata"])


@pytest.mark.parametrize(
    ("settings", "called"),
    [
        ({}, None),
        ({"catalog": "{layer}"}, "`silver`.`default`.`bar_5s`"),
        ({"catalog": "main", "schema_name": "spy_{layer}"}, "`main`.`spy_silver`.`bar_5s`"),
    ],
)
def test_layer_in_a_name_is_the_tables(
    settings: dict[str, str], called: str | None, tmp_path: Path
) -> None:
    assert Names(None, Lake(tmp_path), SparkSettings(**settings)).of("silver.bar_5s") == called


def test_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="catalog"):
        SparkSettings(catalog="main; DROP TABLE x")
