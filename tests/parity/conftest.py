"""A real Spark with real Delta tables on this machine, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spymaster.engines.spark.session import JARS, open_session
from tests.jars import jars

#: A driver that may hear 1 MB of results a job: rows of a session do not fit through.
HEARS = "1m"


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as environment:
        folder = jars(Path(__file__).with_name("pom.xml"), "Spark", "spark-delta")
        environment.setenv(JARS, str(folder))
        session = open_session(
            {
                "spark.master": "local[2]",
                "spark.driver.memory": "2g",
                "spark.driver.maxResultSize": HEARS,
                "spark.sql.shuffle.partitions": "4",
                "spark.databricks.delta.snapshotPartitions": "1",
                "spark.log.level": "ERROR",
            }
        )
        yield session
        session.stop()
